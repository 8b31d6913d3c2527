"""Which images are held out: a share of every class, drawn from a seed."""

from __future__ import annotations

import numpy as np

HELD_OUT = 0.15
MOST_HELD_OUT = 10_000  # a standard error of half a point


def stratified_share(
    labels: np.ndarray, *, share: float, rng: np.random.Generator, most: int | None = None
) -> np.ndarray:
    """Indices of about a share of each class, ascending.

    Of each class at least one is taken and at least one left; a class of one is left whole.

    Args:
        labels: Class of each item, (N,).
        share: How much of each class to take, 0 to 1.
        rng: Source of the choice.
        most: About how many to take in all; lowers the share where it would give more.
    """
    if most is not None:
        share = min(share, most / max(len(labels), 1))
    taken = []
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        count = min(max(round(share * len(members)), 1), len(members) - 1)
        taken.append(members[:count])
    return np.sort(np.concatenate(taken)) if taken else np.empty(0, dtype=np.int64)


def held_out_share(labels: np.ndarray, *, seed: int, number: int) -> np.ndarray:
    """Indices of what is held out of a data set that brings no such share of its own.

    15 % of each class, about 10,000 at most in all.

    Args:
        labels: Class of each image, (N,).
        seed: The data set's seed.
        number: Tells the shares that are drawn with one seed apart.
    """
    rng = np.random.default_rng((seed, number))
    return stratified_share(labels, share=HELD_OUT, rng=rng, most=MOST_HELD_OUT)


def rest(count: int, taken: np.ndarray) -> np.ndarray:
    """The indices below a count that were not taken, ascending."""
    left = np.ones(count, dtype=bool)
    left[taken] = False
    return np.flatnonzero(left)
