"""On which images does a backend find the ranges of its integers?"""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator

import torch
from torch import Tensor

NUM_IMAGES = 8


def calibration_batches(example: Tensor) -> list[Tensor]:
    """Batches of noise like the example, at least 8 images in all, always the same.

    Speed does not depend on the ranges. Accuracy does: whoever ships an int8 network calibrates
    it on images of its task.
    """
    generator = torch.Generator().manual_seed(1)
    number = -(-NUM_IMAGES // len(example))
    return [torch.randn(example.shape, generator=generator) for _ in range(number)]


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps what libraries print and log below an error out of our output, which is the result."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(before)
