"""Who may measure on a device now: one process of a user at a time."""

from __future__ import annotations

import errno
import fcntl
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from archbench.errors import StorageError

_POLL_S = 0.02


@contextmanager
def measurement_lock(
    device: str, *, folder: Path | None = None, patience_s: float = 600.0
) -> Iterator[None]:
    """Holds the device's measurement lock, after waiting for whoever holds it.

    The kernel lets go of it when the process ends, however it ends. It is not reentrant.

    Args:
        device: ``cpu`` or ``cuda``.
        folder: Where the lock files lie; all who are to exclude one another must agree on it.
        patience_s: How long to wait.

    Raises:
        StorageError: The lock cannot be opened, or was not free within the patience.
    """
    path = (folder or runtime_folder()) / f"measure-{device}.lock"
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StorageError(
            f"the measurement lock cannot be opened: {error.strerror}",
            place=str(path),
            help="make the folder writable for you",
        ) from error
    try:
        _wait(handle, path=path, device=device, patience_s=patience_s)
        os.ftruncate(handle, 0)
        os.pwrite(handle, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(handle)


def runtime_folder() -> Path:
    """The user's own folder for things that live as long as a login, made if it is not there.

    Raises:
        StorageError: The folder belongs to somebody else.
    """
    if given := os.environ.get("XDG_RUNTIME_DIR"):
        folder = Path(given) / "archbench"
    else:
        folder = Path(tempfile.gettempdir()) / f"archbench-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        owner = folder.lstat().st_uid
    except OSError as error:
        raise StorageError(
            f"the runtime folder cannot be made: {error.strerror}",
            place=str(folder),
            help="set XDG_RUNTIME_DIR to a folder that you may write",
        ) from error
    if owner != os.getuid():
        raise StorageError(
            "the runtime folder belongs to another user",
            place=str(folder),
            help="remove it, or set XDG_RUNTIME_DIR to a folder of your own",
        )
    return folder


def _wait(handle: int, *, path: Path, device: str, patience_s: float) -> None:
    end = time.monotonic() + patience_s
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise
        else:
            return
        if time.monotonic() >= end:
            holder = os.pread(handle, 32, 0).decode(errors="replace") or "unknown"
            raise StorageError(
                f"process {holder} has been measuring on {device} for {patience_s:.0f} s",
                place=str(path),
                help="wait until it ends, or end it",
            )
        time.sleep(_POLL_S)
