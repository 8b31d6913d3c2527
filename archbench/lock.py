"""Who holds a lock that this process waits for?"""

import fcntl
import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from archbench.progress import Progress

TOLD_AFTER_S = 3.0
_POLL_S = 0.02


@contextmanager
def locked(
    path: Path,
    *,
    doing: str,
    on_progress: Progress | None = None,
    patience_s: float = math.inf,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[None]:
    """Holds the lock of a file, which is made where it is missing, after waiting for who holds it.

    The kernel lets go of it when the process ends, however it ends. It is not reentrant. A wait
    of 3 s is told once, as work of which there is nothing to count, with the process and
    what it is ``doing``: ``waiting for process 4242 (python), which measures on cpu``.

    Raises:
        TimeoutError: It was not free within the patience; its message names the holder.
        OSError: The file cannot be opened, is a link, or the file system cannot lock it.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        _wait(handle, doing, on_progress=on_progress, patience_s=patience_s, clock=clock)
        with suppress(OSError):  # a full disk: the kernel's list may have to do
            os.ftruncate(handle, 0)
            os.pwrite(handle, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(handle)


def holder(path: Path) -> str:
    """The number of the process that holds the lock of a file; empty where none is known."""
    try:
        return _locker(path.stat().st_ino)
    except OSError:
        return ""


def _wait(
    handle: int,
    doing: str,
    *,
    on_progress: Progress | None,
    patience_s: float,
    clock: Callable[[], float],
) -> None:
    begin, is_told = clock(), on_progress is None
    while True:
        with suppress(BlockingIOError, PermissionError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        waited_s = clock() - begin
        if waited_s >= patience_s:
            raise TimeoutError(_holder(handle))
        if not is_told and on_progress and waited_s >= TOLD_AFTER_S:
            on_progress(f"waiting for {_holder(handle)}, which {doing}", 0, 0)
            is_told = True
        time.sleep(_POLL_S)


def _holder(handle: int) -> str:
    """The process that holds a file's lock, as far as the system and its signature tell."""
    process = _locker(os.fstat(handle).st_ino)
    with suppress(OSError):
        process = process or os.pread(handle, 32, 0).decode(errors="replace")
    if not process.isdecimal():
        return "another process"
    with suppress(OSError):
        return f"process {process} ({Path(f'/proc/{process}/comm').read_text().strip()})"
    return f"process {process}"


def _locker(inode: int) -> str:
    """The number of the process that locked a file, in the kernel's list; empty where not there.

    A lock that was not taken by one of ours has no signature, or that of the one before.
    """
    with suppress(OSError):
        for line in Path("/proc/locks").read_text().splitlines():
            # 1: FLOCK  ADVISORY  WRITE 4242 fe:00:5726785 0 EOF
            kind, process, file = (line.split()[at] for at in (1, 4, 5))
            if kind == "FLOCK" and file.endswith(f":{inode}") and process != "0":
                return process
    return ""
