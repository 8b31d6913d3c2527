"""Photographs of the user's own: one folder per class, with or without ``train/`` and ``val/``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from archbench.data.dataset import DataError, held_out_share, rest
from archbench.data.image_files import (
    Gathered,
    Item,
    Tree,
    gather,
    has_class_folders,
    notes,
    shown,
    tree,
)
from archbench.data.source import DataFacts, DataRequest, ImageSource, Share, Sink
from archbench.errors import MissingError

RECIPE = 1  # raise it with every change that changes a byte
FEWEST = 5  # images of a class that is yet to be split
VALIDATION = ("val", "valid", "validation")
LAYOUT = (
    "put the images of each class in a folder of its own, PATH/cat/1.jpg, or split them already, "
    "PATH/train/cat/1.jpg and PATH/val/cat/2.jpg"
)


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Which folders the shares come from; the classes are those of ``train``."""

    train: Tree
    validation: Tree | None
    test: Tree | None
    remarks: tuple[str, ...]


def source(request: DataRequest) -> ImageSource:
    """The images below the path behind the colon.

    Without ``val/``, validation is 15 % of each class of the training images, without ``test/``
    the sealed test share another 15 %, drawn from the seed.

    Raises:
        UsageError: No path is given.
        MissingError: There is no such folder.
        DataError: Its images do not make a data set.
    """
    root = request.path(what="the images")
    if not root.is_dir():
        raise MissingError(
            "this is a file, not a folder" if root.exists() else "there is no such folder",
            place=str(root),
            help=f"{LAYOUT}; or use cluttered_digits, which is built in",
        )
    layout = _layout(root)
    _check(layout)
    trees = {"train": layout.train, "validation": layout.validation, "test": layout.test}
    marks = {
        share: found and [str(found.root.resolve()), found.fingerprint]
        for share, found in trees.items()
    }
    settings = request.settings(recipe=RECIPE, trees=marks)
    return ImageSource(settings=settings, make=lambda sink: _make(sink, request, root, layout))


def _layout(root: Path) -> Layout:
    if not has_class_folders(root / "train"):
        if held_out := [name for name in (*VALIDATION, "test") if has_class_folders(root / name)]:
            raise DataError(
                f"there is {held_out[0]}/, but no train/ with class folders",
                place=str(root),
                help=LAYOUT,
            )
        return Layout(train=tree(root), validation=None, test=None, remarks=())
    validation = [root / name for name in VALIDATION if has_class_folders(root / name)]
    if len(validation) > 1:
        raise DataError(
            f"there are {' and '.join(path.name for path in validation)}; one can be validated on",
            place=str(root),
            help="take the other away",
        )
    test = root / "test"
    remarks: tuple[str, ...] = ()
    if test.is_dir() and not has_class_folders(test):
        remarks = ("test/ has no class folders and is not used",)
    return Layout(
        train=tree(root / "train"),
        validation=tree(validation[0]) if validation else None,
        test=tree(test) if has_class_folders(test) else None,
        remarks=remarks,
    )


def _check(layout: Layout) -> None:
    """Nothing, if every class can be learnt and validated.

    Raises:
        DataError: It cannot; the classes are named.
    """
    train = layout.train
    names = list(train.classes)
    if len(names) < 2:
        what = f"is only one class folder, {shown(names[0])}/" if names else "are no class folders"
        loose = f", {train.num_loose:,} images outside them" if train.num_loose else ""
        raise DataError(
            f"there {what}{loose}; a classifier needs 2 classes or more",
            place=str(train.root),
            help=LAYOUT,
        )
    fewest = 1 if layout.validation and layout.test else FEWEST
    if few := [name for name in names if len(train.classes[name]) < fewest]:
        raise DataError(
            f"too few images in {_names(few, train)}; each class needs {fewest} or more",
            place=str(train.root),
            help="add images, or take the folder away",
        )
    if layout.validation:
        _check_held_out(layout.validation, train)
        if absent := [name for name in names if not layout.validation.classes.get(name)]:
            raise DataError(
                f"no image of the classes {', '.join(map(shown, absent[:5]))}",
                place=str(layout.validation.root),
                help="add some, or take the folder away to have it split off train/",
            )
    if layout.test:
        _check_held_out(layout.test, train)


def _check_held_out(held_out: Tree, train: Tree) -> None:
    if unknown := [name for name in held_out.classes if name not in train.classes]:
        raise DataError(
            f"classes that train/ does not have: {_names(unknown, held_out)}",
            place=str(held_out.root),
            help="name the folders alike in both",
        )


def _names(names: Sequence[str], found: Tree) -> str:
    listed = ", ".join(f"{shown(name)} ({len(found.classes[name])})" for name in names[:5])
    return listed + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _make(sink: Sink, request: DataRequest, root: Path, layout: Layout) -> DataFacts:
    names = tuple(layout.train.classes)
    shares, origin = _shares(layout, seed=request.seed)
    found = gather(sink, shares, resolution=request.resolution, progress=request.progress)
    _check_readable(found, names, root)
    class_names = tuple(shown(name) for name in names)
    return DataFacts(
        class_names=class_names,
        description=f"images of {len(names):,} classes from {shown(str(root))}",
        flip=True,
        notes=(
            *notes(found, class_names=class_names, root=root),
            *origin,
            *layout.remarks,
            *_passed_over(layout),
        ),
    )


def _shares(layout: Layout, *, seed: int) -> tuple[dict[Share, list[Item]], list[str]]:
    """The files of each share, and in words where the held-out ones come from."""
    names = list(layout.train.classes)
    left = _items(layout.train, names)
    shares: dict[Share, list[Item]] = {}
    origin = []
    held_out: tuple[tuple[Share, Tree | None], ...] = (
        ("test", layout.test),
        ("validation", layout.validation),
    )
    for number, (share, found) in enumerate(held_out):
        if found:
            shares[share] = _items(found, names)
            origin.append(f"{share} is {found.root.name}/")
            continue
        labels = np.array([item.label for item in left])
        taken = held_out_share(labels, seed=seed, number=number)
        shares[share] = [left[index] for index in taken]
        left = [left[index] for index in rest(len(left), taken)]
        origin.append(f"{share} was drawn from {layout.train.root.name}/ with seed {seed}")
    shares["train"] = left
    return shares, origin


def _items(found: Tree, names: Sequence[str]) -> list[Item]:
    return [
        Item(path, label)
        for label, name in enumerate(names)
        for path in found.classes.get(name, ())
    ]


def _check_readable(found: Gathered, names: Sequence[str], root: Path) -> None:
    """Nothing, if every class has images left to learn from and to validate on.

    Raises:
        DataError: One has none, as its images are broken or copies of held-out ones.
    """
    for share in ("train", "validation"):
        empty = [shown(name) for label, name in enumerate(names) if not found.counts[share][label]]
        if empty:
            causes = (
                f"{len(found.unreadable)} files are unreadable, {len(found.copies)} are copies of "
                "held-out ones"
            )
            first = next((f"; {path}: {reason}" for path, reason in found.unreadable), "")
            raise DataError(
                f"no usable image of {', '.join(empty[:5])} for {share} ({causes}{first})",
                place=str(root),
                help="replace the files, or take the class away",
            )


def _passed_over(layout: Layout) -> list[str]:
    trees = [found for found in (layout.train, layout.validation, layout.test) if found]
    loose, others = sum(t.num_loose for t in trees), sum(t.num_others for t in trees)
    lines = []
    if loose:
        lines.append(f"passed over, images outside the class folders: {loose:,}")
    if others:
        lines.append(f"passed over, files that are no images: {others:,}")
    return lines
