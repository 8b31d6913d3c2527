"""Photographs of the user's own: one folder per class, with or without ``train/`` and ``val/``."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from archbench.data.dataset import DataError, held_out_share
from archbench.data.image_files import (
    Gathered,
    Item,
    Tree,
    gather,
    has_class_folders,
    items_of,
    notes,
    shown,
    tree,
)
from archbench.data.source import SHARES, DataFacts, DataRequest, ImageSource, Share, Sink
from archbench.errors import MissingError

RECIPE = 1  # raise it with every change that changes a byte
FEWEST = 5  # images of a class that is yet to be split
VALIDATION = ("val", "valid", "validation")
LAYOUT = (
    "put the images of each class in a folder of its own, PATH/cat/1.jpg, or split them already, "
    "PATH/train/cat/1.jpg and PATH/val/cat/2.jpg"
)


def source(request: DataRequest) -> ImageSource:
    """The images below the path behind the colon.

    Without ``val/``, validation is 15 % of each class of the training images, without ``test/``
    the held-out test split another 15 %, drawn from the seed.

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
    trees, remarks = _trees(root)
    _check(trees)
    marks = {
        share: (found := trees.get(share)) and [str(found.root.resolve()), found.fingerprint]
        for share in SHARES
    }
    return ImageSource(
        settings={"recipe": RECIPE, "trees": marks},
        make=lambda sink: _make(sink, request, root, trees, remarks),
    )


def _trees(root: Path) -> tuple[dict[Share, Tree], list[str]]:
    """The folders that there are of each share, and what to say of others."""
    held_out = [name for name in (*VALIDATION, "test") if has_class_folders(root / name)]
    if not has_class_folders(root / "train"):
        if held_out:
            raise DataError(
                f"there is {held_out[0]}/, but no train/ with class folders",
                place=str(root),
                help=LAYOUT,
            )
        return {"train": tree(root)}, []
    trees: dict[Share, Tree] = {"train": tree(root / "train")}
    if "test" in held_out:
        held_out.remove("test")
        trees["test"] = tree(root / "test")
    if len(held_out) > 1:
        raise DataError(
            f"there are {' and '.join(held_out)}; one can be validated on",
            place=str(root),
            help="take the other away",
        )
    if held_out:
        trees["validation"] = tree(root / held_out[0])
    is_unused = (root / "test").is_dir() and "test" not in trees
    return trees, ["test/ has no class folders and is not used"] * is_unused


def _check(trees: Mapping[Share, Tree]) -> None:
    """Refuses classes that cannot be learnt or validated."""
    train, validation = trees["train"], trees.get("validation")
    names = list(train.classes)
    if len(names) < 2:
        what = f"is only one class folder, {shown(names[0])}/" if names else "are no class folders"
        loose = f", {train.num_loose:,} images outside them" if train.num_loose else ""
        raise DataError(
            f"there {what}{loose}; a classifier needs 2 classes or more",
            place=str(train.root),
            help=LAYOUT,
        )
    fewest = 1 if len(trees) == len(SHARES) else FEWEST
    if few := [name for name in names if len(train.classes[name]) < fewest]:
        raise DataError(
            f"too few images in {_names(few, train)}; each class needs {fewest} or more",
            place=str(train.root),
            help="add images, or take the folder away",
        )
    for found in trees.values():
        if unknown := [name for name in found.classes if name not in train.classes]:
            raise DataError(
                f"classes that train/ does not have: {_names(unknown, found)}",
                place=str(found.root),
                help="name the folders alike in both",
            )
    if validation and (absent := [name for name in names if not validation.classes.get(name)]):
        raise DataError(
            f"no image of the classes {', '.join(map(shown, absent[:5]))}",
            place=str(validation.root),
            help="add some, or take the folder away to have it split off train/",
        )


def _names(names: Sequence[str], found: Tree) -> str:
    listed = ", ".join(f"{shown(name)} ({len(found.classes[name])})" for name in names[:5])
    return listed + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _make(
    sink: Sink, request: DataRequest, root: Path, trees: Mapping[Share, Tree], remarks: list[str]
) -> DataFacts:
    names = tuple(trees["train"].classes)
    shares, origin = _shares(trees, seed=request.seed)
    found = gather(sink, shares, request)
    _check_readable(found, names, root)
    class_names = tuple(shown(name) for name in names)
    loose = sum(found.num_loose for found in trees.values())
    others = sum(found.num_others for found in trees.values())
    passed_over = [f"passed over, images outside the class folders: {loose:,}"] * (loose > 0)
    passed_over += [f"passed over, files that are not images: {others:,}"] * (others > 0)
    return DataFacts(
        class_names=class_names,
        description=f"images of {len(names):,} classes from {shown(str(root))}",
        flip=True,
        notes=(*notes(found, class_names=class_names, root=root), *origin, *remarks, *passed_over),
    )


def _shares(trees: Mapping[Share, Tree], *, seed: int) -> tuple[dict[Share, list[Item]], list[str]]:
    """The files of each share, and in words where the held-out ones come from."""
    train = trees["train"]
    names = list(train.classes)
    left = items_of(train, names)
    shares: dict[Share, list[Item]] = {}
    origin = []
    held_out: tuple[Share, ...] = ("test", "validation")
    for number, share in enumerate(held_out):
        if found := trees.get(share):
            shares[share] = items_of(found, names)
            origin.append(f"{share} is {found.root.name}/")
            continue
        labels = np.array([item.label for item in left])
        taken = held_out_share(labels, seed=seed, number=number)
        shares[share] = [left[index] for index in taken]
        left = [left[index] for index in np.delete(np.arange(len(left)), taken)]
        origin.append(f"{share} was drawn from {train.root.name}/ with seed {seed}")
    return {**shares, "train": left}, origin


def _check_readable(found: Gathered, names: Sequence[str], root: Path) -> None:
    """Refuses a class without images left, as they are broken or copies of held-out ones."""
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
