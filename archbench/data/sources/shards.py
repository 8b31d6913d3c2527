"""Images in tar archives by the convention of webdataset: ``KEY.jpg`` beside ``KEY.cls``.

Members are read at random by their place, where webdataset reads archives front to back and mixes
what comes within a window: so an epoch has one order, from any step on, whatever the number of
workers, and the shares can be split and cleaned as those of a folder. It needs local archives.
"""

import glob
import json
import os
import re
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from archbench.data.dataset import DataError
from archbench.data.decoding import RECIPE as DECODING
from archbench.data.image_files import check_readable, drawn, gather, notes, source_of_files
from archbench.data.member import Member
from archbench.data.source import (
    SHARES,
    DataFacts,
    DataRequest,
    FilesFound,
    ImageSource,
    Share,
    Sink,
)
from archbench.data.sources.folder import FEWEST, FOLDERS
from archbench.data.tree import SUFFIXES, Item, shown
from archbench.errors import MissingError

RECIPE = 1  # raise it with every change that changes a byte
NAMES = "classnames.txt"
_LABELS = ("label", "cls", "class")
_BRACES = re.compile(r"\{(\d+)\.\.(\d+)\}")


def source(request: DataRequest) -> ImageSource:
    """The images in the archives behind the colon: a folder of them, or names with ``{00..12}``.

    Stars and question marks stand for what is there. An image is a member with a suffix of one, its
    label a whole number in ``KEY.cls`` or in ``KEY.json``, there as ``label``, ``cls`` or
    ``class``. Archives with train, val or test in their names are those shares; what there is none
    of is drawn from the others, as of a folder. ``classnames.txt`` beside them may name the
    classes, one a line.

    Raises:
        UsageError: No path is given.
        MissingError: There is no such archive.
        DataError: An archive is none, or its images do not make a data set.
    """
    archives = _archives(str(request.path(what="the archives")))
    marks = {share: [_mark(path) for path in paths] for share, paths in archives.items()}
    file = archives["train"][0].parent / NAMES
    names = tuple(file.read_text(encoding="utf-8").split("\n")) if file.is_file() else ()
    named = tuple(shown(name.strip()) for name in names if name.strip())
    settings = {"recipe": RECIPE, "decoding": DECODING, "archives": marks, "names": named}
    make = partial(_make, archives=archives, named=named)
    shares = partial(_shares, archives, seed=request.seed)
    return source_of_files(settings, make, request, shares=shares)


def _mark(path: Path) -> list[str | int]:
    status = path.stat()
    return [str(path.resolve()), status.st_size, status.st_mtime_ns]


def _archives(pattern: str) -> dict[Share, list[Path]]:
    """The archives of each share that has some, in the order of their names."""
    if Path(pattern).is_dir():
        pattern = str(Path(glob.escape(pattern)) / "*.tar")
    found = [path for one in _expanded(pattern) for path in sorted(glob.glob(one)) or [one]]
    if absent := [path for path in found if not Path(path).is_file()]:
        raise MissingError(
            "an archive is not there",
            place=absent[0],
            help="name archives as PATH/{000..012}.tar or PATH/*.tar, or their folder; or use "
            "cluttered_digits, which is built in",
        )
    shares: dict[Share, list[Path]] = {}
    for path in map(Path, found):
        words = re.findall("[a-z]+", path.name.lower())
        share = next((one for one in SHARES if set(words) & set(FOLDERS[one])), SHARES[0])
        shares.setdefault(share, []).append(path)
    if SHARES[0] not in shares:
        raise DataError("there are no archives to train on, only held-out ones", place=pattern)
    return shares


def _expanded(pattern: str) -> list[str]:
    """The names that a range in braces stands for, with as many digits."""
    if not (found := _BRACES.search(pattern)):
        return [pattern]
    first, last = found.groups()
    return [
        name
        for number in range(int(first), int(last) + 1)
        for name in _expanded(
            f"{pattern[: found.start()]}{number:0{len(first)}}{pattern[found.end() :]}"
        )
    ]


