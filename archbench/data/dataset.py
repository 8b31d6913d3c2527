"""What does training see: images as bytes and labels in three shares, and which are held out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from archbench.errors import MISSING_INPUT, ArchbenchError

if TYPE_CHECKING:
    import torch

HELD_OUT = 0.15
MOST_HELD_OUT = 10_000  # a standard error of half a point


class DataError(ArchbenchError):
    """Data that are there, but that nothing can be learnt from."""

    exit_code = MISSING_INPUT


@dataclass(frozen=True)
class Split:
    """Images, uint8 (N, 3, H, W), and labels, int64 (N,), of one share of a data set.

    The images may be a private memory map of the cache, so that only those that are read take
    memory.
    """

    images: torch.Tensor
    labels: torch.Tensor

    def __len__(self) -> int:
        return int(self.labels.shape[0])


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """Three disjoint shares of labelled images at one resolution.

    Attributes:
        test: The held-out split, for the final accuracy of the few that were picked.
        description: What it is in one sentence, synthetic data labelled as such.
        digest: 16 hex of the images, labels and class names of all shares; equal data prepared
            elsewhere has the same.
        flip: Whether a mirrored image keeps its label; digits do not.
        notes: What a person should know before the start: counts, left-out images, where the
            shares come from.
    """

    name: str
    resolution: int
    class_names: tuple[str, ...]
    train: Split
    validation: Split
    test: Split
    description: str
    digest: str
    flip: bool
    notes: tuple[str, ...] = ()

    @property
    def num_classes(self) -> int:
        """The number of classes, empty ones included."""
        return len(self.class_names)

    @property
    def majority_share(self) -> float:
        """The best accuracy on ``validation`` of a guess that is always the same."""
        labels = self.validation.labels
        return float(labels.bincount().max()) / len(labels)


def stratified_share(
    labels: np.ndarray, *, share: float, rng: np.random.Generator, most: int | None = None
) -> np.ndarray:
    """Indices of about a share of each class, ascending.

    Of each class at least one is taken and at least one left; a class of one is left whole. The
    share, 0 to 1, is lowered where it would give more than about ``most`` in all.
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

    15 % of each class, about 10,000 at most in all; ``number`` tells the shares that are drawn
    with one seed apart.
    """
    rng = np.random.default_rng((seed, number))
    return stratified_share(labels, share=HELD_OUT, rng=rng, most=MOST_HELD_OUT)
