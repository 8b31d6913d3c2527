"""Between which numbers may what a person asks for lie, on the command line, in YAML or Python?"""

from collections.abc import Mapping
from typing import Any

from archbench.errors import UsageError

BOUNDS: Mapping[str, tuple[int, int]] = {
    "batch": (1, 65_536),
    "candidates": (8, 100_000),
    "classes": (1, 1_000_000),
    "epochs": (1, 100_000),
    "images": (2, 10**9),  # of an epoch
    "image side": (8, 1024),  # of data, which are kept as bytes
    "samples": (1, 10_000),
    "seed": (0, 2**31 - 1),
    "seeds": (1, 100),
    "side": (1, 16_384),  # of what a network is counted and timed at
    "threads": (1, 1024),
    "trained epochs": (1, 10**9),  # of all trainings of a search
    "trainings": (1, 10_000),  # of one form of an ablation or a certificate
    "trials": (1, 1_000_000),
    "workers": (1, 1_000_000),  # the machine says how many it serves
}
"""Whole numbers by what they count, both ends allowed: what can be held and lived to see."""

LARGEST = 1e30
"""A number beyond which nothing is measured."""


def require_within(name: str, value: int, *, place: str) -> None:
    """Refuses a whole number out of its bounds.

    Raises:
        UsageError: It is less or more.
    """
    low, high = BOUNDS[name]
    if not low <= value <= high:
        raise UsageError(f"{value:,} is not from {low:,} to {high:,}", place=place)


def is_number(value: Any, *, is_whole: bool = False) -> bool:
    """Whether a value is a number, or a whole one where wanted; true and false are none."""
    return isinstance(value, int if is_whole else int | float) and not isinstance(value, bool)


def is_finite(value: float) -> bool:
    """Whether a number, however large an integer, can be computed with."""
    return abs(value) <= LARGEST  # which nan is not


def require_memory(batch: int, height: int, width: int, *, has: int, place: str) -> None:
    """Refuses images of 3 channels in fp32 that alone fill half of so many bytes.

    Raises:
        UsageError: They do.
    """
    each = 3 * 4 * height * width
    if batch * each <= has // 2:
        return
    gib = 2**30
    raise UsageError(
        f"{batch:,} images of {height}x{width} px fill {batch * each / gib:.1f} GiB of the "
        f"{has / gib:.1f} GiB of this machine, and a network needs many times that",
        place=place,
        help=f"use {max(1, has // (64 * each)):,} or fewer",
    )
