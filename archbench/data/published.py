"""How do published photographs become shares: the official held-out images are sealed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from archbench.data.dataset import DataError
from archbench.data.image_files import Item, gather, notes
from archbench.data.source import Facts, Request, Share, Sink
from archbench.data.split import held_out_share, rest
from archbench.data.tree import Tree, tree


class Listing(Protocol):
    """A torchvision data set whose loader gives the path in place of the image."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> tuple[str, int]: ...


@dataclass(frozen=True, kw_only=True)
class Photographs:
    """A published data set in ``train/`` and ``val/``.

    Attributes:
        root: The folder of both.
        title: What it is called.
        class_names: In the order of the labels.
        train: The official training images.
        held_out: The official validation images.
        num_published: Images that are published in all.
    """

    root: Path
    title: str
    class_names: Sequence[str]
    train: Listing
    held_out: Listing
    num_published: int


def fingerprints(root: Path) -> dict[str, Any]:
    """What tells whether the images of ``train/`` and ``val/`` are still the same.

    Raises:
        DataError: There are no class folders in one of them, or not the same ones in both.
        OSError: One cannot be listed.
    """
    found = {name: tree(root / name) for name in ("train", "val")}
    for name, images in found.items():
        _check(images, name)
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


def make(sink: Sink, request: Request, photographs: Photographs) -> Facts:
    """Decodes a published data set; validation is drawn from its training images."""
    items = _items(photographs.train)
    labels = np.array([item.label for item in items])
    taken = held_out_share(labels, seed=request.seed, number=0)
    shares: dict[Share, list[Item]] = {
        "train": [items[index] for index in rest(len(items), taken)],
        "validation": [items[index] for index in taken],
        "test": _items(photographs.held_out),
    }
    found = gather(sink, shares, resolution=request.resolution, progress=request.progress)
    lines = [
        *notes(found, class_names=photographs.class_names, root=photographs.root),
        f"test is the official val/; validation was drawn from train/ with seed {request.seed}",
    ]
    if (num_files := sum(map(len, shares.values()))) != photographs.num_published:
        lines.append(
            f"{num_files:,} files of the {photographs.num_published:,} published images are there"
        )
    return Facts(
        class_names=tuple(photographs.class_names),
        description=f"{photographs.title}, photographs of {len(photographs.class_names):,} classes",
        flip=True,
        notes=tuple(lines),
    )


def _items(listing: Listing) -> list[Item]:
    found = (listing[index] for index in range(len(listing)))
    return [Item(path=Path(path), label=label) for path, label in found]


def _check(images: Tree, name: str) -> None:
    empty = [folder for folder, files in images.classes.items() if not files]
    if empty or not images.classes:
        loose = f"; {images.num_loose:,} images lie outside them" if images.num_loose else ""
        what = f"the class folder {empty[0]} is empty" if empty else "there are no class folders"
        raise DataError(
            f"{what}{loose}",
            place=str(images.root),
            help=f"unpack the archive anew, so that each class has its folder in {name}/",
        )