def _given(archives: Mapping[Share, list[Path]]) -> dict[Share, list[Item]]:
    return {
        share: [item for path in paths for item in _items(path.absolute())]
        for share, paths in archives.items()
    }


def _shares(archives: Mapping[Share, list[Path]], *, seed: int) -> Mapping[Share, Sequence[Item]]:
    return drawn(_given(archives), seed=seed)


def _make(
    sink: Sink,
    request: DataRequest,
    *,
    archives: Mapping[Share, list[Path]],
    named: tuple[str, ...],
) -> FilesFound:
    root = Path(os.path.commonpath([path.parent.absolute() for path in archives["train"]]))
    given = _given(archives)
    last = max((item.label for items in given.values() for item in items), default=-1)
    names = named or tuple(map(str, range(last + 1)))
    _check(given, names, root)
    found = gather(sink, drawn(given, seed=request.seed), request)
    check_readable(found, names, root)
    told = (
        f"{share} is {len(archives[share]):,} archives of its own"
        if share in archives
        else f"{share} was drawn from the archives to train on with seed {request.seed}"
        for share in ("test", "validation")
    )
    facts = DataFacts(
        class_names=names,
        description=f"images of {len(names):,} classes from archives in {shown(str(root))}",
        flip=True,
        notes=(*notes(found, class_names=names, root=root), *told),
    )
    return found.with_facts(facts)


def _check(given: Mapping[Share, list[Item]], names: tuple[str, ...], root: Path) -> None:
    """Refuses classes that cannot be learnt or validated."""
    for items in given.values():
        for item in items:
            if item.label >= len(names):
                raise DataError(
                    f"its label is {item.label}, and {NAMES} names {len(names):,} classes",
                    place=str(item.path),
                    help="number the classes from 0, in the order of their names",
                )
    counts = np.bincount([item.label for item in given["train"]], minlength=len(names))
    fewest = 1 if len(given) == len(SHARES) else FEWEST
    if len(names) < 2 or counts.min() < fewest:
        few = ", ".join(
            f"{name} ({count})" for name, count in zip(names, counts, strict=True) if count < fewest
        )
        raise DataError(
            f"too few images to train on: {few[:200] or 'one class'}; a classifier needs 2 classes "
            f"or more, and each class {fewest} images or more",
            place=str(root),
            help="number the classes from 0 without gaps",
        )


def _items(path: Path) -> Iterator[Item]:
    """The images of an archive and their labels, in its order."""
    images: dict[str, Member] = {}
    labels: dict[str, int] = {}
    try:
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                folder, _, name = member.name.rpartition("/")
                stem, _, suffix = name.partition(".")
                key, suffix = f"{folder}/{stem}", suffix.lower()
                if not member.isfile() or not stem:
                    continue
                if f".{suffix}" in SUFFIXES:
                    images[key] = Member(path, member.name, member.offset_data, member.size)
                    if member.offset_data + member.size > path.stat().st_size:
                        raise tarfile.ReadError("it is cut short")
                elif suffix in ("cls", "json") and (file := archive.extractfile(member)):
                    labels[key] = _label(file.read(), place=f"{path}:{member.name}")
    except tarfile.TarError as error:
        raise DataError(
            f"no tar archive without compression, or a damaged one ({error})",
            place=str(path),
            help="pack it anew, by tar -cf",
        ) from error
    for key, image in images.items():
        if key not in labels:
            raise DataError(
                "the image has no label beside it",
                place=str(image),
                help="put its class as a whole number into KEY.cls, or as label into KEY.json",
            )
        yield Item(image, labels[key])


def _label(content: bytes, *, place: str) -> int:
    try:
        found = json.loads(content)
        if isinstance(found, dict):
            found = next((found[key] for key in _LABELS if key in found), None)
    except ValueError:
        found = None
    if not isinstance(found, int) or isinstance(found, bool) or found < 0:
        raise DataError(
            "there is no label in it, a whole number from 0 on",
            place=place,
            help=f"write the number of the class, in JSON as one of {', '.join(_LABELS)}",
        )
    return found
