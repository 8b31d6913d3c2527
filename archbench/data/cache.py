"""Which images does a name mean: from the cache where they lie there unchanged, else prepared.

A file holds the images of all shares one after the other, then the labels, then a JSON document,
then a footer with the sha256 of that document, in which the sha256 of all before it stands. A file
cut short has no footer, and a turned bit does not pass.

Format 1 is the only one so far; a file of another format is made anew.
"""

import errno
import hashlib
import json
import mmap
import os
import struct
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import asdict, replace
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO

import numpy as np
import torch

from archbench.bounds import BOUNDS
from archbench.cache_folder import cache_folder
from archbench.data.dataset import DataError, DataSet, Split
from archbench.data.in_memory import source_in
from archbench.data.source import (
    SHARES,
    SOURCES,
    DataFacts,
    DataRequest,
    ImageSource,
    Share,
    source_of,
)
from archbench.digest import sha256_of
from archbench.errors import ArchbenchError, MissingError, StorageError, UsageError
from archbench.lock import locked
from archbench.progress import Progress, no_progress
from archbench.registry import attribute_of, guest

FORMAT = b"archbench data 1"
FOOTER = struct.Struct("<Q32s16s")  # length and sha256 of the document, format
BLOCK = 1 << 24
FULL = (errno.ENOSPC, errno.EDQUOT)


class DamagedError(StorageError):
    """A cached file that is not what was written."""


def load(
    name: str,
    *,
    resolution: int,
    seed: int = 0,
    cache: Path | None = None,
    download: bool = False,
    progress: Progress | None = None,
) -> DataSet:
    """The data set of a name, decoded and resized once, afterwards mapped from the cache.

    A name is ``cluttered_digits``, ``cluttered_digits:hard``, ``folder:PATH``, ``cifar10:PATH``,
    ``cifar100:PATH``, ``imagenette:PATH``, ``imagenet:PATH``, or one from outside: that of an entry
    point, or ``module:PACKAGE.MODULE`` of a module with a ``source``, behind which stands what that
    takes, or with a torch Dataset, whose name stands there. The images are squares of
    ``resolution`` pixels. The seed is that of splits and of synthetic images; the same one gives
    the same bytes. The cache is ``cache_folder()`` if no other folder is given. Missing data are
    fetched from their home where ``download`` allows it.

    Raises:
        UsageError: The name, the resolution or the seed cannot be taken.
        MissingError: The data is not there, or cannot be read.
        DataError: The data is there, but cannot be learnt from.
        StorageError: The cache cannot be read or written.
    """
    kind, argument = source_of(name)
    found = SOURCES.load(kind, place="data")
    check_resolution(resolution, place=name)
    if seed < 0:
        raise UsageError(f"the seed {seed}; 0 or more can be taken", place=name)
    request = DataRequest(
        name=name,
        argument=argument,
        resolution=resolution,
        seed=seed,
        download=download,
        progress=progress or no_progress,
    )
    theirs = guest(place=name, passes=(ArchbenchError, OSError))
    try:
        with theirs if SOURCES.is_outside(kind) else nullcontext():
            source = _source(found, request)
            return cached(source, request=request, folder=cache or cache_folder())
    except OSError as error:  # of the source: the cache's own are no OSErrors
        raise MissingError(
            f"it cannot be read ({error.strerror or error})",
            place=str(error.filename or name),
            help="see to its permissions and its disk",
        ) from error


def check_resolution(resolution: int, *, place: str) -> None:
    """Refuses a side of images in pixels that cannot be prepared.

    Raises:
        UsageError: It is too small or too large.
    """
    low, high = BOUNDS["image side"]
    if not low <= resolution <= high:
        raise UsageError(
            f"a resolution of {resolution} px; {low} to {high} px can be prepared", place=place
        )


def _source(found: Any, request: DataRequest) -> ImageSource:
    """The source of an entry; one from outside may hold a data set in its place."""
    if hasattr(found, "source"):
        source: ImageSource = found.source(request)
        return source
    if isinstance(found, ModuleType):
        found = attribute_of(found, request.argument or "source", place=request.name)
    return source_in(found, request)


