"""Which images does a name mean: from the cache where they lie there unchanged, else prepared.

A file holds the images of all shares one after the other, then the labels, then a JSON document,
in which the sha256 of all before it stands.

Format 1 is the only one so far; a file of another format is made anew.
"""

import hashlib
import mmap
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO, TypeVar

import numpy as np
import torch

from archbench.bounds import BOUNDS
from archbench.cache_folder import cache_folder
from archbench.data.dataset import DataError, DataSet, Split
from archbench.data.in_memory import source_in
from archbench.data.kept_file import FORMAT, DamagedError, document_of, kept, with_footer, write
from archbench.data.source import (
    SHARES,
    SOURCES,
    DataFacts,
    DataRequest,
    ImageSource,
    Share,
    may_flip,
    source_of,
)
from archbench.digest import sha256_of
from archbench.errors import ArchbenchError, MissingError, UsageError
from archbench.progress import Progress, no_progress
from archbench.registry import attribute_of, guest

BLOCK = 1 << 24
_MB = 10**6

Used = TypeVar("Used")


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

    A name is ``cluttered_digits``, ``cluttered_digits:hard``, ``folder:PATH``, ``shards:PATH``,
    ``cifar10:PATH``, ``cifar100:PATH``, ``imagenette:PATH``, ``imagenet:PATH``, or one from
    outside: that of an entry point, or ``module:PACKAGE.MODULE`` of a module with a ``source``,
    behind which stands what that takes, or with a torch Dataset, whose name stands there. With
    ``,flip=no`` at its end, as ``folder:PATH,flip=no``, no image is mirrored in training. The
    images are squares of ``resolution`` pixels. The seed is that of splits and of synthetic images;
    the same one gives
    the same bytes. The cache is ``cache_folder()`` if no other folder is given. Missing data are
    fetched from their home where ``download`` allows it.

    Raises:
        UsageError: The name, the resolution or the seed cannot be taken.
        MissingError: The data is not there, or cannot be read.
        DataError: The data is there, but cannot be learnt from.
        StorageError: The cache cannot be read or written.
    """
    request = request_for(
        name, resolution=resolution, seed=seed, download=download, progress=progress
    )
    folder = cache or cache_folder()
    return with_source(request, partial(cached, request=request, folder=folder))


def request_for(
    name: str, *, resolution: int, seed: int, download: bool, progress: Progress | None
) -> DataRequest:
    """What is asked of the source of a name, see ``load``.

    Raises:
        UsageError: The name, the resolution or the seed cannot be taken.
    """
    kind, argument = source_of(name)
    SOURCES.load(kind, place="data")
    check_resolution(resolution, place=name)
    if seed < 0:
        raise UsageError(f"the seed {seed}; 0 or more can be taken", place=name)
    return DataRequest(
        name=name,
        argument=argument,
        resolution=resolution,
        seed=seed,
        download=download,
        progress=progress or no_progress,
        flip=may_flip(name),
    )


def with_source(request: DataRequest, use: Callable[[ImageSource], Used]) -> Used:
    """What is had by use of the source that is asked for; its errors are told as ``load`` does."""
    kind, _ = source_of(request.name)
    found = SOURCES.load(kind, place="data")
    theirs = guest(place=request.name, passes=(ArchbenchError, OSError))
    try:
        with theirs if SOURCES.is_outside(kind) else nullcontext():
            return use(_source(found, request))
    except OSError as error:  # of the source: the cache's own are no OSErrors
        raise MissingError(
            f"it cannot be read ({error.strerror or error})",
            place=str(error.filename or request.name),
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
    """The data set of a source, from a cache folder where it lies there, else made; see ``kept``.

    Raises:
        StorageError: The cache cannot be read or written.
    """
    path = _entry(source, request=request, folder=folder)

    def make(file: BinaryIO) -> None:
        writer = EntryWriter(file, request=request, place=str(path))
        writer.finish(source.make(writer.add))

    found, notes = kept(path, partial(_read, request=request), make, on_progress=request.progress)
    return replace(found, notes=(*found.notes, *notes))


def entry_path(name: str, *, resolution: int) -> Path:
    """Where in the user's cache the images of a name lie, once they are prepared; see ``load``.

    Raises:
        ArchbenchError: See ``load``.
    """
    request = request_for(name, resolution=resolution, seed=0, download=False, progress=None)
    return with_source(request, partial(_entry, request=request, folder=cache_folder()))


def _entry(source: ImageSource, *, request: DataRequest, folder: Path) -> Path:
    settings = {"resolution": request.resolution, "seed": request.seed, **source.settings}
    return place_in(folder, request, settings, form=f"{request.resolution}px.images")


def place_in(folder: Path, request: DataRequest, settings: Mapping[str, Any], *, form: str) -> Path:
    """Where in a cache folder lies what these settings give; the form ends in the file's suffix."""
    kind, _ = source_of(request.name)
    digest = sha256_of([FORMAT.decode(), kind, settings])[:16]
    stem, _, suffix = form.rpartition(".")
    return folder / "data" / f"{kind.rpartition(':')[2]}-{stem}-{digest}.{suffix}"


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
        self._write(with_footer(document))

    def _write(self, content: bytes) -> None:
        self._sha256.update(content)
        write(self._file, content, place=self._place)


def _read(path: Path, request: DataRequest) -> DataSet:
    """The data set in a file, all of it checked; images are mapped, and writing to them is private.

    Raises:
        DamagedError: The file is not what was written.
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        document, end = document_of(file, path)
        _check(file, path, request, end=end, sha256=document["sha256"])
        private = mmap.MAP_PRIVATE | getattr(mmap, "MAP_NORESERVE", 0)
        mapped = mmap.mmap(file.fileno(), 0, flags=private, prot=mmap.PROT_READ | mmap.PROT_WRITE)
    # Notes and description are about the content, not of it.
    kept = ("resolution", "shares", "class_names", "flip", "sha256")
    flip = document["flip"] = document["flip"] and request.flip
    return DataSet(
        name=request.name,
        resolution=request.resolution,
        class_names=tuple(document["class_names"]),
        description=document["description"],
        digest=sha256_of({key: document[key] for key in kept})[:16],
        flip=flip,
        notes=tuple(document["notes"]),
        **dict(_splits(mapped, document)),
    )


def _check(file: BinaryIO, path: Path, request: DataRequest, *, end: int, sha256: str) -> None:
    file.seek(0)
    found = hashlib.sha256()
    for start in range(0, end, BLOCK):
        request.progress("checking the cached images, MB", start // _MB, max(1, end // _MB))
        found.update(file.read(min(BLOCK, end - start)))
    request.progress("checking the cached images, MB", max(1, end // _MB), max(1, end // _MB))
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
