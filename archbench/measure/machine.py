"""What else does this machine do, and what does it tell of its clocks?"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/")
_CPUS = "sys/devices/system/cpu"
_TICKS = 100  # of /proc, a second, on every Linux
_BUSY_SHARE = 0.05
_MOST_LISTED = 5


@dataclass(frozen=True, kw_only=True)
class Counters:
    """Counters of the system at one moment; empty or None where it does not tell.

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
class Activity:
    """What happened between two readings of the counters.

    Attributes:
        steal_share: The share of all cores' time that a hypervisor gave away; None if unknown.
        throttled: How often a core was slowed down for heat meanwhile; None if unknown.
        busy: Other processes with the number of cores that each kept busy, the busiest first.
    """

    steal_share: float | None
    throttled: int | None
    busy: tuple[tuple[str, float], ...]


@dataclass(frozen=True, kw_only=True)
class Clocks:
    """What the system tells of the cores' speed; None where it hides it, as most guests do.

    Attributes:
        governor: Who chooses the clock, as ``performance``; several with commas between them.
        current_mhz: Of the slowest and of the fastest core.
        most_mhz: What the cores can do at most.
        boost: Whether they may go beyond their nominal clock for a while.
    """

    governor: str | None
    current_mhz: tuple[float, float] | None
    most_mhz: float | None
    boost: bool | None


def counters(*, root: Path = ROOT) -> Counters:
    """The counters as they stand.

    Args:
        root: Where ``proc`` and ``sys`` lie; another one for tests.
    """
    ticks = stolen = 0
    with suppress(OSError, ValueError, IndexError):
        fields = [
            int(field) for field in (root / "proc/stat").read_text().split("\n")[0].split()[1:]
        ]
        ticks, stolen = sum(fields[:8]), fields[7]
    return Counters(
        ticks=ticks,
        stolen=stolen,
        throttled=throttle_count(root=root),
        processes=_processes(root),
    )


def throttle_count(*, root: Path = ROOT) -> int | None:
    """How often cores were slowed down for heat since the system started; None if unknown."""
    folders = (root / _CPUS).glob("cpu[0-9]*/thermal_throttle/core_throttle_count")
    known = [count for path in folders if (count := _number(path)) is not None]
    return int(sum(known)) if known else None


def activity(before: Counters, after: Counters, *, seconds: float) -> Activity:
    """What happened between two readings of the counters, which are so far apart."""
    ticks = after.ticks - before.ticks
    busy = []
    for process, (name, used) in after.processes.items():
        _, already = before.processes.get(process, (name, 0))
        share = (used - already) / _TICKS / seconds if seconds > 0 else 0.0
        if share >= _BUSY_SHARE:
            busy.append((name, share))
    known = before.throttled is not None and after.throttled is not None
    return Activity(
        steal_share=(after.stolen - before.stolen) / ticks if ticks > 0 else None,
        throttled=(after.throttled or 0) - (before.throttled or 0) if known else None,
        busy=tuple(sorted(busy, key=lambda entry: -entry[1])[:_MOST_LISTED]),
    )


def clocks(*, root: Path = ROOT) -> Clocks:
    """The speed of the cores, as far as the system tells.

    Args:
        root: Where ``proc`` and ``sys`` lie; another one for tests.
    """
    cpus = root / _CPUS
    governors = {
        text
        for path in cpus.glob("cpu[0-9]*/cpufreq/scaling_governor")
        if (text := _text(path)) is not None
    }
    current = [_number(path) for path in cpus.glob("cpu[0-9]*/cpufreq/scaling_cur_freq")]
    mhz = [value / 1e3 for value in current if value is not None]
    if not mhz and (info := _text(root / "proc/cpuinfo")):
        mhz = [float(value) for value in re.findall(r"cpu MHz\s*:\s*([0-9.]+)", info)]
    limits = [_number(path) for path in cpus.glob("cpu[0-9]*/cpufreq/cpuinfo_max_freq")]
    most = [value / 1e3 for value in limits if value is not None]
    boost = _number(cpus / "cpufreq/boost")
    no_turbo = _number(cpus / "intel_pstate/no_turbo")
    return Clocks(
        governor=", ".join(sorted(governors)) or None,
        current_mhz=(min(mhz), max(mhz)) if mhz else None,
        most_mhz=max(most) if most else None,
        boost=bool(boost) if boost is not None else not no_turbo if no_turbo is not None else None,
    )


def load_average() -> float | None:
    """Processes that ran or waited in the last minute, on average; None where unknown."""
    try:
        return os.getloadavg()[0]
    except OSError:
        return None


def _processes(root: Path) -> dict[int, tuple[str, int]]:
    found = {}
    for folder in root.glob("proc/[0-9]*"):
        process = int(folder.name)
        if process == os.getpid():
            continue
        with suppress(OSError, ValueError, IndexError):
            name, fields = (folder / "stat").read_text().split("(", 1)[1].rsplit(")", 1)
            found[process] = (name, sum(int(field) for field in fields.split()[11:13]))
    return found


def _text(path: Path) -> str | None:
    with suppress(OSError):
        return path.read_text(errors="replace").strip()
    return None


def _number(path: Path) -> float | None:
    with suppress(OSError, ValueError):
        return float(path.read_text())
    return None
