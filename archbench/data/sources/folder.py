"""Photographs of the user's own: one folder per class, with or without ``train/`` and ``val/``."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from archbench.data.dataset import DataError
from archbench.data.decoding import RECIPE as DECODING
from archbench.data.image_files import (
    HELD_OUT,
    check_readable,
    drawn,
    gather,
    notes,
    source_of_files,
)
from archbench.data.source import (
    SHARES,
    DataFacts,
    DataRequest,
    FilesFound,
    ImageSource,
    Share,
    Sink,
)
from archbench.data.tree import (
    Item,
    PassedOver,
    Tree,
    class_folders,
    folders_called,
    has_images,
    items_of,
    look_alike,
    shown,
    tree,
)
from archbench.errors import MissingError

RECIPE = 1  # raise it with every change that changes a byte
FEWEST = 5  # images of a class that is yet to be split
FOLDERS: Mapping[Share, tuple[str, ...]] = {
    "train": ("train", "training"),
    "validation": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
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
    _check_level(root)
    trees, remarks = _trees(root)
    _check(trees)
    marks = {
        share: (found := trees.get(share)) and [str(found.root.resolve()), found.fingerprint]
        for share in SHARES
    }
    settings = {"recipe": RECIPE, "decoding": DECODING, "trees": marks}
    make = partial(_make, root=root, trees=trees, remarks=remarks)
    shares = partial(_shares, trees, seed=request.seed)
    return source_of_files(settings, make, request, shares=shares)


def _check_level(root: Path) -> None:
    """Refuses a folder above or below the one that is meant, and names that.

    Raises:
        DataError: It is one of those.
    """
    root = root.resolve() if root.name in ("", "..") else root
    inside, above = class_folders(root), root.parent
    message, meant = "the data set is a folder in this one", _data_sets(root, inside)
    with suppress(PermissionError):  # what lies beside it may be others'
        beside = [folder for folder in class_folders(above) if folder.name != root.name]
        if inside and root.name.casefold() in FOLDERS["train"] and _has_parts(above):
            message, meant = "this is only its part to train on", [above]
        elif not inside and has_images(root) and any(map(has_images, beside)):
            is_part = any(above.name.casefold() in names for names in FOLDERS.values())
            meant = [above.parent if is_part else above]
            message = "this folder holds the images of one class only"
    if meant:
        raise DataError(
            message,
            place=str(root),
            help=f"say {' or '.join(f'folder:{folder}' for folder in meant[:5])}",
        )


def _data_sets(root: Path, inside: Sequence[Path]) -> Sequence[Path]:
    """The folders in one of no parts that all have train/; or the only one, of class folders."""
    if not inside or any(folders_called(root, names) for names in FOLDERS.values()):
        return []
    if all(folders_called(folder, FOLDERS["train"]) for folder in inside):
        return inside
    is_one = len(inside) == 1 and len(class_folders(inside[0])) > 1
    return inside if is_one and not has_images(inside[0]) else []


def _has_parts(root: Path) -> bool:
    """Whether there are class folders to validate or to test on, beside those to train on."""
    return any(folders_called(root, FOLDERS[share]) for share in HELD_OUT)


def _trees(root: Path) -> tuple[dict[Share, Tree], list[str]]:
    """The folders that there are of each share, and what to say of others."""
    found = {share: _folder(root, names) for share, names in FOLDERS.items()}
    if found["train"] is None:
        if other := found["validation"] or found["test"]:
            raise DataError(
                f"there is {other.name}/, but no train/ with class folders",
                place=str(root),
                help=LAYOUT,
            )
        return {"train": tree(root)}, []
    is_unused = (root / "test").is_dir() and found["test"] is None
    trees = {share: tree(folder) for share, folder in found.items() if folder}
    return trees, ["test/ has no class folders and is not used"] * is_unused


def _folder(root: Path, names: Sequence[str]) -> Path | None:
    """The folder of class folders that has one of some names; None where there is none."""
    folders = folders_called(root, names)
    if len(folders) > 1:
        raise DataError(
            f"there are {' and '.join(folder.name for folder in folders)}; one can be used",
            place=str(root),
            help="take the other away",
        )
    return folders[0] if folders else None


def _check(trees: Mapping[Share, Tree]) -> None:
    """Refuses classes that cannot be learnt or validated."""
    train, validation = trees["train"], trees.get("validation")
    names = list(train.classes)
    if len(names) < 2:
        what = f"is only one class folder, {names[0]}/" if names else "are no class folders"
        loose = train.passed_over.loose
        outside = f", {loose:,} images outside them" if loose else ""
        raise DataError(
            f"there {what}{outside}; a classifier needs 2 classes or more",
            place=str(train.root),
            help=LAYOUT,
        )
    fewest = 1 if len(trees) == len(SHARES) else FEWEST
    if few := [name for name in names if len(train.classes[name]) < fewest]:
        told = "; ".join(["", *train.passed_over.in_words()])
        raise DataError(
            f"too few images in {_names(few, train)}; each class needs {fewest} or more{told}",
            place=str(train.root),
            help="add images, or take the folder away",
        )
    for found in trees.values():
        if unknown := [name for name in found.classes if name not in train.classes]:
            raise DataError(
                f"classes that train/ does not have: {_names(unknown, found)}",
                place=str(found.root),
                help="name the folders alike in both, capitals included",
            )
    if validation and (absent := [name for name in names if not validation.classes.get(name)]):
        raise DataError(
            f"no image of the classes {', '.join(absent[:5])}",
            place=str(validation.root),
            help="add some, or take the folder away to have it split off train/",
        )


def _names(names: Sequence[str], found: Tree) -> str:
    listed = ", ".join(f"{name} ({len(found.classes[name])})" for name in names[:5])
    return listed + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _shares(trees: Mapping[Share, Tree], *, seed: int) -> Mapping[Share, Sequence[Item]]:
    names = tuple(trees["train"].classes)
    return drawn({share: items_of(found, names) for share, found in trees.items()}, seed=seed)


def _make(
    sink: Sink,
    request: DataRequest,
    *,
    root: Path,
    trees: Mapping[Share, Tree],
    remarks: list[str],
) -> FilesFound:
    names = tuple(trees["train"].classes)
    found = gather(sink, _shares(trees, seed=request.seed), request)
    check_readable(found, names, root)
    origin = [
        f"{share} is {trees[share].root.name}/"
        if share in trees
        else f"{share} was drawn from {trees['train'].root.name}/ with seed {request.seed}"
        for share in HELD_OUT
    ]
    passed_over = sum((found.passed_over for found in trees.values()), PassedOver())
    alike = [" and ".join(group) for group in look_alike(names)]
    facts = DataFacts(
        class_names=names,
        description=f"images of {len(names):,} classes from {shown(str(root))}",
        flip=True,
        notes=(
            *notes(found, class_names=names, root=root),
            *origin,
            *remarks,
            *passed_over.in_words(),
            *(f"these classes look alike and are two all the same: {pair}" for pair in alike),
        ),
    )
    return found.with_facts(facts)
