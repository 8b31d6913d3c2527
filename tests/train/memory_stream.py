"""A stream of images that lie in memory, as short as a test needs it."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from archbench.data import Split, normalise
from tests.train.tiny import NUM_CLASSES, RESOLUTION, tiny_dataset


@dataclass
class MemoryShare:
    """Normalised images of one share, in batches; every ``world``-th image of a process.

    ``asked`` are the epochs that were asked for, and their first steps.
    """

    split: Split
    batch: int
    rank: int = 0
    world: int = 1
    asked: list[tuple[int, int]] = field(default_factory=list)

    @property
    def num_steps(self) -> int:
        return len(self.split) // (self.batch * self.world)

    def epoch(self, epoch: int, *, first_step: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        self.asked.append((epoch, first_step))
        shuffle = torch.Generator().manual_seed(epoch)
        order = torch.randperm(len(self.split), generator=shuffle)[self.rank :: self.world]
        for step in range(first_step, self.num_steps):
            chosen = order[step * self.batch : (step + 1) * self.batch]
            yield normalise(self.split.images[chosen]), self.split.labels[chosen]

    def batches(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        for indices in torch.arange(len(self.split)).split(7):
            images = normalise(self.split.images[indices])
            yield images, self.split.labels[indices], indices


class MemoryStream:
    """Noise with a bright colour for each class, of ``num_train`` images in batches."""

    def __init__(
        self, *, batch: int = 8, num_train: int = 48, rank: int = 0, world: int = 1
    ) -> None:
        dataset = tiny_dataset(num_train=num_train)
        self.train = MemoryShare(dataset.train, batch, rank, world)
        self.validation = MemoryShare(dataset.validation, batch)
        self.resolution = RESOLUTION
        self.num_classes = NUM_CLASSES
        self.digest = dataset.digest
