"""What other work does this machine do, and how fast are its clocks?"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/")
"""Where ``proc`` and ``sys`` lie."""

_CPUS = "sys/devices/system/cpu"
_TICKS = 100  # of /proc, a second, on every Linux
_BUSY_SHARE = 0.05
_MOST_LISTED = 5


@dataclass(frozen=True, kw_only=True)
class Counters:
    """Counters of the system at one moment; empty or None where they are unknown.

    Attributes:
        ticks: Of all cores together, idle ones included.
        stolen: Ticks that a hypervisor gave to another guest.
        throttled: How often a core was slowed down for heat.
        processes: Process id to its name and its ticks; of our own there is none.
    """

    ticks: int
    stolen: int
    throttled: int | None
    processes: Mapping[int, tuple[str, int]]


@dataclass(frozen=True, kw_only=True)
class MachineActivity:
    """What happened between two readings of the counters; None where it is unknown.

    Attributes:
        steal_share: The share of all cores' time that a hypervisor gave to other guests.
        busy: Other processes with the number of cores that each kept busy, the busiest first.
    """

    steal_share: float | None
    throttled: int | None
    busy: tuple[tuple[str, float], ...]


@dataclass(frozen=True, kw_only=True)
class Clocks:
    """The speed of the cores; None where the system hides it, as most virtual machines do.

    Attributes:
        governor: Who chooses the clock, as ``performance``; several with commas between them.
        current_mhz: Of the slowest and of the fastest core.
        boost: Whether they may go beyond their nominal clock for a while.
    """

    governor: str | None
    current_mhz: tuple[float, float] | None
    most_mhz: float | None
    boost: bool | None


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


def activity(before: Counters, after: Counters, *, seconds: float) -> MachineActivity:
    """What happened between two readings of the counters, which are so far apart."""
    ticks = after.ticks - before.ticks
    busy = []
    for process, (name, used) in after.processes.items():
        _, already = before.processes.get(process, (name, 0))
        share = (used - already) / _TICKS / seconds if seconds > 0 else 0.0
        if share >= _BUSY_SHARE:
            busy.append((name, share))
    known = before.throttled is not None and after.throttled is not None
    return MachineActivity(
        steal_share=(after.stolen - before.stolen) / ticks if ticks > 0 else None,
        throttled=(after.throttled or 0) - (before.throttled or 0) if known else None,
        busy=tuple(sorted(busy, key=lambda entry: -entry[1])[:_MOST_LISTED]),
    )


def clocks(*, root: Path = ROOT) -> Clocks:
    """The speed of the cores, as far as the system tells."""
    governors = set(_texts(root, f"{_CPUS}/cpu[0-9]*/cpufreq/scaling_governor"))
    mhz = [khz / 1e3 for khz in _numbers(root, f"{_CPUS}/cpu[0-9]*/cpufreq/scaling_cur_freq")]
    for info in _texts(root, "proc/cpuinfo") if not mhz else ():
        mhz = [float(value) for value in re.findall(r"cpu MHz\s*:\s*([0-9.]+)", info)]
    limits = _numbers(root, f"{_CPUS}/cpu[0-9]*/cpufreq/cpuinfo_max_freq")
    boosts = [bool(number) for number in _numbers(root, f"{_CPUS}/cpufreq/boost")]
    boosts += [not number for number in _numbers(root, f"{_CPUS}/intel_pstate/no_turbo")]
    return Clocks(
        governor=", ".join(sorted(governors)) or None,
        current_mhz=(min(mhz), max(mhz)) if mhz else None,
        most_mhz=max(limits) / 1e3 if limits else None,
        boost=boosts[0] if boosts else None,
    )


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
