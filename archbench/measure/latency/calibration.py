"""How long do the calibration networks take on this machine: constants, taken once and kept.

A latency is a ratio to a calibration network times its constant. So what the constants were off
by on the day they were taken, all latencies of this machine are off by, and comparisons are not.

Calibration networks run in eager whatever runs the candidate. They are there for the state of the
machine, which eager feels as others do; so all backends share their constants, latencies of two
backends are multiples of the same thing, and no network is compiled but the candidate.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from archbench.errors import IncomparableError, StorageError
from archbench.measure.backend import Prepared, can_compute, prepared, require_backend
from archbench.measure.device import measurement_lock, require_device, settled
from archbench.measure.latency.clock import Clock, Forward, SystemClock, Timing
from archbench.measure.latency.constants import (
    BACK,
    Constants,
    Doubt,
    Look,
    changed,
    constants_path,
    deviations,
    doubted,
    postponed,
    read_constants,
    spread,
    write_constants,
)
from archbench.measure.latency.estimate import (
    DRIFT_LIMIT,
    OFF_CPU_LIMIT,
    drift,
    lower_mean,
    off_cpu_share,
)
from archbench.measure.latency.reference_networks import CALIBRATORS, Calibrator, Family
from archbench.measure.latency.rounds import CALIBRATOR_ROUNDS, Bench, bench, place_anew, warm_up
from archbench.measure.machine import Activity, Snapshot, activity, snapshot
from archbench.memory import keep_memory, use_huge_pages
from archbench.study.environment import Environment
from archbench.study.measurement import Conditions

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and of how much."""

_ROUNDS = 60
_WARM_UP_S = 2.0
_LEAST_MS = 1e-6


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """The constants of one machine under one set of conditions.

    Attributes:
        environment_id: The machine and software that they belong to.
        settings: What else they depend on, see `settings_of`.
        constants_ms: Calibrator name to its time.
        calibrators: The networks.
        note: What is to be said of them: taken anew, disturbed, not stored. Mostly empty.
        generation: How many times they were taken here; 1 where they never had to be renewed.
        seen: What this process saw of them, see ``archbench.measure.latency.calibration``.
    """

    environment_id: str
    settings: Mapping[str, str]
    constants_ms: Mapping[str, float]
    calibrators: tuple[Calibrator, ...] = CALIBRATORS
    note: str = ""
    generation: int = 1
    seen: list[Look] = field(default_factory=list, repr=False, compare=False)
    _prepared: dict[str, Prepared] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def by_name(self) -> dict[str, Calibrator]:
        """The networks by their names."""
        return {calibrator.name: calibrator for calibrator in self.calibrators}

    def nearest(self, seconds: float, *, family: Family) -> Calibrator:
        """The calibrator of the family whose constant is nearest, as a ratio."""
        of_family = [entry for entry in self.calibrators if entry.family == family]
        size = math.log(max(seconds * 1e3, _LEAST_MS))
        return min(of_family, key=lambda entry: abs(math.log(self.constants_ms[entry.name]) - size))

    def forward(self, name: str, *, conditions: Conditions) -> Forward:
        """One forward pass of a calibrator."""
        return self.ready(name, conditions=conditions).run

    def ready(self, name: str, *, conditions: Conditions) -> Prepared:
        """A calibrator, prepared once."""
        if name not in self._prepared:
            self._prepared[name] = _prepared(self.by_name[name], conditions=conditions)
        return self._prepared[name]

    def details(self) -> dict[str, float | int | str]:
        """What a measurement's record says of the constants."""
        found: dict[str, float | int | str] = {"calibration_generation": self.generation}
        if self.seen:
            found["calibrators_apart"] = spread(self.seen[-1].deviations)
        if self.note:
            found["calibration_note"] = self.note
        return found

    def require(self, environment: Environment, *, conditions: Conditions) -> None:
        """Refuses to be used elsewhere than where it was taken.

        Raises:
            IncomparableError: Environment or settings are others.
        """
        mine = {"environment": self.environment_id, **self.settings}
        asked = {"environment": environment.id, **settings_of(conditions)}
        if mine != asked:
            differing = sorted(key for key in mine if mine[key] != asked.get(key))
            raise IncomparableError(
                f"these calibration constants were taken with another {', '.join(differing)}",
                help="take them with calibrate() under the conditions to be measured",
            )


def calibrate(
    conditions: Conditions,
    *,
    environment: Environment,
    folder: Path | None = None,
    calibrators: tuple[Calibrator, ...] = CALIBRATORS,
    on_progress: Progress | None = None,
) -> Calibration:
    """The constants for these conditions: stored ones, or taken now (some 2 s) and stored.

    Args:
        conditions: Batch and resolution do not matter.
        environment: This machine, see `capture_environment`.
        folder: Where the constants are kept, the user's cache folder by default.
        calibrators: The networks.
        on_progress: Told about the passes.

    Raises:
        UsageError: Device, backend, precision or threads that cannot be.
        MissingError: This machine has no such device.
        StorageError: The measurement lock cannot be had.
    """
    require_device(conditions.device)
    require_backend(conditions)
    with measurement_lock(conditions.device), settled(threads=conditions.threads):
        return stored_or_taken(
            conditions,
            environment=environment,
            clock=SystemClock(),
            folder=folder,
            calibrators=calibrators,
            on_progress=on_progress,
        )


