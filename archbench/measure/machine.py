"""Which devices has this machine, how is a measurement kept apart there, and who else works?"""

import gc
import os
import platform
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from archbench.errors import InexactError, MissingError, StorageError, UsageError
from archbench.lock import locked
from archbench.measure.device.known import device_named
from archbench.memory import keep_memory
from archbench.progress import Progress
from archbench.study.environment import ROOT, Environment, capture, usable_cores
from archbench.study.measurement import Conditions

_KNOWN = ("cpu", "cuda")
_TASKS = Path("/proc/self/task")

_CPUS = "sys/devices/system/cpu"
_TICKS = 100  # of /proc, a second, on every Linux
_BUSY_SHARE = 0.05
_MOST_LISTED = 5


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


def environment_of(device: str, *, here: Environment | None = None) -> Environment:
    """The environment of what is timed on a device: that of this process, or another device's.

    Raises:
        UsageError: There is no device of this name.
    """
    if Conditions(device=device).is_remote:
        return device_named(device).environment
    return here or capture_environment()


def require_device(device: str) -> None:
    """Refuses a device on which nothing can be measured from here.

    Raises:
        UsageError: There is no such kind of device, nor another one of this name.
        MissingError: This machine has none.
    """
    if device not in _KNOWN:
        device_named(device)
    elif device not in devices():
        raise MissingError(
            f"this machine has no {device} device that torch can use",
            help="measure on cpu, or install a torch that matches the driver",
        )


def require_own_thread(mine: float, everyone: float, *, place: str) -> None:
    """Refuses a pass whose work the CPU time of the thread that is timed does not show.

    Of the CPU seconds of the pass ``mine`` are that thread's, and ``everyone`` are all threads'.

    Raises:
        InexactError: Other threads spent most of them.
    """
    if mine < everyone / 2:
        raise InexactError(
            "it works in threads of its own: of its CPU time this one spends "
            f"{mine / everyone:.0%}",
            place=place,
            help="measure it on two threads or more, where the time that passes counts",
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
    keep_memory()
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
    device: str,
    *,
    folder: Path | None = None,
    patience_s: float = 600.0,
    on_progress: Progress | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[None]:
    """Holds the device's measurement lock, after waiting for whoever holds it.

    See ``archbench.lock.locked``.

    Raises:
        StorageError: The lock cannot be opened, or was not free within the patience.
    """
    path = (folder or runtime_folder()) / f"measure-{device}.lock"
    lock = locked(
        path,
        doing=f"measures on {device}",
        on_progress=on_progress,
        patience_s=patience_s,
        clock=clock,
    )
    with ExitStack() as held:
        try:
            held.enter_context(lock)
        except TimeoutError as holder:
            raise StorageError(
                f"{holder} has been measuring on {device} for {patience_s:.0f} s",
                place=str(path),
                help="wait until it ends, or end it",
            ) from None
        except OSError as error:
            raise StorageError(
                f"the measurement lock cannot be opened: {error.strerror}",
                place=str(path),
                help="make the folder writable for you",
            ) from error
        yield


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


@dataclass(frozen=True, kw_only=True)
class Counters:
    """Counters of the system at one moment; empty or None where they are unknown.

    Ticks are those of all cores together, idle ones included; a hypervisor gave the stolen ones to
    another guest. Processes have a name and their ticks by their ids; of our own there is none.
    """

    ticks: int
    stolen: int
    throttled: int | None
    processes: Mapping[int, tuple[str, int]]


def counters(*, root: Path = ROOT) -> Counters:
    """The counters as they stand."""
    ticks = stolen = 0
    with suppress(OSError, ValueError, IndexError):
        first = (root / "proc/stat").read_text().split("\n")[0]
        fields = [int(field) for field in first.split()[1:]]
        ticks, stolen = sum(fields[:8]), fields[7]
    processes = {}
    for folder in root.glob("proc/[0-9]*"):
        if (process := int(folder.name)) != os.getpid():
            with suppress(OSError, ValueError, IndexError):
                name, rest = (folder / "stat").read_text().split("(", 1)[1].rsplit(")", 1)
                processes[process] = (name, sum(int(field) for field in rest.split()[11:13]))
    throttled = throttle_count(root=root)
    return Counters(ticks=ticks, stolen=stolen, throttled=throttled, processes=processes)


def throttle_count(*, root: Path = ROOT) -> int | None:
    """How often cores were slowed down for heat since the system started; None if unknown."""
    known = _numbers(root, f"{_CPUS}/cpu[0-9]*/thermal_throttle/core_throttle_count")
    return int(sum(known)) if known else None


def activity(before: Counters, after: Counters, *, seconds: float) -> dict[str, Any]:
    """What happened between two readings of the counters, JSON-able; None where it is unknown.

    ``steal_share`` is the share of all cores' time that a hypervisor gave to other guests,
    ``throttled`` how often a core was slowed down for heat, and ``busy`` are other processes with
    the number of cores that each kept busy, the busiest first.
    """
    ticks = after.ticks - before.ticks
    busy = []
    for process, (name, used) in after.processes.items():
        _, already = before.processes.get(process, (name, 0))
        share = (used - already) / _TICKS / seconds if seconds > 0 else 0.0
        if share >= _BUSY_SHARE:
            busy.append((name, share))
    known = before.throttled is not None and after.throttled is not None
    return {
        "steal_share": (after.stolen - before.stolen) / ticks if ticks > 0 else None,
        "throttled": (after.throttled or 0) - (before.throttled or 0) if known else None,
        "busy": sorted(busy, key=lambda entry: -entry[1])[:_MOST_LISTED],
    }


def clocks(*, root: Path = ROOT) -> dict[str, Any]:
    """The speed of the cores, JSON-able; None where the system hides it, as in virtual machines.

    ``governor`` is who chooses the clock, several with commas between them; ``current_mhz`` of the
    slowest and of the fastest core; ``boost`` whether they may go beyond their nominal clock.
    """
    governors = set(_texts(root, f"{_CPUS}/cpu[0-9]*/cpufreq/scaling_governor"))
    mhz = [khz / 1e3 for khz in _numbers(root, f"{_CPUS}/cpu[0-9]*/cpufreq/scaling_cur_freq")]
    for info in _texts(root, "proc/cpuinfo") if not mhz else ():
        mhz = [float(value) for value in re.findall(r"cpu MHz\s*:\s*([0-9.]+)", info)]
    limits = _numbers(root, f"{_CPUS}/cpu[0-9]*/cpufreq/cpuinfo_max_freq")
    boosts = [bool(number) for number in _numbers(root, f"{_CPUS}/cpufreq/boost")]
    boosts += [not number for number in _numbers(root, f"{_CPUS}/intel_pstate/no_turbo")]
    return {
        "governor": ", ".join(sorted(governors)) or None,
        "current_mhz": (min(mhz), max(mhz)) if mhz else None,
        "most_mhz": max(limits) / 1e3 if limits else None,
        "boost": boosts[0] if boosts else None,
    }


def load_average() -> float | None:
    """Processes that ran or waited in the last minute, on average; None where unknown."""
    with suppress(OSError):
        return os.getloadavg()[0]
    return None


def _texts(root: Path, pattern: str) -> list[str]:
    """What each file holds that the pattern names, as far as it can be read."""
    found = []
    for path in root.glob(pattern):
        with suppress(OSError):
            found.append(path.read_text(errors="replace").strip())
    return found


def _numbers(root: Path, pattern: str) -> list[float]:
    found = []
    for text in _texts(root, pattern):
        with suppress(ValueError):
            found.append(float(text))
    return found
