"""What makes a training a function of its arguments: batches, rates and seeds of each step."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.utils import deterministic


def batch_bounds(num_images: int, *, batch: int) -> list[tuple[int, int]]:
    """First and last-but-one index of each batch of an epoch; every image is in one.

    A remainder of one image joins the batch before, as batch norm has no variance of one value.
    """
    ends = list(range(batch, num_images + 1, batch))
    remainder = num_images - (ends[-1] if ends else 0)
    if remainder > 1 or not ends:
        ends.append(num_images)
    elif remainder:
        ends[-1] = num_images
    return list(zip([0, *ends], ends, strict=False))


def rate_share(step: int, *, num_steps: int, warmup: float) -> float:
    """Share of the peak learning rate at a step, counted from 0.

    Rises linearly over the first ``warmup`` of the steps to 1, then falls as a half cosine that
    would reach 0 at ``num_steps``.
    """
    rising = math.ceil(warmup * num_steps)
    if step < rising:
        return (step + 1) / rising
    return 0.5 * (1.0 + math.cos(math.pi * (step - rising) / (num_steps - rising)))


def derived_seed(purpose: str, *numbers: int) -> int:
    """A generator's seed for one purpose, for example the order of the images in an epoch.

    A hash, so that neighbouring seeds and epochs share nothing, and any epoch can be started
    without those before it.
    """
    text = "/".join([purpose, *map(str, numbers)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


@contextmanager
def reproducible(device: torch.device) -> Iterator[None]:
    """Deterministic kernels on the CPU; the process's random state is as before afterwards.

    On a GPU nothing is promised, and kernels that add in any order are allowed.
    """
    # use_deterministic_algorithms would do the same, but imports the compiler: 1.2 s
    mode = torch.get_deterministic_debug_mode()
    fill = deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    gpus = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=gpus):
        try:
            if device.type == "cpu":
                torch.set_deterministic_debug_mode("error")
                deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
            yield
        finally:
            torch.set_deterministic_debug_mode(mode)
            deterministic.fill_uninitialized_memory = fill  # type: ignore[attr-defined]
