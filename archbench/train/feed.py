"""Which images does each step see, and how are they shifted."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from archbench.data import DataSet, augment
from archbench.errors import UsageError
from archbench.train.randomness import batch_bounds, derived_seed
from archbench.train.recipe import Recipe

_LARGEST_SHARE_OF_DEVICE = 0.25


class Feed:
    """The batches of each epoch, a function of data, recipe, seed and epoch alone.

    Args:
        dataset: Its training split is used.
        recipe: Batch, shift and seed.
        seed: Seed of this training.
        device: Where the batches are made; the images are moved there once if they fill under a
            quarter of its free memory, and batch by batch otherwise.

    Raises:
        UsageError: There are fewer than two images.
    """

    def __init__(
        self, dataset: DataSet, *, recipe: Recipe, seed: int, device: torch.device
    ) -> None:
        split = dataset.train
        if len(split) < 2:
            raise UsageError(
                f"{len(split)} training images are too few", place="data", help="use 2 or more"
            )
        self._images = split.images.to(device) if _fits(split.images, device) else split.images
        self._labels = split.labels.to(device)
        self._bounds = batch_bounds(len(split), batch=recipe.batch)
        self._shift = round(recipe.shift * dataset.resolution)
        self._flip = dataset.flip
        self._seeds = (recipe.seed, seed)
        self._device = device

    @property
    def num_steps(self) -> int:
        """Steps of one epoch."""
        return len(self._bounds)

    def epoch(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Images (B, 3, H, W), normalised, and labels (B,) of each step, on the device."""
        shuffle = torch.Generator().manual_seed(derived_seed("order", *self._seeds, epoch))
        order = torch.randperm(len(self._labels), generator=shuffle)
        moves = torch.Generator().manual_seed(derived_seed("augmentation", *self._seeds, epoch))
        here = order.to(self._device)
        stored = here if self._images.device == here.device else order
        for begin, end in self._bounds:
            images = self._images[stored[begin:end]].to(self._device)
            yield (
                augment(images, generator=moves, shift=self._shift, flip=self._flip),
                self._labels[here[begin:end]],
            )


def _fits(images: Tensor, device: torch.device) -> bool:
    if device.type != "cuda":
        return True
    free, _ = torch.cuda.mem_get_info(device)
    return images.nbytes < _LARGEST_SHARE_OF_DEVICE * free
