"""What does who serves a network see: slow passes, images a second, memory, energy?"""

from __future__ import annotations

from dataclasses import dataclass

from archbench.measure.device import require_device, settled
from archbench.measure.energy import energy_per_image
from archbench.measure.latency.calibration import Calibration, Progress
from archbench.measure.latency.clock import Clock, Forward, SystemClock, Timing
from archbench.measure.latency.rounds import bench, warm_up
from archbench.measure.latency.statistics import lower_mean, off_cpu_share, quantile
from archbench.measure.lock import measurement_lock
from archbench.measure.peak_memory import peak_memory
from archbench.measure.quantity import Quantity
from archbench.study.environment import Environment
from archbench.study.measurement import Conditions

_LEAST_PASSES, _MOST_PASSES = 20, 400
_FOR_P99 = 100


@dataclass(frozen=True, kw_only=True)
class Service:
    """What passes of one network at one batch gave.

    Attributes:
        conditions: Under which.
        ms: The calibrated time of a batch, as latencies are.
        wall_ms: Every pass on the wall clock, as it was: whatever else the machine did shows.
        p50: Their median.
        p95: What 95 % of them stayed below.
        p99: Likewise; not available from fewer than 100 passes.
        peak: Memory of a pass, see ``peak_memory``.
        energy: Of an image, see ``energy_per_image``.
        off_cpu: Share of the time without a core; None on a GPU.
    """

    conditions: Conditions
    ms: float
    wall_ms: tuple[float, ...]
    p50: Quantity
    p95: Quantity
    p99: Quantity
    peak: Quantity
    energy: Quantity
    off_cpu: float | None

    @property
    def images_per_second(self) -> float:
        """By the calibrated time."""
        return 1e3 * self.conditions.batch / self.ms


def serve(
    forward: Forward,
    *,
    conditions: Conditions,
    environment: Environment,
    calibration: Calibration,
    budget_s: float = 2.0,
    clock: Clock | None = None,
    on_progress: Progress | None = None,
) -> Service:
    """Runs a network as a service would, in turn with a calibration network.

    Args:
        forward: One pass, ready.
        conditions: What it was made ready for.
        environment: This machine.
        calibration: Its constants.
        budget_s: Seconds of passes; at least 20 are made.
        clock: Where time comes from; a test has its own.
        on_progress: Told how many passes are done.

    Raises:
        MissingError: This machine has no such device.
        IncomparableError: The calibration was taken elsewhere or under other settings.
        StorageError: The measurement lock cannot be had.
    """
    require_device(conditions.device)
    clock = clock or SystemClock()
    with measurement_lock(conditions.device), settled(threads=conditions.threads):
        calibration.require(environment, conditions=conditions)
        on = bench(conditions, clock=clock)
        until = clock.wall() + budget_s
        warm = warm_up(forward, on=on, until=until)
        name = calibration.nearest(warm.seconds, family="attention").name
        reference = calibration.forward(name, conditions=conditions)
        warm_up(reference, on=on, until=until)
        timings: list[Timing] = []
        compared: list[float] = []
        while len(timings) < _LEAST_PASSES or (
            len(timings) < _MOST_PASSES and clock.wall() < until
        ):
            compared.append(on.seconds(on.watch(reference)))
            timings.append(on.watch(forward))
            if on_progress:
                on_progress(f"serving batch {conditions.batch}", len(timings), _MOST_PASSES)
        peak = peak_memory(forward, device=conditions.device)
        energy = energy_per_image(
            forward, device=conditions.device, batch=conditions.batch, clock=clock
        )
    ratio = lower_mean([on.seconds(timing) for timing in timings]) / lower_mean(compared)
    walls = tuple(timing.wall * 1e3 for timing in timings)
    return Service(
        conditions=conditions,
        ms=ratio * calibration.constants_ms[name],
        wall_ms=walls,
        p50=Quantity(value=quantile(walls, 0.5), unit="ms"),
        p95=Quantity(value=quantile(walls, 0.95), unit="ms"),
        p99=_p99(walls),
        peak=peak,
        energy=energy,
        off_cpu=off_cpu_share(timings) if conditions.device == "cpu" else None,
    )


def _p99(walls: tuple[float, ...]) -> Quantity:
    if len(walls) < _FOR_P99:
        return Quantity(unit="ms", reason=f"fewer than {_FOR_P99} passes were made")
    return Quantity(value=quantile(walls, 0.99), unit="ms")
