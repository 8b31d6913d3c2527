"""How does a prepared data set lie in a file, and is it still what was written?

The images of all shares one after the other, then the labels, then a JSON document, then a footer
with the sha256 of that document, in which the sha256 of all before it stands. A file cut short has
no footer, and a turned bit does not pass.

Format 1 is the only one so far; a file of another format is made anew.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import mmap
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch

from archbench.data.dataset import Split, check_labels
from archbench.data.source import SHARES, Facts, Progress, Share
from archbench.errors import StorageError

FORMAT = b"archbench data 1"
FOOTER = struct.Struct("<Q32s16s")  # length and sha256 of the document, format
BLOCK = 1 << 24
FULL = (errno.ENOSPC, errno.EDQUOT)


class DamagedError(StorageError):
    """A cached file that is not what was written."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What a file holds; images are mapped privately, so writing to them changes no file."""

    splits: dict[Share, Split]
    facts: Facts
    digest: str


@dataclass(kw_only=True)
class EntryWriter:
    """Writes a data set front to back, without ever holding it in memory.

    Attributes:
        file: Where to; opened for writing without a buffer, so that no failure waits for its end.
        name: Name of the data set, for messages.
        place: What to call the file in messages.
        resolution: Side of the images in pixels.
    """

    file: BinaryIO
    name: str
    place: str
    resolution: int
    _sha256: Any = field(default_factory=hashlib.sha256)
    _labels: dict[Share, list[np.ndarray]] = field(default_factory=dict)

    def add(self, share: Share, images: np.ndarray, labels: np.ndarray) -> None:
        """Append images of a share; see ``archbench.data.source.Sink``.

        Raises:
            StorageError: They cannot be written.
        """
        started = list(self._labels)
        assert share not in started[:-1], f"{share} was left and taken up again"
        assert images.dtype == np.uint8
        assert images.shape == (len(labels), 3, self.resolution, self.resolution)
        self._labels.setdefault(share, []).append(labels.astype("<i8"))
        self._write(np.ascontiguousarray(images).tobytes())

    def finish(self, facts: Facts) -> None:
        """Write all that is not images.

        Raises:
            DataError: A share has no image, or a label is out of range.
            StorageError: It cannot be written.
        """
        labels = {share: np.concatenate(parts) for share, parts in self._labels.items()}
        for share in SHARES:
            found = torch.from_numpy(labels.get(share, np.empty(0)))
            check_labels(found, num_classes=len(facts.class_names), place=f"{self.name}: {share}")
        self._write(b"".join(part.tobytes() for part in labels.values()))
        document = {
            "resolution": self.resolution,
            "shares": [[share, len(part)] for share, part in labels.items()],
            "class_names": facts.class_names,
            "flip": facts.flip,
            "description": facts.description,
            "notes": facts.notes,
            "sha256": self._sha256.hexdigest(),
        }
        text = json.dumps(document).encode()
        self._write(text + FOOTER.pack(len(text), hashlib.sha256(text).digest(), FORMAT))

    def _write(self, content: bytes) -> None:
        # written, not mapped: a full disk then is an OSError and not a SIGBUS
        self._sha256.update(content)
        left = memoryview(content)
        with storing(self.place):
            while left:
                left = left[self.file.write(left) :]


@contextmanager
def storing(place: str) -> Iterator[None]:
    """Turns a failure to write into one plain message.

    Raises:
        StorageError: The disk is full, or the folder cannot be written.
    """
    try:
        yield
    except OSError as error:
        cause = "the disk is full" if error.errno in FULL else error.strerror or str(error)
        raise StorageError(
            f"the prepared images cannot be kept ({cause})",
            place=place,
            help="make room there, or set ARCHBENCH_CACHE to a folder that can be written",
        ) from error


def read_entry(path: Path, *, progress: Progress) -> Entry:
    """The data set in a file, all of it checked against its sha256.

    Raises:
        DamagedError: The file is not what was written.
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        document, end = _document(file, path)
        _check(file, path, end=end, sha256=document["sha256"], progress=progress)
        private = mmap.MAP_PRIVATE | getattr(mmap, "MAP_NORESERVE", 0)
        mapped = mmap.mmap(file.fileno(), 0, flags=private, prot=mmap.PROT_READ | mmap.PROT_WRITE)
    facts = Facts(
        class_names=tuple(document["class_names"]),
        description=document["description"],
        flip=document["flip"],
        notes=tuple(document["notes"]),
    )
    return Entry(splits=dict(_splits(mapped, document)), facts=facts, digest=_digest(document))


def _document(file: BinaryIO, path: Path) -> tuple[dict[str, Any], int]:
    """The JSON document, and where the bytes before it end."""
    size = file.seek(0, 2)
    if size < FOOTER.size:
        raise DamagedError("cut short", place=str(path))
    file.seek(size - FOOTER.size)
    length, sha256, form = FOOTER.unpack(file.read(FOOTER.size))
    if form != FORMAT or length > size - FOOTER.size:
        raise DamagedError("cut short, or of another format", place=str(path))
    end = size - FOOTER.size - length
    file.seek(end)
    text = file.read(length)
    if hashlib.sha256(text).digest() != sha256:
        raise DamagedError("its description is not what was written", place=str(path))
    document: dict[str, Any] = json.loads(text)
    return document, end


def _check(file: BinaryIO, path: Path, *, end: int, sha256: str, progress: Progress) -> None:
    file.seek(0)
    found = hashlib.sha256()
    for start in range(0, end, BLOCK):
        progress("checking the cached images", start, end)
        found.update(file.read(min(BLOCK, end - start)))
    progress("checking the cached images", end, end)
    if found.hexdigest() != sha256:
        raise DamagedError("its images are not what was written", place=str(path))


def _splits(mapped: mmap.mmap, document: dict[str, Any]) -> Iterator[tuple[Share, Split]]:
    size = document["resolution"]
    labels_at = math.prod((sum(count for _, count in document["shares"]), 3, size, size))
    images_at = 0
    for share, count in document["shares"]:
        length = count * 3 * size * size
        images = np.frombuffer(mapped, np.uint8, count=length, offset=images_at)
        labels = np.frombuffer(mapped, "<i8", count=count, offset=labels_at)
        yield (
            share,
            Split(
                torch.from_numpy(images).view(count, 3, size, size),
                torch.from_numpy(labels.astype(np.int64)),
            ),
        )
        images_at, labels_at = images_at + length, labels_at + 8 * count


def _digest(document: dict[str, Any]) -> str:
    """Identity of the content: notes and description are about it, not of it."""
    kept = ("resolution", "shares", "class_names", "flip", "sha256")
    text = json.dumps({key: document[key] for key in kept}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
