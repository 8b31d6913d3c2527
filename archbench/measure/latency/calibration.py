"""How long do the calibration networks take on this machine? Measured once and kept.

A latency is a ratio to a calibration network times its constant. So what the constants were off
by on the day they were taken, all latencies of this machine are off by, and comparisons are not.

Calibration networks run in eager whatever runs the candidate. They are there for the state of the
machine, which eager feels as others do; so all backends share their constants, latencies of two
backends are multiples of the same thing, and no network is compiled but the candidate.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from archbench.errors import IncomparableError, StorageError
from archbench.measure.backend import Runnable, require_backend
from archbench.measure.latency.clock import Bench, Clock, Forward, Timing, measuring
from archbench.measure.latency.estimate import (
    DRIFT_LIMIT,
    core_disturbance,
    drift,
    weighted_mean,
)
from archbench.measure.latency.reference_networks import CALIBRATORS, Calibrator
from archbench.measure.latency.rounds import CALIBRATOR_ROUNDS, Placed, relocate, warm_up
from archbench.measure.machine import activity, require_device
from archbench.measure.machine_cache import (
    BACK,
    UNREADABLE,
    Constants,
    DriftCheck,
    constants_file,
    deviations,
    read_constants,
    settings_of,
    spread,
)
from archbench.progress import Progress
from archbench.study.environment import Environment
from archbench.study.measurement import Conditions

_ROUNDS = 60
_WARM_UP_S = 2.0
_LEAST_MS = 1e-6
_CHECK_ROUNDS = (7, 28)  # the second where the first found the networks apart
_CHECK_WARM_UP = 2


@dataclass(frozen=True, kw_only=True)
class Anchor:
    """A network of a study's own kind, with which its candidates are timed in turn.

    It feels what else the machine does as they do, a full memory above all, where a calibration
    network may not. Its constant is what it took by the calibration networks when it was chosen.
    There is a small one and a large one: what neighbours on the host do to caches slows large
    networks down and leaves small ones alone.
    ``ready`` gives it ready to be run at a precision, each time the same.
    """

    name: str
    constant_ms: float
    ready: Callable[[str], Runnable]


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """The constants of one machine under one set of conditions, by their networks' names.

    The generation is how many times they were taken here, 1 where they never had to be renewed;
    the note says that they were taken anew, disturbed or not stored, and is mostly empty. The
    ``checks`` are the drift checks of this process. With anchors, ascending by their constants,
    candidates are timed in turn with these, and the calibration networks tell only what they took.
    """

    environment_id: str
    settings: Mapping[str, str]
    constants_ms: Mapping[str, float]
    calibrators: tuple[Calibrator, ...] = CALIBRATORS
    note: str = ""
    generation: int = 1
    anchors: tuple[Anchor, ...] = ()
    checks: list[DriftCheck] = field(default_factory=list, repr=False, compare=False)
    prepared: dict[str, Runnable] = field(default_factory=dict, repr=False, compare=False)

    def nearest(self, seconds: float) -> str:
        """Name of the attention network whose constant is nearest, as a ratio.

        Hybrids mostly do its kind of work. The others tell whether the constants still hold.
        """
        names = [entry.name for entry in self.calibrators if entry.family == "attention"]
        size = math.log(max(seconds * 1e3, _LEAST_MS))
        return min(names, key=lambda name: abs(math.log(self.constants_ms[name]) - size))

    def references(self, seconds: float) -> dict[str, float]:
        """Name to weight of what a network is timed in turn with: the nearest, or the anchors.

        Between the anchors the weight goes by the logarithm of the time, beyond them the nearer one
        counts alone. The weights' sum is 1.
        """
        if not self.anchors:
            return {self.nearest(seconds): 1.0}
        small, large = self.anchors[0], self.anchors[-1]
        span = math.log(large.constant_ms / small.constant_ms)
        over = math.log(max(seconds * 1e3, _LEAST_MS) / small.constant_ms)
        share = min(max(over / span, 0.0), 1.0) if span else 0.0
        weights = {small.name: 1.0 - share, large.name: share}
        return {name: weight for name, weight in weights.items() if weight} or {small.name: 1.0}

    def constant_ms(self, references: Mapping[str, float]) -> float:
        """The constant of calibration networks or anchors: their mean by these weights."""
        known = {**self.constants_ms, **{one.name: one.constant_ms for one in self.anchors}}
        return weighted_mean({name: known[name] for name in references}, references)

    def details(self) -> dict[str, float | int | str]:
        """What a measurement's record says of the constants."""
        found: dict[str, float | int | str] = {
            "calibration_generation": self.generation,
            "protocol": self.settings["protocol"],
        }
        if self.checks:
            found["calibrators_apart"] = spread(self.checks[-1].deviations)
        if self.note:
            found["calibration_note"] = self.note
        return found

    @contextmanager
    def bench(
        self,
        conditions: Conditions,
        *,
        environment: Environment,
        clock: Clock | None = None,
        on_progress: Progress | None = None,
    ) -> Iterator[CalibratedBench]:
        """A bench with these constants, on a device that nobody else measures on meanwhile.

        The environment is this machine's, captured before anything is pinned.

        Raises:
            UsageError: There is no such kind of device, or too few cores for the threads.
            MissingError: This machine has no such device.
            IncomparableError: The constants were taken elsewhere or under other settings.
            StorageError: The measurement lock cannot be had.
        """
        with measuring(conditions, clock=clock, on_progress=on_progress) as bench:
            mine = {"environment": self.environment_id, **self.settings}
            asked = {"environment": environment.id, **settings_of(conditions)}
            if mine != asked:
                differing = sorted(key for key in asked if asked[key] != mine.get(key))
                raise IncomparableError(
                    f"these calibration constants were taken with another {', '.join(differing)}",
                    help="take them with calibrate() under the conditions to be measured",
                )
            yield CalibratedBench(**vars(bench), environment=environment, calibration=self)


