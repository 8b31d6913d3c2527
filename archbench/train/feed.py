"""Which images, rate and seeds does each step see: functions of the training's arguments alone."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.utils import deterministic

from archbench.data import DataSet, augment
from archbench.errors import UsageError
from archbench.train.recipe import Recipe

_LARGEST_SHARE_OF_DEVICE = 0.25


class Feed:
    """The batches of each epoch, a function of data, recipe, seed and epoch alone.

    They are made on the device: the images are moved there once if they fill under a quarter of
    its free memory, and batch by batch otherwise.

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
        free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else math.inf
        fits = split.images.nbytes < _LARGEST_SHARE_OF_DEVICE * free
        self._images = split.images.to(device) if fits else split.images
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
