"""What does a process see of the stored calibration constants while it measures?"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

from archbench.errors import StorageError
from archbench.measure.latency.calibration import Calibration
from archbench.measure.latency.clock import Timing
from archbench.measure.latency.constant_file import constants_path, read_constants, write_constants
from archbench.measure.latency.renewal import BACK, Doubt, Look, deviations, doubted, spread
from archbench.measure.latency.rounds import Bench
from archbench.measure.latency.statistics import (
    DRIFT_LIMIT,
    OFF_CPU_LIMIT,
    drift,
    lower_mean,
    off_cpu_share,
)
from archbench.measure.machine import Activity, Snapshot, activity, snapshot
from archbench.study.environment import Environment
from archbench.study.measurement import Conditions

_ROUNDS = (7, 28)  # the second where the first found the networks apart
_WARM_UP = 2


def look_at_constants(
    calibration: Calibration,
    *,
    environment: Environment,
    conditions: Conditions,
    on: Bench,
    counters: Callable[[], Snapshot] = snapshot,
) -> None:
    """One look a process at each calibration network, and what follows from it.

    It takes some 0.2 s, and four times as long where the networks seem to have left one another.
    Constants that this machine does not keep are not looked at.

    Args:
        calibration: Its ``seen`` gets the look.
        environment: This machine.
        conditions: Of the measurement.
        on: What to time with.
        counters: What tells of other processes; a test has its own.
    """
    if calibration.seen or len(calibration.calibrators) < 2:
        return
    if not constants_path(environment, calibration.settings).exists():
        return
    calibration.seen.append(_look(calibration, conditions=conditions, on=on, counters=counters))
    note_look(calibration, calibration.seen[-1], environment=environment)


def note_look(calibration: Calibration, look: Look, *, environment: Environment) -> Doubt:
    """Keeps what was seen beside the constants, if they are those that were looked at.

    A study goes on with the constants of its first day; of newer ones it says nothing. A file
    that cannot be written leaves things as they are.

    Args:
        calibration: What was looked at.
        look: What was seen.
        environment: This machine.

    Returns:
        What is thought of the constants now.
    """
    path, settings = constants_path(environment, calibration.settings), calibration.settings
    with suppress(OSError, ValueError, TypeError, LookupError, AttributeError, StorageError):
        names = list(calibration.by_name)
        kept = read_constants(path, environment=environment, settings=settings, names=names)
        if kept is None or kept.generation != calibration.generation:
            return Doubt()
        doubt = doubted(kept.doubt, look, taken_disturbed=kept.disturbance)
        if doubt != kept.doubt:
            news = replace(kept, doubt=doubt)
            write_constants(path, news, environment=environment, settings=settings)
        return doubt
    return Doubt()


def disturbance(*, off_cpu: float | None, moved: float, busy: Activity) -> str:
    """Why a look says nothing of constants; empty where it was quiet.

    Args:
        off_cpu: The share of time in which other work held the core; None on a GPU.
        moved: By how much the networks drifted meanwhile.
        busy: What else the machine did.
    """
    if off_cpu is not None and off_cpu > OFF_CPU_LIMIT:
        return f"other work held the core for {off_cpu:.0%} of the time"
    if moved > DRIFT_LIMIT:
        return f"the speed of the machine moved by {moved:.0%}"
    names = ", ".join(name for name, _ in busy.busy)
    return f"other processes worked: {names}" if names else ""


def _look(
    calibration: Calibration,
    *,
    conditions: Conditions,
    on: Bench,
    counters: Callable[[], Snapshot],
) -> Look:
    forwards = {
        name: calibration.forward(name, conditions=conditions) for name in calibration.by_name
    }
    timings: dict[str, list[Timing]] = {name: [] for name in forwards}
    order = random.Random(0)
    for forward in forwards.values():
        for _ in range(_WARM_UP):
            forward()
    began, before = on.clock.wall(), counters()
    found: dict[str, float] = {}
    for rounds in _ROUNDS:
        while len(next(iter(timings.values()))) < rounds:
            for name in order.sample(list(forwards), len(forwards)):
                timings[name].append(on.watch(forwards[name]))
        found, _ = deviations(
            {name: lower_mean(_milliseconds(taken, on=on)) for name, taken in timings.items()},
            calibration.constants_ms,
        )
        if spread(found) <= BACK:
            break
    seconds, after = on.clock.wall() - began, counters()
    everything = [timing for taken in timings.values() for timing in taken]
    return Look(
        deviations=found,
        disturbance=disturbance(
            off_cpu=off_cpu_share(everything) if conditions.device == "cpu" else None,
            moved=min(drift(_milliseconds(taken, on=on)) for taken in timings.values()),
            busy=activity(before, after, seconds=seconds),
        ),
    )


def _milliseconds(timings: Sequence[Timing], *, on: Bench) -> list[float]:
    return [on.seconds(timing) * 1e3 for timing in timings]
