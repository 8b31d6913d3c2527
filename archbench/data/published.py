"""How does a published data set get to the user's disk and into shares?

It comes wholly or not at all, and the official held-out images are sealed.
"""

from __future__ import annotations

import contextlib
import sys
import tarfile
import tempfile
from collections.abc import Callable, Mapping, Sequence
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError

import numpy as np

from archbench.data.dataset import DataError, held_out_share, rest
from archbench.data.image_files import Item, Tree, gather, items_of, notes, tree
from archbench.data.source import DataFacts, DataRequest, ImageSource, Share, Sink
from archbench.errors import MissingError


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


def unpacked(
    request: DataRequest,
    *,
    root: Path,
    recipe: int,
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
        "recipe": recipe,
        "root": str(root.resolve()),
        "fingerprints": {name: images.fingerprint for name, images in trees.items()},
    }

    def make(sink: Sink) -> DataFacts:
        names = tuple(class_names())
        shares = _shares(trees, seed=request.seed)
        found = gather(sink, shares, resolution=request.resolution, progress=request.progress)
        lines = [
            *notes(found, class_names=names, root=root),
            f"test is the official val/; validation was drawn from train/ with seed {request.seed}",
        ]
        if (num_files := sum(map(len, shares.values()))) != num_published:
            lines.append(f"{num_files:,} files of the {num_published:,} published images are there")
        return DataFacts(
            class_names=names,
            description=f"{title}, photographs of {len(names):,} classes",
            flip=True,
            notes=tuple(lines),
        )

    return ImageSource(settings=settings, make=make)


def _shares(trees: Mapping[str, Tree], *, seed: int) -> dict[Share, list[Item]]:
    classes = tuple(trees["train"].classes)
    items, sealed = (items_of(trees[name], classes) for name in ("train", "val"))
    taken = held_out_share(np.array([item.label for item in items]), seed=seed, number=0)
    return {
        "train": [items[index] for index in rest(len(items), taken)],
        "validation": [items[index] for index in taken],
        "test": sealed,
    }


def _check(trees: Mapping[str, Tree], root: Path) -> None:
    for name, images in trees.items():
        empty = [folder for folder, files in images.classes.items() if not files]
        if empty or not images.classes:
            loose = f"; {images.num_loose:,} images lie outside them" if images.num_loose else ""
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