@dataclass(frozen=True, kw_only=True)
class CalibratedBench(Bench):
    """A bench on which times are multiples of calibration constants."""

    environment: Environment
    calibration: Calibration

    def ready(self, name: str) -> Runnable:
        """A calibration network or an anchor, ready to be run; each is prepared once."""
        found = self.calibration.prepared
        for anchor in self.calibration.anchors:
            if name == anchor.name:
                return anchor.ready(self.conditions.precision)
        if name not in found:
            (network,) = (entry for entry in self.calibration.calibrators if entry.name == name)
            found[name] = network.ready(self.conditions)
        return found[name]

    def nearest_reference(self, forward: Forward, *, until: float) -> tuple[float, Forward]:
        """The constant and a pass of the calibration network nearest in time; both get warm.

        Warming up stops when the bench's ``now`` is ``until``.
        """
        warm = warm_up(forward, bench=self, until=until)
        name = self.calibration.nearest(warm.seconds)
        reference = self.ready(name).run
        warm_up(reference, bench=self, until=until)
        return self.calibration.constants_ms[name], reference


def calibrate(
    conditions: Conditions,
    *,
    environment: Environment,
    calibrators: tuple[Calibrator, ...] = CALIBRATORS,
    clock: Clock | None = None,
    on_progress: Progress | None = None,
) -> Calibration:
    """The constants for these conditions: stored ones, or taken now (some 2 s) and stored.

    Batch and resolution do not matter; the environment is this machine's.

    Raises:
        UsageError: Device, backend, precision or threads that cannot be.
        MissingError: This machine has no such device, or lacks what the backend needs.
        StorageError: The measurement lock cannot be had.
    """
    require_device(conditions.device)
    require_backend(conditions)
    with measuring(conditions, clock=clock, on_progress=on_progress) as bench:
        settings, notes, constants = settings_of(conditions), [], None
        file = constants_file(environment, settings)
        try:
            constants = read_constants(file, names=[entry.name for entry in calibrators])
        except UNREADABLE as error:
            notes.append(f"{file.path} could not be read ({error}): constants taken anew")
        if constants is None or constants.due:
            taken = _taken(calibrators, bench=bench)
            constants, note = constants.succeeded_by(taken) if constants else (taken, "")
            notes += [note] * bool(note)
            try:
                file.write(constants.document())
            except (OSError, StorageError) as error:
                notes.append(f"constants could not be kept ({error}): the next run takes others")
    if held := constants.disturbance:
        again = "they are taken again when the machine is found quiet"
        notes.append(f"constants taken while {held}: {again}")
    return Calibration(
        environment_id=environment.id,
        settings=settings,
        constants_ms=constants.constants_ms,
        calibrators=calibrators,
        generation=constants.generation,
        note="; ".join(notes),
    )


