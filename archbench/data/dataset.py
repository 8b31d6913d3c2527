"""What does training see: images as bytes, labels, and what they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from archbench.errors import MISSING_INPUT, ArchbenchError

if TYPE_CHECKING:
    import torch


class DataError(ArchbenchError):
    """Data that are there, but that nothing can be learnt from."""

    exit_code = MISSING_INPUT


@dataclass(frozen=True)
class Split:
    """Images and labels of one share of a data set.

    Attributes:
        images: uint8, (N, 3, H, W); may be a private memory map of the cache, so that only the
            images that are read take memory.
        labels: int64, (N,).
    """

    images: torch.Tensor
    labels: torch.Tensor

    def __len__(self) -> int:
        return int(self.labels.shape[0])

    def to(self, device: torch.device | str) -> Split:
        """The same share on another device."""
        return Split(self.images.to(device), self.labels.to(device))


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """Three disjoint shares of labelled images at one resolution.

    Attributes:
        name: What was asked for, for example ``folder:~/photos``.
        resolution: Side of the square images in pixels.
        class_names: In the order of the labels.
        train: What networks learn from.
        validation: What ranks them.
        test: The sealed share, for the final accuracy of the few that were picked.
        description: What it is in one sentence, synthetic data labelled as such.
        majority_share: The best accuracy on ``validation`` of a guess that is always the same.
        digest: 16 hex of the images, labels and class names of all shares; equal data prepared
            elsewhere has the same.
        flip: Whether a mirrored image keeps its label; digits do not.
        notes: What a person should know before the start: counts, left-out images, where the
            shares come from.

    Raises:
        DataError: A label is out of range, or images and labels do not fit together.
    """

    name: str
    resolution: int
    class_names: tuple[str, ...]
    train: Split
    validation: Split
    test: Split
    description: str
    majority_share: float
    digest: str
    flip: bool
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for share in ("train", "validation", "test"):
            self._check(share, getattr(self, share))

    @property
    def num_classes(self) -> int:
        """The number of classes, empty ones included."""
        return len(self.class_names)

    def _check(self, share: str, split: Split) -> None:
        place = f"{self.name}: {share}"
        shape = (len(split), 3, self.resolution, self.resolution)
        if tuple(split.images.shape) != shape:
            raise DataError(
                f"images of shape {tuple(split.images.shape)} where {shape} is due", place=place
            )
        check_labels(split.labels, num_classes=self.num_classes, place=place)


def check_labels(labels: torch.Tensor, *, num_classes: int, place: str) -> None:
    """Nothing, if there are labels and each is that of a class.

    Raises:
        DataError: There is none, or one is out of range.
    """
    if len(labels) == 0:
        raise DataError("there is no image", place=place)
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= num_classes:
        raise DataError(
            f"label {low if low < 0 else high} is out of range; {num_classes} classes take 0 to "
            f"{num_classes - 1}",
            place=place,
        )
