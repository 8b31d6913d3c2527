"""Which images are held out: a share of every class, drawn from a seed."""

from __future__ import annotations

import numpy as np


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


def rest(count: int, taken: np.ndarray) -> np.ndarray:
    """The indices below a count that were not taken, ascending."""
    left = np.ones(count, dtype=bool)
    left[taken] = False
    return np.flatnonzero(left)
