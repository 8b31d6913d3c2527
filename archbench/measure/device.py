"""What can be measured on here, and how is a thread kept in its place while it is measured."""

from __future__ import annotations

import contextlib
import gc
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from archbench.errors import MissingError, UsageError, unknown_name
from archbench.memory import keep_memory, use_huge_pages
from archbench.study.environment import usable_cores

_KNOWN = ("cpu", "cuda")
_TASKS = Path("/proc/self/task")


@dataclass(frozen=True, kw_only=True)
class Seat:
    """Where a measurement runs.

    Attributes:
        cores: The cores that it is pinned to; empty where it is not pinned.
        note: Why it is not pinned; empty where it is.
    """

    cores: tuple[int, ...]
    note: str


def devices() -> tuple[str, ...]:
    """The devices of this machine, ``cpu`` first."""
    return ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",)


def gpu_name() -> str | None:
    """The name of the first GPU, or None without one."""
    return str(torch.cuda.get_device_name(0)) if torch.cuda.is_available() else None


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
def settled(*, threads: int) -> Iterator[Seat]:
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
    with torch_threads(threads), _pinned(cores, everyone=threads > 1) as seat, _uncollected():
        yield seat


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
def _pinned(cores: tuple[int, ...], *, everyone: bool) -> Iterator[Seat]:
    if not cores:
        yield Seat(cores=(), note=f"not pinned: {platform.system()} cannot pin a thread to a core")
        return
    own = os.sched_getaffinity(0)
    before = {task: _affinity(task) for task in _tasks(everyone=everyone)}
    try:
        for task in before:
            _pin(task, set(cores))
        yield Seat(cores=cores, note="")
    finally:
        # Threads that were born meanwhile took over the pinned cores of their parent.
        for task in _tasks(everyone=everyone):
            _pin(task, before.get(task) or own)


def _tasks(*, everyone: bool) -> list[int]:
    """Thread ids; 0 is the calling thread."""
    return [int(entry.name) for entry in _TASKS.iterdir()] if everyone else [0]


def _affinity(task: int) -> set[int]:
    with contextlib.suppress(ProcessLookupError):
        return os.sched_getaffinity(task)
    return set()


def _pin(task: int, cores: set[int]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.sched_setaffinity(task, cores)


@contextmanager
def _uncollected() -> Iterator[None]:
    was_enabled = gc.isenabled()
    gc.disable()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
        if was_enabled:
            gc.enable()
