"""How long did one forward pass take: on the wall, on the core, on the GPU?"""

import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import torch

from archbench.measure.device.session import Session, measuring_there
from archbench.measure.device.watch import BoardWatch
from archbench.measure.latency.estimate import lower_mean
from archbench.measure.machine import (
    Counters,
    Pinning,
    counters,
    measurement_lock,
    pinned,
    require_device,
    throttle_count,
)
from archbench.progress import Progress
from archbench.study.measurement import Conditions

LEAD_S = 0.002
"""How long a network runs untimed before each timed pass, one pass at least."""

MOST_LEADS = 4
"""How many passes that may be."""

_LONG_S = 0.05  # a pass that needs no lead

Forward = Callable[[], object]
_Stopwatch = Callable[[Forward], "Timing"]


class Watch(Protocol):
    """A watch over a device: each reading tells of the time since the one before."""

    def use(self, *, works: bool = True) -> dict[str, str]:
        """What ``disturbance`` there was, and a ``note``; both may be empty."""


@dataclass(frozen=True, slots=True)
class Timing:
    """One forward pass in seconds: elapsed (on a GPU between two events), CPU time, and delay.

    CPU time is the calling thread's, the delay that in which it could run but had no core; 0 where
    the system does not tell.
    """

    wall: float
    cpu: float
    delay: float


