"""How does what took long to make lie in the cache: whole or not at all, and made once?

A file ends with a JSON document and a footer with the sha256 of that. A file cut short has no
footer, and a turned bit does not pass.
"""

import errno
import hashlib
import json
import os
import struct
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from archbench.errors import StorageError
from archbench.lock import locked
from archbench.progress import Progress

FORMAT = b"archbench data 1"
FOOTER = struct.Struct("<Q32s16s")  # length and sha256 of the document, format
FULL = (errno.ENOSPC, errno.EDQUOT)

Kept = TypeVar("Kept")


class DamagedError(StorageError):
    """A cached file that is not what was written."""


def kept(
    path: Path,
    read: Callable[[Path], Kept],
    make: Callable[[BinaryIO], None],
    *,
    on_progress: Progress,
) -> tuple[Kept, tuple[str, ...]]:
    """What is read of a file, which is made where it is not there, and notes on that.

    Two processes that want the same at once make it once: the second one waits. A file that was
    damaged, of which ``read`` raises ``DamagedError``, is made again, which is noted. The file to
    be made is opened without a buffer, so that no failure waits for its end.

    Raises:
        StorageError: The cache cannot be read or written.
    """
    found = _found(path, read)
    if not isinstance(found, DamagedError | None):
        return found, ()
    with _locked(path, on_progress):
        found = _found(path, read)
        if not isinstance(found, DamagedError | None):
            return found, ()
        _make(make, path)
        with storing(path):
            made = read(path)
    if found is None:
        return made, ()
    return made, (f"{path} was damaged ({found.message}) and has been made again",)


def _found(path: Path, read: Callable[[Path], Kept]) -> Kept | DamagedError | None:
    """What lies at a path, or the damage if it is not what was written."""
    try:
        return read(path)
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
def _locked(path: Path, on_progress: Progress) -> Iterator[None]:
    """Holds the right to make a file; the kernel gives it back even after a kill -9."""
    lock, doing = path.with_suffix(".lock"), "prepares the same data"
    with ExitStack() as held:
        with storing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            held.enter_context(locked(lock, doing=doing, on_progress=on_progress))
        yield


def _make(make: Callable[[BinaryIO], None], path: Path) -> None:
    """Write a file beside its place and move it there, so that no half of it is ever seen."""
    with storing(path):
        for left in path.parent.glob(f".{path.name}.*"):  # by a process that was killed
            left.unlink(missing_ok=True)
        number, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(number, "wb", buffering=0) as file:
            make(file)
            with storing(path):
                os.fsync(file.fileno())
        with storing(path):
            Path(name).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise


@contextmanager
def storing(place: Path | str) -> Iterator[None]:
    """Turns a failure to write into one plain message."""
    try:
        yield
    except OSError as error:
        cause = "the disk is full" if error.errno in FULL else error.strerror or str(error)
        raise StorageError(
            f"the prepared images cannot be kept ({cause})",
            place=str(place),
            help="make room there, or set ARCHBENCH_CACHE to a folder that can be written",
        ) from error


def write(file: BinaryIO, content: bytes, *, place: Path | str) -> None:
    """Write all of it; written, not mapped: a full disk then is an OSError and not a SIGBUS.

    Raises:
        StorageError: It cannot be written.
    """
    left = memoryview(content)
    with storing(place):
        while left:
            left = left[file.write(left) :]


def with_footer(document: object) -> bytes:
    """The end of a file: a JSON document and its footer."""
    text = json.dumps(document).encode()
    return text + FOOTER.pack(len(text), hashlib.sha256(text).digest(), FORMAT)


def document_of(file: BinaryIO, path: Path) -> tuple[dict[str, Any], int]:
    """The JSON document, and where the bytes before it end.

    Raises:
        DamagedError: It is not what was written.
    """
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
