"""How long did one forward pass take: on the wall, on the core, on the GPU."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch

from archbench.measure.machine import throttle_count

Forward = Callable[[], object]
Stopwatch = Callable[[Forward], "Timing"]


@dataclass(frozen=True, slots=True)
class Timing:
    """One forward pass, in seconds.

    Attributes:
        wall: Elapsed time; on a GPU between two events on the device.
        cpu: CPU time of the calling thread.
        delay: Time in which the calling thread could run but had no core; 0 where the system
            does not tell.
    """

    wall: float
    cpu: float
    delay: float


class Clock(Protocol):
    """Where time comes from, in seconds from any start."""

    def wall(self) -> float:
        """A monotonic clock."""
        ...

    def cpu(self) -> float:
        """CPU time of the calling thread."""
        ...

    def delay(self) -> float:
        """Time in which the calling thread waited for a core."""
        ...

    def throttled(self) -> int:
        """How often a core was slowed down for heat so far."""
        ...


class SystemClock:
    """The clocks of this system, for the thread that makes it."""

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


def stopwatch(device: str, *, clock: Clock) -> Stopwatch:
    """What times one forward pass on the device."""
    if device == "cuda":
        return _cuda_stopwatch(clock)

    def timed(forward: Forward) -> Timing:
        delay = clock.delay()
        wall = clock.wall()
        cpu = clock.cpu()
        forward()
        cpu = clock.cpu() - cpu
        wall = clock.wall() - wall
        return Timing(wall=wall, cpu=cpu, delay=clock.delay() - delay)

    return timed


def _cuda_stopwatch(clock: Clock) -> Stopwatch:
    """Times by events, one synchronisation a pass, so that passes never overlap."""
    start = torch.cuda.Event(enable_timing=True)
    end = torch.cuda.Event(enable_timing=True)

    def timed(forward: Forward) -> Timing:
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

    return timed
