"""Which image files does each share of a name hold: found once, kept, and small in memory?"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from archbench.data.cache import place_in
from archbench.data.dataset import Described
from archbench.data.decoding import Extent
from archbench.data.kept_file import document_of, kept, with_footer, write
from archbench.data.member import Member, Stored
from archbench.data.source import SHARES, DataRequest, FilesFound, ImageSource
from archbench.data.tree import Item
from archbench.digest import sha256_of


@dataclass(frozen=True)
class Files:
    """The image files of a share, and their labels, (N,).

    Names are the bytes of all of them, and where each ends, as a list of a million texts would take
    memory in every process; that of a member of an archive begins with the archive's and a zero.
    ``places`` are offset and size of such members, (N, 2), or (0, 2) for files of their own.
    """

    names: bytes
    ends: np.ndarray
    places: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def path(self, index: int) -> Stored:
        """Where the bytes of a file lie."""
        name = os.fsdecode(self._name(index))
        if not len(self.places):
            return Path(name)
        archive, _, inner = name.partition("\0")
        return Member(Path(archive), inner, *map(int, self.places[index]))

    def read_bytes(self, index: int) -> bytes:
        """The bytes of a file.

        Raises:
            OSError: It cannot be read.
        """
        if len(self.places):
            return self.path(index).read_bytes()
        with open(self._name(index), "rb") as file:
            return file.read()

    def _name(self, index: int) -> bytes:
        return self.names[self.ends[index - 1] if index else 0 : self.ends[index]]


@dataclass(frozen=True, kw_only=True)
class FileList(Described):
    """The files of three disjoint shares; ``extents`` are those of deep pixels, by kind."""

    train: Files
    validation: Files
    test: Files
    extents: Mapping[str, Extent]


def file_list(source: ImageSource, *, request: DataRequest, folder: Path) -> FileList:
    """The files of a source that has some, from a cache folder where it lies there, else found.

    They are those whose images ``load`` gives for the same seed, at whichever resolution. To find
    them takes decoding all once; afterwards only names, sizes and times are looked at.

    Raises:
        StorageError: The cache cannot be read or written.
    """
    assert source.find, "it has no files"
    settings = {"seed": request.seed, **source.settings}
    path = place_in(folder, request, settings, form="list.files")
    make = partial(_make, find=source.find, place=path)
    document, notes = kept(path, _read, make, on_progress=request.progress)
    facts = document["facts"]
    names, flip = tuple(facts["class_names"]), facts["flip"] and request.flip
    return FileList(
        class_names=names,
        description=facts["description"],
        digest=sha256_of([document["contents"], names, flip])[:16],
        flip=flip,
        notes=(*facts["notes"], *notes),
        extents={kind: Extent(**extent) for kind, extent in document["extents"].items()},
        **{share: _files(**columns) for share, columns in document["shares"].items()},
    )


def _make(file: BinaryIO, *, find: Any, place: Path) -> None:
    found: FilesFound = find()
    document = {
        "facts": asdict(found.facts),
        "extents": {kind: asdict(extent) for kind, extent in found.extents.items()},
        "contents": found.contents,
        "shares": {share: _columns(found.items[share]) for share in SHARES},
    }
    write(file, with_footer(document), place=place)


def _columns(items: Sequence[Item]) -> dict[str, list[Any]]:
    members = [item.path for item in items if isinstance(item.path, Member)]
    names = [f"{one.archive.absolute()}\0{one.name}" for one in members]
    return {
        "names": names or [str(Path(str(item.path)).absolute()) for item in items],
        "places": [[one.offset, one.size] for one in members],
        "labels": [item.label for item in items],
    }


def _read(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        return document_of(file, path)[0]


def _files(*, names: list[str], places: list[list[int]], labels: list[int]) -> Files:
    parts = [os.fsencode(name) for name in names]
    return Files(
        names=b"".join(parts),
        ends=np.cumsum([len(part) for part in parts], dtype=np.int64),
        places=np.array(places, dtype=np.int64).reshape(-1, 2),
        labels=np.array(labels, dtype=np.int64),
    )