class Clock:
    """The clocks of this system for the thread that makes it, in seconds from any start."""

    def __init__(self) -> None:
        try:
            self._scheduler = os.open("/proc/thread-self/schedstat", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:  # not on macOS, nor on every kernel
            self._scheduler = -1

    def __del__(self) -> None:
        if self._scheduler >= 0:
            os.close(self._scheduler)

    def wall(self) -> float:
        """A monotonic clock."""
        return time.perf_counter()

    def cpu(self) -> float:
        """CPU time of the calling thread."""
        return time.thread_time()

    def delay(self) -> float:
        """Time in which the calling thread waited for a core, 0 where the system hides it."""
        if self._scheduler < 0:
            return 0.0
        return int(os.pread(self._scheduler, 64, 0).split()[1]) / 1e9

    def throttled(self) -> int:
        """How often a core was slowed down for heat so far, 0 where the system hides it."""
        return throttle_count() or 0


class _ClockThere(Clock):
    """The clock of passes on another device; what else the link takes makes no budget shorter."""

    def __init__(self, session: Session) -> None:
        self._session, self._scheduler = session, -1

    def cpu(self) -> float:
        """CPU time of passes there so far."""
        return self._session.spent_s

    def throttled(self) -> int:
        """0: the watch over the device tells."""
        return 0


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What all networks of a measurement are timed with; ``watch`` times one forward pass.

    The ``counters`` tell what else works on the device, ``others`` what disturbs there beside. On
    another device ``watch_led`` times a pass that others lead, and ``evict`` fills the caches there
    with other data.
    """

    conditions: Conditions
    clock: Clock
    watch: _Stopwatch
    pinning: Pinning
    on_progress: Progress | None = None
    counters: Callable[[], Counters] = counters
    watch_led: _Stopwatch | None = None
    evict: Callable[[], object] | None = None
    others: Watch | None = None

    def tell(self, what: str, done: int, total: int) -> None:
        """Tells what is being done, how much of it, and of how much."""
        if self.on_progress:
            self.on_progress(what, done, total)

    @property
    def by_cpu_time(self) -> bool:
        """Whether CPU time counts: on one CPU thread, as preemption leaves it alone."""
        return self.conditions.processor == "cpu" and self.conditions.threads == 1

    def seconds(self, timing: Timing) -> float:
        """The seconds that count: of CPU time or of wall time."""
        return timing.cpu if self.by_cpu_time else timing.wall

    def now(self) -> float:
        """The clock that counts, in seconds: by it budgets hold, so that a loaded machine waits."""
        return self.clock.cpu() if self.by_cpu_time else self.clock.wall()

    def lead(self, forward: Forward, *, pass_s: float = 0.0) -> None:
        """Runs a network untimed, until what ran before it is out of the caches.

        One whose pass is long has them to itself for nearly all of it anyway.
        """
        if pass_s > _LONG_S:
            return
        until = self.now() + LEAD_S
        for _ in range(MOST_LEADS):
            forward()
            if self.now() >= until:
                break

    def repeated(self, forward: Forward, *, pass_s: float = 0.0) -> Timing:
        """Times a pass that follows others of the same network; see ``lead``.

        A pass behind another network finds that one's data and code in the caches. Networks of
        0.3 to 0.9 ms took 1 to 10 % less behind others of their size than behind a calibration
        network, and so they did in a confirmation (``benchmarks/latency``).
        """
        if self.watch_led and pass_s <= _LONG_S:
            return self.watch_led(forward)
        self.lead(forward, pass_s=pass_s)
        return self.watch(forward)

    def mean_ms(self, timings: Sequence[Timing]) -> float:
        """The lower mean of some passes in milliseconds of the clock that counts."""
        return lower_mean([self.seconds(timing) * 1e3 for timing in timings])

    def means_ms(self, timings: Mapping[str, Sequence[Timing]]) -> dict[str, float]:
        """The lower mean of each network's passes in milliseconds, by its name."""
        return {name: self.mean_ms(taken) for name, taken in timings.items()}

    def off_cpu(self, timings: Sequence[Timing]) -> float | None:
        """The share of wall time without a core; None on a GPU, for which the thread waits."""
        if self.conditions.processor != "cpu":
            return None
        wall = sum(timing.wall for timing in timings)
        return max(0.0, 1 - sum(timing.cpu for timing in timings) / wall) if wall else 0.0


@contextmanager
def measuring(
    conditions: Conditions, *, clock: Clock | None = None, on_progress: Progress | None = None
) -> Iterator[Bench]:
    """A bench on a device that nobody else measures on meanwhile; this process is pinned.

    On another device the agent there is.

    Raises:
        UsageError: There is no such kind of device, or there are fewer usable cores than threads.
        MissingError: This machine has no such device, or another one does not answer.
        IncomparableError: Another device is no longer as it was added.
        StorageError: The measurement lock cannot be had.
    """
    require_device(conditions.device)
    if conditions.is_remote:
        with measuring_there(conditions, on_progress=on_progress) as session:
            yield _bench_there(session, conditions=conditions, on_progress=on_progress)
        return
    clock = clock or Clock()
    lock = measurement_lock(conditions.device, on_progress=on_progress)
    with lock, pinned(threads=conditions.threads) as pinning:
        watch = stopwatch(conditions.device, clock=clock)
        yield Bench(
            conditions=conditions,
            clock=clock,
            watch=watch,
            pinning=pinning,
            on_progress=on_progress,
        )


def _bench_there(
    session: Session, *, conditions: Conditions, on_progress: Progress | None
) -> Bench:
    def watch(forward: Forward, lead_s: float = 0.0) -> Timing:
        wall, cpu = session.timed(forward, lead_s=lead_s, most=MOST_LEADS)
        return Timing(wall=wall, cpu=cpu, delay=0.0)

    note = "" if session.cores else "not pinned: its system cannot pin a thread to a core"
    return Bench(
        conditions=conditions,
        clock=_ClockThere(session),
        watch=watch,
        watch_led=partial(watch, lead_s=LEAD_S),
        evict=session.evict,
        counters=session.counters,
        others=BoardWatch(session.state),
        pinning=Pinning(cores=session.cores, note=note),
        on_progress=on_progress,
    )


def expected_leads(pass_s: float) -> int:
    """How many untimed passes lead a timed one that takes so long; see ``Bench.lead``."""
    return 0 if pass_s > _LONG_S else min(MOST_LEADS, math.ceil(LEAD_S / pass_s))


def stopwatch(device: str, *, clock: Clock) -> _Stopwatch:
    """What times one forward pass on the device.

    On a GPU it times by events, one synchronisation a pass, so that passes never overlap.
    """

    def timed(forward: Forward) -> Timing:
        delay = clock.delay()
        wall = clock.wall()
        cpu = clock.cpu()
        forward()
        cpu = clock.cpu() - cpu
        wall = clock.wall() - wall
        return Timing(wall=wall, cpu=cpu, delay=clock.delay() - delay)

    if device != "cuda":
        return timed
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)

    def timed_on_gpu(forward: Forward) -> Timing:
        torch.cuda.synchronize()
        delay = clock.delay()
        cpu = clock.cpu()
        start.record()
        forward()
        end.record()
        end.synchronize()
        cpu = clock.cpu() - cpu
        wall = start.elapsed_time(end) / 1e3
        return Timing(wall=wall, cpu=cpu, delay=clock.delay() - delay)

    return timed_on_gpu