def cached(source: ImageSource, *, request: DataRequest, folder: Path) -> DataSet:
    """The data set of a source, from a cache folder where it lies there, else made.

    Two processes that want the same at once make it once: the second one waits. A file that was
    damaged is made again, which the notes of the data set say.

    Raises:
        StorageError: The cache cannot be read or written.
    """
    kind, _ = source_of(request.name)
    settings = {"resolution": request.resolution, "seed": request.seed, **source.settings}
    digest = sha256_of([FORMAT.decode(), kind, settings])[:16]
    path = folder / "data" / f"{kind.rpartition(':')[2]}-{request.resolution}px-{digest}.images"
    found = _kept(path, request)
    if isinstance(found, DataSet):
        return found
    with _locked(path, request):
        found = _kept(path, request)
        if isinstance(found, DataSet):
            return found
        _make(source, request, path)
        with _storing(str(path)):
            made = _read(path, request)
    if found is None:
        return made
    note = f"{path} was damaged ({found.message}) and has been made again"
    return replace(made, notes=(*made.notes, note))


def _kept(path: Path, request: DataRequest) -> DataSet | DamagedError | None:
    """What lies at a path, or the damage if it is not what was written."""
    try:
        return _read(path, request)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except DamagedError as damage:
        return damage
    except OSError as error:
        raise StorageError(
            f"the cached images cannot be read ({error.strerror or error})",
            place=str(path),
            help="delete the file, and it is made again",
        ) from error


@contextmanager
def _locked(path: Path, request: DataRequest) -> Iterator[None]:
    """Holds the right to make a file; the kernel gives it back even after a kill -9."""
    lock, doing = path.with_suffix(".lock"), "prepares the same data"
    with ExitStack() as held:
        with _storing(str(path)):
            path.parent.mkdir(parents=True, exist_ok=True)
            held.enter_context(locked(lock, doing=doing, on_progress=request.progress))
        yield


def _make(source: ImageSource, request: DataRequest, path: Path) -> None:
    """Write a file beside its place and move it there, so that no half of it is ever seen."""
    with _storing(str(path)):
        for left in path.parent.glob(f".{path.name}.*"):  # by a process that was killed
            left.unlink(missing_ok=True)
        number, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(number, "wb", buffering=0) as file:
            writer = EntryWriter(file, request=request, place=str(path))
            writer.finish(source.make(writer.add))
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

    The file is opened without a buffer, so that no failure waits for its end; messages call it
    ``place``.
    """

    def __init__(self, file: BinaryIO, *, request: DataRequest, place: str) -> None:
        self._file, self._request, self._place = file, request, place
        self._sha256 = hashlib.sha256()
        self._labels: dict[Share, list[np.ndarray]] = {}

    def add(self, share: Share, images: np.ndarray, labels: np.ndarray) -> None:
        """Append images of a share; as a ``Sink``.

        Raises:
            StorageError: They cannot be written.
        """
        started = list(self._labels)
        assert share not in started[:-1], f"{share} was left and taken up again"
        assert images.dtype == np.uint8
        assert images.shape == (len(labels), 3, *2 * [self._request.resolution])
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
            found, num_classes = labels.get(share, np.empty(0)), len(facts.class_names)
            place = f"{self._request.name}: {share}"
            if not len(found):
                raise DataError("there is no image", place=place)
            for label in (found.min(), found.max()):
                if not 0 <= label < num_classes:
                    allowed = f"{num_classes} classes take 0 to {num_classes - 1}"
                    raise DataError(f"label {label} is out of range; {allowed}", place=place)
        self._write(b"".join(part.tobytes() for part in labels.values()))
        document = {
            **asdict(facts),
            "resolution": self._request.resolution,
            "shares": [[share, len(part)] for share, part in labels.items()],
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
    return DataSet(
        name=request.name,
        resolution=request.resolution,
        class_names=tuple(document["class_names"]),
        description=document["description"],
        digest=sha256_of({key: document[key] for key in kept})[:16],
        flip=document["flip"],
        notes=tuple(document["notes"]),
        **dict(_splits(mapped, document)),
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


def _splits(mapped: mmap.mmap, document: dict[str, Any]) -> Iterator[tuple[str, Split]]:
    size = document["resolution"]
    labels_at = sum(count for _, count in document["shares"]) * 3 * size * size
    images_at = 0
    for share, count in document["shares"]:
        images = np.frombuffer(mapped, np.uint8, count=count * 3 * size * size, offset=images_at)
        labels = np.frombuffer(mapped, "<i8", count=count, offset=labels_at).astype(np.int64)
        pixels = torch.from_numpy(images).view(count, 3, size, size)
        yield share, Split(pixels, torch.from_numpy(labels))
        images_at, labels_at = images_at + images.nbytes, labels_at + labels.nbytes
