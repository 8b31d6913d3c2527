"""How do images of full training come from their files to the network, batch by batch?

B images of a batch, S side in pixels.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import torch
from torch import Tensor

from archbench.bounds import require_within
from archbench.cache_folder import cache_folder
from archbench.data.augmentation import Augmentation, require_changes, seeds_of
from archbench.data.cache import cached, request_for, with_source
from archbench.data.dataset import DataSet, Described, Split, share_of_majority
from archbench.data.files import FileList, Files, file_list
from archbench.data.image_maker import PART, Holes, ImageMaker, Task
from archbench.data.source import SHARES, DataRequest, ImageSource, Share
from archbench.data.workers import Workers
from archbench.errors import UsageError
from archbench.progress import Progress

_ROUND = 256  # to a multiple of which an epoch with repeats is rounded down
_AHEAD = 2  # batches, and tasks of each worker, that are made ahead
_ORDER, _CHANGES = range(2)  # what is drawn by the seed and the epoch


def open_stream(
    name: str,
    *,
    resolution: int,
    augmentation: Augmentation,
    batch: int,
    seed: int,
    workers: int,
    rank: int = 0,
    world: int = 1,
    split_seed: int = 0,
    device: str | torch.device = "cpu",
    cache: Path | None = None,
    download: bool = False,
    progress: Progress | None = None,
) -> "Stream":
    """The images of a name of data, read and changed while a network learns from them.

    Names, ``split_seed``, cache and ``download`` are those of ``archbench.data.load``, and so are
    the shares: files that it leaves out are left out here. Of names that have no image files, and
    of Datasets, the images are those of ``load``, crops are drawn from these squares, and tests see
    them whole.

    The seed draws order and changes of the images. ``batch`` is the number of images of a step of
    this process, the ``rank``-th of ``world``; step by step all processes together see what one
    sees with the batch of all. The work is done by so many worker processes, by this one with 0.
    Batches lie on the device.

    Raises:
        UsageError: An argument cannot be taken, or the training images do not fill one batch.
        MissingError: The data is not there or cannot be read, or a library is not installed.
        DataError: The data is there, but cannot be learnt from.
        StorageError: The cache cannot be read or written.
    """
    require_within("batch", batch, place="batch")
    if workers != 0:
        require_within("workers", workers, place="workers")
    if not 0 <= rank < world:
        raise UsageError(f"rank {rank} of {world} processes", place="rank", help="0 is the first")
    require_changes(augmentation, resolution)
    request = request_for(
        name, resolution=resolution, seed=split_seed, download=download, progress=progress
    )
    found = with_source(request, partial(_found, request=request, folder=cache or cache_folder()))
    _check_steps(len(found.train), augmentation, batch=batch, world=world)
    maker = ImageMaker(
        shares={share: getattr(found, share) for share in SHARES},
        extents=found.extents if isinstance(found, FileList) else {},
        augmentation=augmentation if found.flip else replace(augmentation, flip=0.0),
        resolution=resolution,
    )
    feed = _Feed(
        maker=maker,
        workers=Workers(
            maker,
            count=workers,
            places=1 + _AHEAD * max(workers, math.ceil(batch / PART)),
            shape=(PART, resolution, resolution, 3),
        ),
        seed=seed,
        batch=batch,
        rank=rank,
        world=world,
        device=torch.device(device),
    )
    held = f"crops are drawn from squares of {resolution} px, and tests see these whole"
    return Stream(
        name=name,
        resolution=resolution,
        train=TrainingShare(name="train", feed=feed),
        validation=HeldOutShare(name="validation", feed=feed),
        test=HeldOutShare(name="test", feed=feed),
        **{
            **{field.name: getattr(found, field.name) for field in fields(Described)},
            "flip": maker.augmentation.flip > 0,
            "notes": found.notes if isinstance(found, FileList) else (*found.notes, held),
        },
    )


def _check_steps(number: int, augmentation: Augmentation, *, batch: int, world: int) -> None:
    """Refuses a batch that no epoch fills, and a last one that processes cannot share evenly."""
    length = epoch_length(number, repeats=augmentation.repeats)
    left = length % (batch * world)
    if augmentation.drop_last and length < batch * world:
        raise UsageError(
            f"{length:,} training images do not fill one batch of {batch * world:,}",
            place="batch",
            help="use a smaller batch, or drop_last: false",
        )
    if not augmentation.drop_last and left % world:
        raise UsageError(
            f"the last batch of {left:,} images cannot be shared evenly by {world} processes",
            place="batch",
            help="use drop_last: true",
        )


def _found(source: ImageSource, *, request: DataRequest, folder: Path) -> FileList | DataSet:
    if source.find:
        return file_list(source, request=request, folder=folder)
    return cached(source, request=request, folder=folder)


@dataclass(frozen=True, kw_only=True)
class _Feed:
    """Who makes images, and how many at a time for which process and device."""

    maker: ImageMaker
    workers: Workers
    seed: int
    batch: int
    rank: int
    world: int
    device: torch.device

    def images(self, tasks: Sequence[Task]) -> Iterator[Tensor]:
        """The images of each task, float32 (B, 3, S, S), normalised."""
        made = self.workers.in_order(part for task in tasks for part in task.parts())
        for task in tasks:
            yield self._batch(len(task.indices), made)

    def _batch(self, number: int, made: Iterator[tuple[np.ndarray, Holes]]) -> Tensor:
        S, how = self.maker.resolution, self.maker.augmentation
        mean, std = (
            torch.tensor(one, device=self.device).mul_(255).view(3, 1, 1)
            for one in (how.mean, how.std)
        )
        images = torch.empty((number, 3, S, S), device=self.device)
        for piece in images.split(PART):
            array, holes = next(made)
            pixels = torch.from_numpy(array[: len(piece)])
            if self.device.type == "cuda":
                pixels = pixels.pin_memory().to(self.device, non_blocking=True)
            piece.copy_(pixels.permute(0, 3, 1, 2)).sub_(mean).div_(std)
            for at, hole in holes:
                noise = torch.from_numpy(hole.noise).to(self.device)
                beyond = piece[at, :, hole.top :, hole.left :]
                beyond[:, : noise.shape[1], : noise.shape[2]] = noise
        return images


@dataclass(frozen=True, kw_only=True)
class _Part:
    """What a share is, whatever it is used for."""

    name: Share
    feed: _Feed

    @property
    def labels(self) -> Tensor:
        """The label of each image, int64 (N,)."""
        return torch.as_tensor(self._images.labels)

    @property
    def _images(self) -> Files | Split:
        return self.feed.maker.shares[self.name]

    def __len__(self) -> int:
        return len(self._images)

    def path(self, index: int) -> str:
        """Where an image lies, in words where it has no file."""
        found = self._images
        return f"{self.name} image {index}" if isinstance(found, Split) else str(found.path(index))


class TrainingShare(_Part):
    """Images to train on, changed at random in each epoch."""

    @property
    def num_steps(self) -> int:
        """Batches of this process in an epoch."""
        how = self.feed.maker.augmentation
        ratio = epoch_length(len(self), repeats=how.repeats) / (self.feed.batch * self.feed.world)
        return math.floor(ratio) if how.drop_last else math.ceil(ratio)

    def epoch(self, epoch: int, *, first_step: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Images (B, 3, S, S), float32 and normalised, and labels, (B,), of the steps from one on.

        What an image looks like depends on the seed, the epoch and its place in it alone, not on
        the number of workers and processes, nor on the first step.

        Raises:
            DataError: A file is gone, or damaged.
            MissingError: A worker was ended from outside.
        """
        feed, repeats = self.feed, self.feed.maker.augmentation.repeats
        order_seed = seeds_of(feed.seed, _ORDER, epoch, number=1)[0, 0]
        order = epoch_order(len(self), seed=int(order_seed), repeats=repeats)
        seeds = seeds_of(feed.seed, _CHANGES, epoch, number=len(order))
        whole = feed.batch * feed.world
        tasks = []
        for step in range(first_step, self.num_steps):
            own = slice(step * whole + feed.rank, (step + 1) * whole, feed.world)
            tasks.append(Task(self.name, order[own], seeds[own]))
        for task, images in zip(tasks, feed.images(tasks), strict=True):
            yield images, self.labels[task.indices].to(feed.device)


