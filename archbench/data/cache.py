"""Where are prepared images kept, so that they are decoded once?"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from archbench.data.dataset import DataSet
from archbench.data.entry import FORMAT, DamagedError, Entry, EntryWriter, read_entry, storing
from archbench.data.source import Request, Source, reading
from archbench.errors import StorageError


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


def cached(source: Source, *, kind: str, request: Request, folder: Path) -> DataSet:
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
    path = folder / "data" / f"{kind}-{request.resolution}px-{_key(source, kind)}.images"
    entry, damage = _kept(path, request)
    if entry is None:
        with _locked(path, request):
            entry, damage = _kept(path, request)
            if entry is None:
                _make(source, request, path)
                entry, again = _kept(path, request)
                if entry is None:
                    raise again or StorageError("vanished while in use", place=str(path))
    notes = entry.facts.notes
    if damage:
        notes = (*notes, f"{path} was damaged ({damage.message}) and has been made again")
    return DataSet(
        name=request.name,
        resolution=request.resolution,
        class_names=entry.facts.class_names,
        train=entry.splits["train"],
        validation=entry.splits["validation"],
        test=entry.splits["test"],
        description=entry.facts.description,
        majority_share=_majority_share(entry),
        digest=entry.digest,
        flip=entry.facts.flip,
        notes=notes,
    )


def _key(source: Source, kind: str) -> str:
    text = json.dumps([FORMAT.decode(), kind, source.settings], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _majority_share(entry: Entry) -> float:
    labels = entry.splits["validation"].labels
    return float(labels.bincount().max()) / len(labels)


def _kept(path: Path, request: Request) -> tuple[Entry | None, DamagedError | None]:
    """What lies at a path; nothing, with the damage, if it is not what was written."""
    try:
        return read_entry(path, progress=request.progress), None
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
def _locked(path: Path, request: Request) -> Iterator[None]:
    """Holds the right to make a file; the kernel gives it back even after a kill -9."""
    with storing(str(path)):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.with_suffix(".lock").open("wb")
    with lock:
        with storing(str(path)):
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                request.progress("waiting for another process that prepares the same data", 0, 1)
                fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make(source: Source, request: Request, path: Path) -> None:
    """Write a file beside its place and move it there, so that no half of it is ever seen."""
    with storing(str(path)):
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
            with storing(str(path)):
                os.fsync(file.fileno())
        with storing(str(path)):
            Path(name).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise
