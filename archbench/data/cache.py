"""Where are prepared images kept, so that they are decoded once, and are they still the same?

A file holds the images of all shares one after the other, then the labels, then a JSON document,
then a footer with the sha256 of that document, in which the sha256 of all before it stands. A file
cut short has no footer, and a turned bit does not pass.

Format 1 is the only one so far; a file of another format is made anew.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import mmap
import os
import struct
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch

from archbench.data.dataset import DataSet, Split, check_labels
from archbench.data.source import SHARES, DataFacts, DataRequest, ImageSource, Share, reading
from archbench.errors import StorageError

FORMAT = b"archbench data 1"
FOOTER = struct.Struct("<Q32s16s")  # length and sha256 of the document, format
BLOCK = 1 << 24
FULL = (errno.ENOSPC, errno.EDQUOT)


class DamagedError(StorageError):
    """A cached file that is not what was written."""


def cache_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """The user's cache folder: ARCHBENCH_CACHE, else XDG_CACHE_HOME or ~/.cache, archbench in it.

    Raises:
        StorageError: No variable says where, and there is no home.
    """
    shared = Path(environment.get("XDG_CACHE_HOME", ""))
    try:
        if named := environment.get("ARCHBENCH_CACHE"):
            return Path(named).expanduser()
        if shared.is_absolute():  # as the XDG specification asks
            return shared / "archbench"
        return Path.home() / ".cache" / "archbench"
    except RuntimeError as error:
        raise StorageError(
            "there is no home folder to keep prepared images in",
            help="set ARCHBENCH_CACHE to a folder that can be written",
        ) from error


def cached(source: ImageSource, *, kind: str, request: DataRequest, folder: Path) -> DataSet:
    """The data set of a source, from the cache where it lies there, else made and kept.

    Two processes that want the same at once make it once: the second one waits. A file that was
    damaged is made again, which the notes of the data set say.

    Args:
        source: What to make.
        kind: The source's name, for the file's name.
        request: What was asked.
        folder: The cache folder; made if it is not there.

    Raises:
        MissingError: The source cannot be read.
        StorageError: The cache cannot be read or written.
    """
    key = json.dumps([FORMAT.decode(), kind, source.settings], sort_keys=True)
    digest = hashlib.sha256(key.encode()).hexdigest()[:16]
    path = folder / "data" / f"{kind}-{request.resolution}px-{digest}.images"
    dataset, damage = _kept(path, request)
    if dataset is None:
        with _locked(path, request):
            dataset, damage = _kept(path, request)
            if dataset is None:
                _make(source, request, path)
                dataset, again = _kept(path, request)
                if dataset is None:
                    raise again or StorageError("vanished while in use", place=str(path))
    if damage:
        note = f"{path} was damaged ({damage.message}) and has been made again"
        return replace(dataset, notes=(*dataset.notes, note))
    return dataset


def _kept(path: Path, request: DataRequest) -> tuple[DataSet | None, DamagedError | None]:
    """What lies at a path; nothing, with the damage, if it is not what was written."""
    try:
        return _read(path, request), None
    except (FileNotFoundError, NotADirectoryError):
        return None, None
    except DamagedError as damage:
        return None, damage
    except OSError as error:
        raise StorageError(
            f"the cached images cannot be read ({error.strerror or error})",
            place=str(path),
            help="delete the file, and it is made again",
        ) from error


@contextmanager
def _locked(path: Path, request: DataRequest) -> Iterator[None]:
    """Holds the right to make a file; the kernel gives it back even after a kill -9."""
    with _storing(str(path)):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.with_suffix(".lock").open("wb")
    with lock:
        with _storing(str(path)):
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                request.progress("waiting for another process that prepares the same data", 0, 1)
                fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make(source: ImageSource, request: DataRequest, path: Path) -> None:
    """Write a file beside its place and move it there, so that no half of it is ever seen."""
    with _storing(str(path)):
        for left in path.parent.glob(f".{path.name}.*"):  # by a process that was killed
            left.unlink(missing_ok=True)
        number, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(number, "wb", buffering=0) as file:
            writer = EntryWriter(
                file=file, name=request.name, place=str(path), resolution=request.resolution
            )
            with reading(request):
                facts = source.make(writer)
            writer.finish(facts)
            with _storing(str(path)):
                os.fsync(file.fileno())
        with _storing(str(path)):
            Path(name).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise


class EntryWriter:
    """Writes a data set front to back, without ever holding it in memory.

    Args:
        file: Where to; opened for writing without a buffer, so that no failure waits for its end.
        name: Name of the data set, for messages.
        place: What to call the file in messages.
        resolution: Side of the images in pixels.
    """

    def __init__(self, file: BinaryIO, *, name: str, place: str, resolution: int) -> None:
        self._file, self._name, self._place, self._resolution = file, name, place, resolution
        self._sha256 = hashlib.sha256()
        self._labels: dict[Share, list[np.ndarray]] = {}

    def add(self, share: Share, images: np.ndarray, labels: np.ndarray) -> None:
        """Append images of a share; see ``archbench.data.source.Sink``.

        Raises:
            StorageError: They cannot be written.
        """
        started = list(self._labels)
        assert share not in started[:-1], f"{share} was left and taken up again"
        assert images.dtype == np.uint8
        assert images.shape == (len(labels), 3, self._resolution, self._resolution)
        self._labels.setdefault(share, []).append(labels.astype("<i8"))
        self._write(np.ascontiguousarray(images).tobytes())

    def finish(self, facts: DataFacts) -> None:
        """Write all that is not images.

        Raises:
            DataError: A share has no image, or a label is out of range.
            StorageError: It cannot be written.
        """
        labels = {share: np.concatenate(parts) for share, parts in self._labels.items()}
        for share in SHARES:
            found = torch.from_numpy(labels.get(share, np.empty(0)))
            check_labels(found, num_classes=len(facts.class_names), place=f"{self._name}: {share}")
        self._write(b"".join(part.tobytes() for part in labels.values()))
        document = {
            "resolution": self._resolution,
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
        with _storing(self._place):
            while left:
                left = left[self._file.write(left) :]


@contextmanager
def _storing(place: str) -> Iterator[None]:
    """Turns a failure to write into one plain message."""
    try:
        yield
    except OSError as error:
        cause = "the disk is full" if error.errno in FULL else error.strerror or str(error)
        raise StorageError(
            f"the prepared images cannot be kept ({cause})",
            place=place,
            help="make room there, or set ARCHBENCH_CACHE to a folder that can be written",
        ) from error


def _read(path: Path, request: DataRequest) -> DataSet:
    """The data set in a file, all of it checked; images are mapped, and writing to them is private.

    Raises:
        DamagedError: The file is not what was written.
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        document, end = _document(file, path)
        _check(file, path, request, end=end, sha256=document["sha256"])
        private = mmap.MAP_PRIVATE | getattr(mmap, "MAP_NORESERVE", 0)
        mapped = mmap.mmap(file.fileno(), 0, flags=private, prot=mmap.PROT_READ | mmap.PROT_WRITE)
    # Notes and description are about the content, not of it.
    kept = ("resolution", "shares", "class_names", "flip", "sha256")
    content = json.dumps({key: document[key] for key in kept}, sort_keys=True)
    splits = dict(_splits(mapped, document))
    return DataSet(
        name=request.name,
        resolution=request.resolution,
        class_names=tuple(document["class_names"]),
        train=splits["train"],
        validation=splits["validation"],
        test=splits["test"],
        description=document["description"],
        digest=hashlib.sha256(content.encode()).hexdigest()[:16],
        flip=document["flip"],
        notes=tuple(document["notes"]),
    )


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


def _check(file: BinaryIO, path: Path, request: DataRequest, *, end: int, sha256: str) -> None:
    file.seek(0)
    found = hashlib.sha256()
    for start in range(0, end, BLOCK):
        request.progress("checking the cached images", start, end)
        found.update(file.read(min(BLOCK, end - start)))
    request.progress("checking the cached images", end, end)
    if found.hexdigest() != sha256:
        raise DamagedError("its images are not what was written", place=str(path))


def _splits(mapped: mmap.mmap, document: dict[str, Any]) -> Iterator[tuple[Share, Split]]:
    size = document["resolution"]
    labels_at = sum(count for _, count in document["shares"]) * 3 * size * size
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
