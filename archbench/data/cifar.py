"""How are the CIFAR archives read, of 10 and of 100 classes?"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F

from archbench.data.dataset import DataError, held_out_share, rest
from archbench.data.published import fetch, home
from archbench.data.source import DataFacts, DataRequest, ImageSource, Share, Sink
from archbench.errors import MissingError

RECIPE = 1  # raise it with every change that changes a byte
SIDE = 32
BLOCK = 1024
_Kind = Literal["CIFAR10", "CIFAR100"]


def cifar_source(request: DataRequest, *, kind: _Kind) -> ImageSource:
    """A CIFAR data set, in the folder behind the colon, as torchvision reads it.

    The official test images are the held-out test split; validation is 15 % of each class of the
    training images.

    Raises:
        UsageError: No path is given.
        MissingError: It is not there.
    """
    published = _published(kind)
    folder, archive = published.base_folder, published.filename
    root, _ = home(request, folders=[folder])
    place = root / folder
    if not place.is_dir() and request.download:
        download = partial(published, train=True, download=True)
        fetch(download, root=root, folder=folder, request=request)
    if not place.is_dir():
        there = (root / archive).is_file()
        raise MissingError(
            f"{kind} is not there",
            place=str(place),
            help=f"unpack {archive} in {root}"
            + ("" if there else ", or add --download to fetch it (170 MB)")
            + "; or use cluttered_digits, which is built in",
        )
    files = sorted(path for path in place.iterdir() if path.is_file())
    marks = [[path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in files]
    settings = {"recipe": RECIPE, "place": str(place.resolve()), "files": marks}
    return ImageSource(settings=settings, make=lambda sink: _make(sink, request, root, kind))


def _published(kind: _Kind) -> Any:
    import torchvision

    return getattr(torchvision.datasets, kind)


def _make(sink: Sink, request: DataRequest, root: Path, kind: _Kind) -> DataFacts:
    published = _published(kind)
    _check_files(root / published.base_folder, published)
    train, test = (published(root, train=is_train) for is_train in (True, False))
    labels = np.asarray(train.targets, dtype=np.int64)
    taken = held_out_share(labels, seed=request.seed, number=0)
    left = rest(len(labels), taken)
    shares: tuple[tuple[Share, np.ndarray, np.ndarray], ...] = (
        ("test", test.data, np.asarray(test.targets, dtype=np.int64)),
        ("validation", train.data[taken], labels[taken]),
        ("train", train.data[left], labels[left]),
    )
    done, total = 0, len(train.data) + len(test.data)
    for share, images, of_images in shares:
        for start, block in _resized(images, resolution=request.resolution):
            request.progress("resizing images", done, total)
            sink(share, block, of_images[start : start + BLOCK])
            done += len(block)
    request.progress("resizing images", total, total)
    return DataFacts(
        class_names=tuple(train.classes),
        description=f"{kind}, photographs of {SIDE} px of {len(train.classes)} classes",
        flip=True,
        notes=(
            *(f"{share}: {len(of_images):,} images" for share, _, of_images in reversed(shares)),
            f"test is the official test set; validation was drawn from the training set with "
            f"seed {request.seed}",
        ),
    )


def _check_files(folder: Path, published: Any) -> None:
    """Refuses a file that is not the published one; torchvision would not say which is not."""
    from torchvision.datasets.utils import check_integrity

    meta = [published.meta["filename"], published.meta["md5"]]
    for name, md5 in [*published.train_list, *published.test_list, meta]:
        if not check_integrity(folder / name, md5):
            there = (folder / name).exists()
            raise DataError(
                f"not the published file: its MD5 is not {md5}" if there else "the file is missing",
                place=str(folder / name),
                help=f"delete {folder} and unpack the archive anew, or add --download",
            )


def _resized(images: np.ndarray, *, resolution: int) -> Iterator[tuple[int, np.ndarray]]:
    """Blocks of images, uint8 (N, H, W, 3) to uint8 (N, 3, R, R), each with its start."""
    for start in range(0, len(images), BLOCK):
        block = torch.from_numpy(images[start : start + BLOCK]).permute(0, 3, 1, 2)
        if resolution != SIDE:
            size = (resolution, resolution)
            block = F.interpolate(
                block.contiguous(), size, mode="bicubic", align_corners=False, antialias=True
            )
        yield start, block.numpy()
