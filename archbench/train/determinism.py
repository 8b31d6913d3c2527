"""What makes a training a function of its arguments."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.utils import deterministic


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


def seed_network_randomness(seed: int, *, device: torch.device) -> None:
    """Seeds what dropout and drop path draw from, on this device alone."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
