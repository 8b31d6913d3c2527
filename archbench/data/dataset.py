"""What does training see: images as bytes and labels in three shares, and which are held out?

What a network sees of an image are the normalised pixels, shifted and mirrored at random.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from archbench.errors import MISSING_INPUT, ArchbenchError

HELD_OUT = 0.15
MOST_HELD_OUT = 10_000  # a standard error of half a point
PIXEL_MEAN = 0.5
PIXEL_STD = 0.25
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

# N images, B of a batch, H W map.


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
class Described:
    """What is known of a data set beside its images.

    ``digest`` is 16 hex of the images, labels and class names of all shares; equal data prepared
    elsewhere has the same. ``flip`` says whether a mirrored image keeps its label; digits do not.
    ``description`` labels synthetic data as such; ``notes`` are what a person should know before
    the start.
    """

    class_names: tuple[str, ...]
    description: str
    digest: str
    flip: bool
    notes: tuple[str, ...] = ()

    @property
    def num_classes(self) -> int:
        """The number of classes, empty ones included."""
        return len(self.class_names)


@dataclass(frozen=True, kw_only=True)
class DataSet(Described):
    """Three disjoint shares of labelled images at one resolution.

    The held-out ``test`` split is for the final accuracy of the few that were picked.
    """

    name: str
    resolution: int
    train: Split
    validation: Split
    test: Split

    @property
    def majority_share(self) -> float:
        """The best accuracy on ``validation`` of a guess that is always the same."""
        return share_of_majority(self.validation.labels)


def share_of_majority(labels: torch.Tensor) -> float:
    """How often the most frequent label is right."""
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


def normalise(images: torch.Tensor) -> torch.Tensor:
    """Bytes as floats around zero, by one rule for every data set: (byte / 255 - 0.5) / 0.25."""
    scale = 1 / (255 * PIXEL_STD)
    return images.to(torch.float32).mul_(scale).sub_(PIXEL_MEAN / PIXEL_STD)


def augment(
    images: torch.Tensor, *, generator: torch.Generator, shift: int, flip: bool
) -> torch.Tensor:
    """Normalised images, each moved by up to ``shift`` pixels and mirrored with probability 1/2.

    What moves in from beyond the edge is the image's own reflection. The work is one gather of
    the whole batch of bytes, (B, 3, H, W), on its device; the result lies in channels_last memory.
    The generator may be on another device: one on the CPU gives a GPU the same moves.
    """
    B, _, H, W = images.shape
    draw = partial(torch.randint, generator=generator, device=generator.device)
    move = draw(-shift, shift + 1, (2, B, 1)).to(images.device)
    rows = _reflected(torch.arange(H, device=images.device) + move[0], size=H)  # (B, H)
    columns = _reflected(torch.arange(W, device=images.device) + move[1], size=W)  # (B, W)
    if flip:
        mirrored = draw(0, 2, (B, 1)).to(images.device)
        columns = torch.where(mirrored.bool(), W - 1 - columns, columns)
    batch = torch.arange(B, device=images.device)[:, None, None]
    moved = images[batch, :, rows[:, :, None], columns[:, None, :]]  # (B, H, W, 3)
    return normalise(moved.permute(0, 3, 1, 2))  # (B, 3, H, W)


def _reflected(index: torch.Tensor, *, size: int) -> torch.Tensor:
    """Indices folded back into 0 to size - 1 at the edge pixels, however far out they are."""
    period = 2 * (size - 1)
    inside = index.abs() % period
    return torch.minimum(inside, period - inside)
