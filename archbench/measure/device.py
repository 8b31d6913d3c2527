"""Which devices are there, which process measures on one now, and how is it pinned to cores?"""

from __future__ import annotations

import fcntl
import gc
import os
import platform
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import torch

from archbench.errors import MissingError, StorageError, UsageError, unknown_name
from archbench.memory import keep_memory, use_huge_pages
from archbench.study.environment import Environment, capture, usable_cores

_KNOWN = ("cpu", "cuda")
_TASKS = Path("/proc/self/task")
_POLL_S = 0.02


@dataclass(frozen=True, kw_only=True)
class Pinning:
    """The cores that a measurement is pinned to, or a note why it is not."""

    cores: tuple[int, ...]
    note: str


def devices() -> tuple[str, ...]:
    """The devices of this machine, ``cpu`` first."""
    return _KNOWN if torch.cuda.is_available() else ("cpu",)


def gpu_name() -> str | None:
    """The name of the first GPU, or None without one."""
    return str(torch.cuda.get_device_name(0)) if torch.cuda.is_available() else None


def capture_environment() -> Environment:
    """The environment of this process, with the first GPU's name where there is one."""
    return capture(gpu=gpu_name())


def require_device(device: str) -> None:
    """Refuses a device on which nothing can be measured here.

    Raises:
        UsageError: There is no such kind of device.
        MissingError: This machine has none.
    """
    if device not in _KNOWN:
        raise unknown_name("device", device, _KNOWN)
    if device not in devices():
        raise MissingError(
            f"this machine has no {device} device that torch can use",
            help="measure on cpu, or install a torch that matches the driver",
        )


def measuring_cores(threads: int) -> tuple[int, ...]:
    """The cores that measurements of so many threads are pinned to; empty without pinning.

    They are the last ones, as the first usually serves interrupts. Who trains beside a
    measurement should stay away from them.

    Raises:
        UsageError: There are fewer usable cores than threads.
    """
    cores = usable_cores()
    if not 1 <= threads <= cores:
        raise UsageError(
            f"{threads} threads cannot be measured on {cores} usable cores",
            place="threads",
            help=f"use 1 to {cores}",
        )
    if not hasattr(os, "sched_setaffinity"):
        return ()
    return tuple(sorted(os.sched_getaffinity(0))[-threads:])


@contextmanager
def pinned(*, threads: int) -> Iterator[Pinning]:
    """Sets torch's threads, pins and stops garbage collection; afterwards all is as before.

    But for the memory of freed tensors: from here on the process keeps it, in huge pages where
    the system has them, as one that serves a deployed network does. One thread pins only itself;
    several take every thread of the process along, since torch's own may be running already.

    Raises:
        UsageError: There are fewer usable cores than threads.
    """
    cores = measuring_cores(threads)
    if keep_memory():
        use_huge_pages()
    was_collecting = gc.isenabled()
    with torch_threads(threads), _affinity(cores, everyone=threads > 1) as pinning:
        gc.disable()
        gc.freeze()
        try:
            yield pinning
        finally:
            gc.unfreeze()
            if was_collecting:
                gc.enable()


@contextmanager
def torch_threads(threads: int) -> Iterator[None]:
    """Sets torch's threads; afterwards they are as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _affinity(cores: tuple[int, ...], *, everyone: bool) -> Iterator[Pinning]:
    if not cores:
        note = f"not pinned: {platform.system()} cannot pin a thread to a core"
        yield Pinning(cores=(), note=note)
        return

    def tasks() -> list[int]:  # 0 is the calling thread
        return [int(entry.name) for entry in _TASKS.iterdir()] if everyone else [0]

    own, before = os.sched_getaffinity(0), {}
    try:
        for task in tasks():
            with suppress(ProcessLookupError):  # it has ended
                before[task] = os.sched_getaffinity(task)
                os.sched_setaffinity(task, cores)
        yield Pinning(cores=cores, note="")
    finally:
        # Threads that were born meanwhile took over the pinned cores of their parent.
        for task in tasks():
            with suppress(ProcessLookupError):
                os.sched_setaffinity(task, before.get(task, own))


@contextmanager
def measurement_lock(
    device: str, *, folder: Path | None = None, patience_s: float = 600.0
) -> Iterator[None]:
    """Holds the device's measurement lock, after waiting for whoever holds it.

    The kernel lets go of it when the process ends, however it ends. It is not reentrant.

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
    folder = Path(tempfile.gettempdir()) / f"archbench-{os.getuid()}"
    if given := os.environ.get("XDG_RUNTIME_DIR"):
        folder = Path(given) / "archbench"
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
        with suppress(BlockingIOError, PermissionError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        if time.monotonic() >= end:
            holder = os.pread(handle, 32, 0).decode(errors="replace") or "unknown"
            raise StorageError(
                f"process {holder} has been measuring on {device} for {patience_s:.0f} s",
                place=str(path),
                help="wait until it ends, or end it",
            )
        time.sleep(_POLL_S)