def stored_or_taken(
    conditions: Conditions,
    *,
    environment: Environment,
    clock: Clock,
    folder: Path | None = None,
    calibrators: tuple[Calibrator, ...] = CALIBRATORS,
    on_progress: Progress | None = None,
) -> Calibration:
    """As `calibrate`, for a caller that holds the lock and has settled already."""
    settings = settings_of(conditions)
    path = constants_path(environment, settings, folder=folder)
    names = [entry.name for entry in calibrators]
    kept, notes = None, []
    try:
        kept = read_constants(path, environment=environment, settings=settings, names=names)
    except (OSError, ValueError, TypeError, LookupError, AttributeError) as error:
        notes.append(f"{path} could not be read ({error}): constants taken anew")
    constants = kept
    if kept is None or kept.doubt.due:
        taken = _taken(calibrators, conditions=conditions, clock=clock, progress=on_progress)
        constants, note = (taken, "") if kept is None else _succeeding(kept, taken)
        notes += [note] * bool(note)
        try:
            write_constants(path, constants, environment=environment, settings=settings)
        except (OSError, StorageError) as error:
            notes.append(f"constants could not be kept ({error}): the next run takes others")
    assert constants is not None
    if constants.disturbance:
        notes.append(
            f"constants taken while {constants.disturbance}: they are taken again when the "
            "machine is found quiet"
        )
    return Calibration(
        environment_id=environment.id,
        settings=settings,
        constants_ms=constants.constants_ms,
        calibrators=calibrators,
        generation=constants.generation,
        note="; ".join(notes),
    )


def _succeeding(kept: Constants, taken: Constants) -> tuple[Constants, str]:
    """What holds after constants that were due were taken, and what is to be said of it.

    New ones keep the level of the old, so that how fast the host is today does not part what was
    measured before from what comes; constants that were taken while disturbed had no good level.
    """
    if taken.disturbance:
        return (
            replace(kept, doubt=postponed(kept.doubt)),
            f"constants are to be taken anew ({kept.doubt.due}), but {taken.disturbance}: the old "
            "ones stay for now",
        )
    if not kept.disturbance:
        _, state = deviations(taken.constants_ms, kept.constants_ms)
        level = {name: ms / (1 + state) for name, ms in taken.constants_ms.items()}
        taken = replace(taken, constants_ms=level)
    most = changed(kept.constants_ms, taken.constants_ms)
    return (
        kept.renewed(taken),
        f"constants taken anew ({kept.doubt.due}): latencies differ from those before by up to "
        f"{most:.1%}",
    )


def settings_of(conditions: Conditions) -> dict[str, str]:
    """What constants depend on beside the environment: conditions and torch's own settings."""
    conditions = eager(conditions)
    backends: Any = torch.backends  # its modules are classes, which the type checker cannot see
    return {
        "device": conditions.device,
        "backend": conditions.backend,
        "precision": conditions.precision,
        "threads": str(conditions.threads),
        "memory": _memory(),
        "cpu_capability": backends.cpu.get_cpu_capability(),
        "cpu_linear": backends.mkldnn.matmul.fp32_precision,
        "cpu_convolution": backends.mkldnn.conv.fp32_precision,
        "gpu_linear": backends.cuda.matmul.fp32_precision,
        "gpu_convolution": backends.cudnn.conv.fp32_precision,
        "cudnn_benchmark": str(backends.cudnn.benchmark),
    }


def _memory() -> str:
    """How this process holds tensors from here on."""
    if not keep_memory():
        return "as the system has it"
    return "kept in huge pages" if use_huge_pages() else "kept"


def eager(conditions: Conditions) -> Conditions:
    """What the calibration networks run under: eager, in fp32 where it has no such precision."""
    asked = replace(conditions, backend="eager")
    return asked if can_compute(asked) else replace(asked, precision="fp32")


def _taken(
    calibrators: Sequence[Calibrator],
    *,
    conditions: Conditions,
    clock: Clock,
    progress: Progress | None,
) -> Constants:
    """Times all calibrators in turn, so that one state of the machine holds for all of them."""
    on = bench(conditions, clock=clock)
    sources = {entry.name: _prepared(entry, conditions=conditions) for entry in calibrators}
    forwards = {name: source.run for name, source in sources.items()}
    draw = random.Random(0)
    for forward in forwards.values():
        warm_up(forward, on=on, until=clock.wall() + _WARM_UP_S)
    timings: dict[str, list[Timing]] = {name: [] for name in forwards}
    for done in range(_ROUNDS):
        if done and done % CALIBRATOR_ROUNDS == 0:
            place_anew(sources, forwards=forwards, draw=draw)
        for name, forward in forwards.items():
            timings[name].append(on.watch(forward))
        if progress:
            progress("taking calibration constants", done + 1, _ROUNDS)
    return Constants(
        constants_ms={
            name: lower_mean([on.seconds(timing) for timing in taken]) * 1e3
            for name, taken in timings.items()
        },
        off_cpu_share=(
            off_cpu_share([timing for taken in timings.values() for timing in taken])
            if conditions.device == "cpu"
            else 0.0
        ),
    )


def _prepared(calibrator: Calibrator, *, conditions: Conditions) -> Prepared:
    generator = torch.Generator().manual_seed(0)
    example = torch.randn(calibrator.shape, generator=generator)
    return prepared(calibrator.build(), example, conditions=eager(conditions))


_CHECK_ROUNDS = (7, 28)  # the second where the first found the networks apart
_CHECK_WARM_UP = 2


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
        for _ in range(_CHECK_WARM_UP):
            forward()
    began, before = on.clock.wall(), counters()
    found: dict[str, float] = {}
    for rounds in _CHECK_ROUNDS:
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
