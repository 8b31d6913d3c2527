"""How does a file get its content whole or not at all, and from one process at a time."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from archbench.errors import StorageError


def write_atomically(path: Path, content: bytes) -> None:
    """Give a file new content: a reader sees the old or the new, also after a crash.

    Args:
        path: The file, in a folder that exists.
        content: Everything that it is to hold.

    Raises:
        StorageError: The folder is missing, full or not to be written in; the file is as before.
    """
    partial = path.with_name(f".{path.name}.{uuid4().hex[:8]}.partial")
    try:
        with open(partial, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
        _sync_folder(path.parent)
    except OSError as error:
        raise StorageError(
            f"cannot write the file ({error.strerror})",
            place=str(path),
            help="check that the folder is there, has space and lets you write",
        ) from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


@contextmanager
def writing_alone(path: Path) -> Iterator[None]:
    """Waits until no other process is in here for the file; the kernel lets go when one ends.

    Args:
        path: The file that is to be read and written anew, in a folder that exists. The lock lies
            beside it with the ending ``.lock``.

    Raises:
        OSError: The lock cannot be opened.
    """
    handle = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _sync_folder(folder: Path) -> None:
    """Put the new name on the disk; some file systems cannot, and lose nothing by it."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
