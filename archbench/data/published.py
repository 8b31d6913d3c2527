"""How does a published data set get to the user's disk and into shares?

It comes wholly or not at all, and the official held-out images are the held-out test split. There
are two forms: the CIFAR archives, and archives of a folder of image files for each class.
"""

import contextlib
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import Any, Literal
from urllib.error import HTTPError

import numpy as np
import torch
import torch.nn.functional as F

from archbench.data.dataset import DataError, held_out_share
from archbench.data.decoding import RECIPE as DECODING
from archbench.data.image_files import gather, notes, source_of_files
from archbench.data.source import DataFacts, DataRequest, FilesFound, ImageSource, Share, Sink
from archbench.data.tree import Item, PassedOver, Tree, items_of, tree
from archbench.errors import MissingError

RECIPE = 1  # raise it with every change that changes a byte
SIDE = 32
BLOCK = 1024


def fetch(
    dataset: Callable[[str], object], *, root: Path, folder: str, request: DataRequest
) -> None:
    """Has torchvision download a data set and moves it to its place when all of it is there.

    torchvision, which ``dataset`` asks to download into a folder, checks the archive's MD5, but
    takes a half unpacked folder for a whole one; so it works in a folder of its own.

    Raises:
        MissingError: It could not be fetched or kept; nothing is left behind.
    """
    request.progress(f"downloading {folder}", 0, 1)
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".download-", dir=root) as temporary:
            with contextlib.redirect_stdout(sys.stderr):  # stdout is for results
                dataset(temporary)
            (Path(temporary) / folder).replace(root / folder)
    except (OSError, EOFError, RuntimeError, HTTPException, tarfile.TarError) as error:
        if isinstance(error, HTTPError):
            error.close()  # it holds the connection
        raise MissingError(
            f"{folder} could not be downloaded ({error})",
            place=str(root),
            help="look to the network and the disk, or fetch the archive by hand and unpack it "
            "there",
        ) from error
    request.progress(f"downloading {folder}", 1, 1)


def home(request: DataRequest, *, folders: Sequence[str]) -> tuple[Path, Sequence[str]]:
    """Where a data set's folder lies, and what it may be called there.

    The path behind the colon is that of the place, or that of one of the folders to which its
    archives unpack.

    Raises:
        UsageError: The name has no path.
    """
    path = request.path(what=f"the folder that {folders[0]}/ lies in")
    return (path.parent, [path.name]) if path.name in folders else (path, folders)


def cifar_source(request: DataRequest, *, kind: Literal["CIFAR10", "CIFAR100"]) -> ImageSource:
    """A CIFAR data set, in the folder behind the colon, as torchvision reads it.

    The official test images are the held-out test split; validation is 15 % of each class of the
    training images.

    Raises:
        UsageError: No path is given.
        MissingError: It is not there.
    """
    import torchvision

    published = getattr(torchvision.datasets, kind)
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
    make = partial(_make_cifar, request=request, root=root, published=published)
    return ImageSource(settings, make, side=SIDE)


def _make_cifar(sink: Sink, *, request: DataRequest, root: Path, published: Any) -> DataFacts:
    _check_files(root / published.base_folder, published)
    train, test = (published(root, train=is_train) for is_train in (True, False))
    labels = np.asarray(train.targets, dtype=np.int64)
    taken = held_out_share(labels, seed=request.seed, number=0)
    shares: tuple[tuple[Share, np.ndarray, np.ndarray], ...] = (
        ("test", test.data, np.asarray(test.targets, dtype=np.int64)),
        ("validation", train.data[taken], labels[taken]),
        ("train", np.delete(train.data, taken, axis=0), np.delete(labels, taken)),
    )
    done, total = 0, len(train.data) + len(test.data)
    for share, images, of_images in shares:
        for start, block in _resized(images, resolution=request.resolution):
            request.progress("resizing images", done, total)
            sink(share, block, of_images[start : start + BLOCK])
            done += len(block)
    request.progress("resizing images", total, total)
    names = tuple(train.classes)
    return DataFacts(
        class_names=names,
        description=f"{published.__name__}, photographs of {SIDE} px of {len(names)} classes",
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


def unpacked(
    request: DataRequest,
    *,
    root: Path,
    title: str,
    num_published: int,
    class_names: Callable[[], Sequence[str]],
) -> ImageSource:
    """A data set whose archives unpack to ``train/`` and ``val/`` with a folder of each class.

    Validation is drawn from ``train/``; ``val/`` is the held-out test split. ``class_names`` gives
    the names in the order of the folders.

    Raises:
        DataError: There are no class folders in one of them, or not the same ones in both.
        OSError: One cannot be listed.
    """
    trees = {name: tree(root / name) for name in ("train", "val")}
    _check(trees, root)
    settings = {
        "recipe": RECIPE,
        "decoding": DECODING,
        "root": str(root.resolve()),
        "fingerprints": {name: images.fingerprint for name, images in trees.items()},
    }

    def make(sink: Sink, request: DataRequest) -> FilesFound:
        names = tuple(class_names())
        shares = _shares(trees, seed=request.seed)
        found = gather(sink, shares, request)
        passed_over = sum((images.passed_over for images in trees.values()), PassedOver())
        lines = [
            *notes(found, class_names=names, root=root),
            *passed_over.in_words(),
            f"test is the official val/; validation was drawn from train/ with seed {request.seed}",
        ]
        if (num_files := sum(map(len, shares.values()))) != num_published:
            lines.append(f"{num_files:,} files of the {num_published:,} published images are there")
        facts = DataFacts(
            class_names=names,
            description=f"{title}, photographs of {len(names):,} classes",
            flip=True,
            notes=tuple(lines),
        )
        return found.with_facts(facts)

    shares = partial(_shares, trees, seed=request.seed)
    return source_of_files(settings, make, request, shares=shares)


def _shares(trees: Mapping[str, Tree], *, seed: int) -> dict[Share, list[Item]]:
    classes = tuple(trees["train"].classes)
    items, test = (items_of(trees[name], classes) for name in ("train", "val"))
    taken = held_out_share(np.array([item.label for item in items]), seed=seed, number=0)
    return {
        "train": [items[index] for index in np.delete(np.arange(len(items)), taken)],
        "validation": [items[index] for index in taken],
        "test": test,
    }


def _check(trees: Mapping[str, Tree], root: Path) -> None:
    for name, images in trees.items():
        empty = [folder for folder, files in images.classes.items() if not files]
        if empty or not images.classes:
            outside = images.passed_over.loose
            loose = f"; {outside:,} images lie outside them" if outside else ""
            what = f"the class folder {empty[0]} is empty" if empty else ""
            raise DataError(
                f"{what or 'there are no class folders'}{loose}",
                place=str(images.root),
                help=f"unpack the archive anew, so that each class has its folder in {name}/",
            )
    if odd := set(trees["train"].classes) ^ set(trees["val"].classes):
        raise DataError(
            f"the class folder {min(odd)} is in one of train/ and val/ only",
            place=str(root),
            help="unpack the archive anew",
        )