class HeldOutShare(_Part):
    """Images to test on."""

    def batches(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Images (B, 3, S, S), labels and numbers, (B,), of all images, in every process.

        Raises:
            DataError: A file is gone, or damaged.
            MissingError: A worker was ended from outside.
        """
        feed, number = self.feed, np.arange(len(self))
        starts = range(0, len(self), feed.batch)
        tasks = [Task(self.name, number[start : start + feed.batch]) for start in starts]
        for task, images in zip(tasks, feed.images(tasks), strict=True):
            yield images, self.labels[task.indices].to(feed.device), torch.as_tensor(task.indices)


def epoch_length(number: int, *, repeats: int) -> int:
    """Images of an epoch, of so many different ones; as timm's ``RepeatAugSampler``."""
    return number if repeats == 1 or number < _ROUND else number // _ROUND * _ROUND


def epoch_order(number: int, *, seed: int, repeats: int) -> np.ndarray:
    """Which images an epoch has, in order; with repeats the copies of one follow one another.

    Processes take the images in turn, so that the copies of one fall to different ones.
    """
    length = epoch_length(number, repeats=repeats)
    order = torch.randperm(number, generator=torch.Generator().manual_seed(seed)).numpy()
    return order[: math.ceil(length / repeats)].repeat(repeats)[:length]


@dataclass(frozen=True, kw_only=True)
class Stream(Described):
    """Three disjoint shares of labelled images that are read while a network learns from them.

    It has what a ``DataSet`` has, but for the images, and has to be closed. ``digest`` is 16 hex of
    the contents of all files, their labels and shares.
    """

    name: str
    resolution: int
    train: TrainingShare
    validation: HeldOutShare
    test: HeldOutShare

    @property
    def majority_share(self) -> float:
        """The best accuracy on ``validation`` of a guess that is always the same."""
        return share_of_majority(self.validation.labels)

    def close(self) -> None:
        """End the workers."""
        self.train.feed.workers.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
