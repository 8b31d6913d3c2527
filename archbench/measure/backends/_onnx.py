"""A network as an ONNX file, for the backends that read one."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from archbench.measure.backend import evaluating

ONNX_LIBRARIES = ("onnx", "onnxscript")


def write_onnx(network: nn.Module, example: Tensor, *, path: Path) -> Path:
    """Exports the network in evaluation, for the example's shape; its input is named ``images``.

    Args:
        network: It stays as it is.
        example: Images in the precision and on the device of the network.
        path: Where the file is written.
    """
    with quiet(), warnings.catch_warnings(), torch.no_grad(), evaluating(network):
        warnings.simplefilter("ignore")  # of the exporter, to its own authors
        program = torch.onnx.export(
            network, (example,), input_names=["images"], dynamo=True, verbose=False
        )
        assert program is not None
        program.save(str(path))
    return path


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