def _taken(calibrators: Sequence[Calibrator], *, bench: Bench) -> Constants:
    """Times all calibrators in turn, so that one state of the machine holds for all of them."""
    placed = {entry.name: Placed(network=entry.ready(bench.conditions)) for entry in calibrators}
    draw = random.Random(0)
    for entry in placed.values():
        warm_up(entry.forward, bench=bench, until=bench.now() + _WARM_UP_S)
    timings: dict[str, list[Timing]] = {name: [] for name in placed}
    for done in range(_ROUNDS):
        if done and done % CALIBRATOR_ROUNDS == 0:
            relocate(placed.values(), draw=draw)
        for name, entry in placed.items():
            timings[name].append(bench.repeated(entry.forward))
        bench.tell("taking calibration constants, rounds", done + 1, _ROUNDS)
    everything = [timing for taken in timings.values() for timing in taken]
    return Constants(
        constants_ms=bench.means_ms(timings), off_cpu_share=bench.off_cpu(everything) or 0.0
    )


def check_drift(bench: CalibratedBench) -> None:
    """Checks once in a process whether the calibration networks drifted from their constants.

    It takes some 0.2 s, and four times as long where the networks seem to have left one another.
    Constants that this machine does not keep are not checked. The calibration keeps the result.
    """
    calibration = bench.calibration
    is_kept = constants_file(bench.environment, calibration.settings).path.exists()
    if calibration.checks or len(calibration.calibrators) < 2 or not is_kept:
        return
    forwards = {name: bench.ready(name).run for name in calibration.constants_ms}
    timings: dict[str, list[Timing]] = {name: [] for name in forwards}
    order = random.Random(0)
    for forward in forwards.values():
        for _ in range(_CHECK_WARM_UP):
            forward()
    began, before = bench.clock.wall(), bench.counters()
    found: dict[str, float] = {}
    for rounds in _CHECK_ROUNDS:
        while len(next(iter(timings.values()))) < rounds:
            for name in order.sample(list(forwards), len(forwards)):
                timings[name].append(bench.repeated(forwards[name]))
        found, _ = deviations(bench.means_ms(timings), calibration.constants_ms)
        if spread(found) <= BACK:
            break
    disturbed = disturbance(
        activity=activity(before, bench.counters(), seconds=bench.clock.wall() - began),
        off_cpu=bench.off_cpu([timing for taken in timings.values() for timing in taken]),
        moved=min(drift([bench.seconds(one) for one in taken]) for taken in timings.values()),
    )
    calibration.checks.append(DriftCheck(deviations=found, disturbance=disturbed))
    keep_check(calibration.checks[-1], bench=bench)


def keep_check(check: DriftCheck, *, bench: CalibratedBench) -> str:
    """Writes a drift check into the file of the constants, if it still holds those checked.

    A study that goes on with the constants of its first day says nothing of newer ones. Where the
    file cannot be written, nothing changes. It gives why the constants are to be taken anew; empty
    where they are not.
    """
    calibration, due = bench.calibration, ""
    file = constants_file(bench.environment, calibration.settings)
    with suppress(*UNREADABLE, StorageError):
        kept = read_constants(file, names=list(calibration.constants_ms))
        if kept is not None and kept.generation == calibration.generation:
            found = kept.checked(check)
            if found != kept:
                file.write(found.document())
            due = found.due
    return due


def disturbance(*, off_cpu: float | None, moved: float, activity: Mapping[str, Any]) -> str:
    """Why a drift check says nothing of constants; empty where nothing disturbed it.

    ``off_cpu`` is the share of time without a core, ``moved`` the share by which times drifted.
    """
    if held := core_disturbance(off_cpu):
        return held
    if moved > DRIFT_LIMIT:
        return f"the speed of the machine moved by {moved:.0%}"
    names = ", ".join(name for name, _ in activity["busy"])
    return f"other processes worked: {names}" if names else ""
