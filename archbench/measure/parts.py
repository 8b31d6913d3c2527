"""How long does each part of a network take, inside the running network?"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from archbench.measure.device import require_device, settled
from archbench.measure.latency.calibration import Calibration, Progress
from archbench.measure.latency.clock import Clock, SystemClock, Timing
from archbench.measure.latency.rounds import Bench, bench, warm_up
from archbench.measure.latency.statistics import lower_mean, off_cpu_share
from archbench.measure.lock import measurement_lock
from archbench.study.environment import Environment
from archbench.study.measurement import Conditions

_LEAST_ROUNDS, _MOST_ROUNDS = 5, 150


@dataclass(frozen=True, kw_only=True)
class Spans:
    """Times in milliseconds, calibrated as latencies are.

    Attributes:
        parts: Part to time.
        whole: The network as it is.
        watched: The network while its parts were timed; the difference is what watching costs.
        rounds: Passes of each.
        off_cpu: Share of the time without a core; None on a GPU.
    """

    parts: Mapping[str, float]
    whole: float
    watched: float
    rounds: int
    off_cpu: float | None


def time_spans(
    network: nn.Module,
    example: Tensor,
    *,
    parts: Mapping[str, nn.Module],
    conditions: Conditions,
    environment: Environment,
    calibration: Calibration,
    budget_s: float = 4.0,
    clock: Clock | None = None,
    on_progress: Progress | None = None,
) -> Spans:
    """The time of each part, of passes that take turns with passes without any hook.

    On one CPU thread CPU time counts, else the time that passes; a GPU is waited for before and
    behind each part, which hides what it would have run at once.

    Args:
        network: In evaluation, where it is to be timed.
        example: What it takes.
        parts: Modules of the network by any names, none inside another; each runs once.
        conditions: Device and threads.
        environment: This machine.
        calibration: Its constants.
        budget_s: Seconds for all passes.
        clock: Where time comes from; a test has its own.
        on_progress: Told how many rounds are done.

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

        def plain() -> object:
            with torch.inference_mode():
                return network(example)

        until = clock.wall() + budget_s
        warm = warm_up(plain, on=on, until=until)
        calibrator = calibration.nearest(warm.seconds, family="attention").name
        reference = calibration.forward(calibrator, conditions=conditions)
        warm_up(reference, on=on, until=until)
        taken: dict[str, list[float]] = {name: [] for name in parts}
        timings: dict[str, list[Timing]] = {"reference": [], "plain": [], "watched": []}
        order, rounds = random.Random(0), 0
        while rounds < _LEAST_ROUNDS or (rounds < _MOST_ROUNDS and clock.wall() < until):
            for what in order.sample(list(timings), len(timings)):
                if what == "watched":
                    with _watched(parts, taken, read=_reader(on, conditions.device)):
                        timings[what].append(on.watch(plain))
                else:
                    timings[what].append(on.watch(plain if what == "plain" else reference))
            rounds += 1
            if on_progress:
                on_progress("timing parts", rounds, _MOST_ROUNDS)
    means = {
        what: lower_mean([on.seconds(timing) for timing in found])
        for what, found in timings.items()
    }
    unit = calibration.constants_ms[calibrator] / means["reference"]
    return Spans(
        parts={name: lower_mean(seconds) * unit for name, seconds in taken.items()},
        whole=means["plain"] * unit,
        watched=means["watched"] * unit,
        rounds=rounds,
        off_cpu=off_cpu_share(timings["plain"]) if conditions.device == "cpu" else None,
    )


def _reader(on: Bench, device: str) -> Callable[[], float]:
    if device == "cuda":

        def synchronised() -> float:
            torch.cuda.synchronize()
            return on.clock.wall()

        return synchronised
    return on.clock.cpu if on.by_cpu_time else on.clock.wall


@contextmanager
def _watched(
    parts: Mapping[str, nn.Module], taken: Mapping[str, list[float]], *, read: Callable[[], float]
) -> Iterator[None]:
    """Adds the seconds of each part's passes to its list."""
    handles = []
    begun: dict[str, float] = {}
    for name, module in parts.items():

        def enter(module: nn.Module, inputs: Any, name: str = name) -> None:
            begun[name] = read()

        def leave(module: nn.Module, inputs: Any, output: Any, name: str = name) -> None:
            taken[name].append(read() - begun[name])

        handles += [module.register_forward_pre_hook(enter), module.register_forward_hook(leave)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
