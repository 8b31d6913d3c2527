"""How does a published data set get to the user's disk and into shares?

It comes wholly or not at all, and the official held-out images are sealed.
"""

from __future__ import annotations

import contextlib
import sys
import tarfile
import tempfile
from collections.abc import Callable, Sequence
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import numpy as np

from archbench.data.dataset import DataError, held_out_share, rest
from archbench.data.image_files import Item, gather, notes, tree
from archbench.data.source import DataFacts, DataRequest, Share, Sink
from archbench.errors import MissingError


def fetch(
    dataset: Callable[[str], object], *, root: Path, folder: str, request: DataRequest
) -> None:
    """Has torchvision download a data set and moves it to its place when all of it is there.

    torchvision checks the archive's MD5, but takes a half unpacked folder for a whole one; so it
    works in a folder of its own.

    Args:
        dataset: Downloads into the folder that it is given.
        root: Where the data set's folder shall lie; made if it is not there.
        folder: What torchvision calls the data set's folder.
        request: Told that it has begun.

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


def fingerprints(root: Path) -> dict[str, Any]:
    """What tells whether the images of ``train/`` and ``val/`` are still the same.

    Raises:
        DataError: There are no class folders in one of them, or not the same ones in both.
        OSError: One cannot be listed.
    """
    found = {name: tree(root / name) for name in ("train", "val")}
    for name, images in found.items():
        empty = [folder for folder, files in images.classes.items() if not files]
        if empty or not images.classes:
            loose = f"; {images.num_loose:,} images lie outside them" if images.num_loose else ""
            what = (
                f"the class folder {empty[0]} is empty" if empty else "there are no class folders"
            )
            raise DataError(
                f"{what}{loose}",
                place=str(images.root),
                help=f"unpack the archive anew, so that each class has its folder in {name}/",
            )
    if odd := set(found["train"].classes) ^ set(found["val"].classes):
        raise DataError(
            f"the class folder {min(odd)} is in one of train/ and val/ only",
            place=str(root),
            help="unpack the archive anew",
        )
    return {
        "root": str(root.resolve()),
        "fingerprints": {name: images.fingerprint for name, images in found.items()},
    }


def make(
    sink: Sink,
    request: DataRequest,
    *,
    root: Path,
    title: str,
    class_names: Sequence[str],
    train: Any,
    held_out: Any,
    num_published: int,
) -> DataFacts:
    """Decodes a published data set in ``train/`` and ``val/``; validation is drawn from the first.

    Args:
        sink: Takes the images.
        request: What is asked.
        root: The folder of both.
        title: What it is called.
        class_names: In the order of the labels.
        train: The official training images, as torchvision lists them: path and label of each.
        held_out: The official validation images, likewise.
        num_published: Images that are published in all.
    """
    items, sealed = (
        [Item(Path(path), label) for path, label in (listing[n] for n in range(len(listing)))]
        for listing in (train, held_out)
    )
    labels = np.array([item.label for item in items])
    taken = held_out_share(labels, seed=request.seed, number=0)
    shares: dict[Share, list[Item]] = {
        "train": [items[index] for index in rest(len(items), taken)],
        "validation": [items[index] for index in taken],
        "test": sealed,
    }
    found = gather(sink, shares, resolution=request.resolution, progress=request.progress)
    lines = [
        *notes(found, class_names=class_names, root=root),
        f"test is the official val/; validation was drawn from train/ with seed {request.seed}",
    ]
    if (num_files := sum(map(len, shares.values()))) != num_published:
        lines.append(f"{num_files:,} files of the {num_published:,} published images are there")
    return DataFacts(
        class_names=tuple(class_names),
        description=f"{title}, photographs of {len(class_names):,} classes",
        flip=True,
        notes=tuple(lines),
    )
