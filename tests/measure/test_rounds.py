"""Warm-up, which clock counts, and what makes a verdict."""

import math

import pytest
import torch

from archbench.measure.backend import Runnable
from archbench.measure.latency import estimate
from archbench.measure.latency.clock import Clock, Timing, stopwatch
from archbench.measure.latency.rounds import (
    LOOKS,
    Attempt,
    WarmUp,
    looks,
    placement_rounds,
    warm_up,
)
from archbench.study.measurement import Conditions
from tests.measure.conftest import FakeClock, Milliseconds, Ticking, bench_of


def warmed(
    clock: FakeClock, cpu_ms: Milliseconds, *, budget_s: float = 1e3, waiting_ms: float = 0.0
) -> WarmUp:
    network = Ticking(clock, cpu_ms, waiting_ms=waiting_ms)
    until = clock.cpu() + budget_s
    return warm_up(lambda: network(torch.zeros(1)), bench=bench_of(clock), until=until)


@pytest.mark.parametrize(
    ("cpu_ms", "forwards", "settled"),
    [
        (lambda number: 3.0, 8, True),  # at least so many
        (lambda number: 3.0 + max(0, 10 - number), 15, True),  # when five in a row agree
        (lambda number: 3.0 + number % 2, 30, False),  # at most so many
    ],
)
def test_warm_up_goes_on_until_five_passes_agree(
    clock: FakeClock, cpu_ms: Milliseconds, forwards: int, settled: bool
) -> None:
    found = warmed(clock, cpu_ms)
    assert (found.forwards, found.settled) == (forwards, settled)
    assert found.seconds == pytest.approx(3e-3)


def test_warm_up_is_bounded_by_the_clock_that_counts_but_makes_two_passes(clock: FakeClock) -> None:
    found = warmed(clock, lambda number: 3.0, waiting_ms=6.0)
    # A round takes a pass that leads the timed one, as 3 ms are more than what must be led.
    assert (found.seconds, found.round_s) == pytest.approx((3e-3, 6e-3))
    slow = warmed(clock, lambda number: 1000.0, budget_s=3.5)
    assert (slow.forwards, slow.round_s) == (4, pytest.approx(1.0))  # nothing leads long passes
    assert warmed(clock, lambda number: 1000.0, budget_s=-1.0).forwards == 2


@pytest.mark.parametrize(
    ("conditions", "milliseconds"),
    [(Conditions(threads=1), 3.0), (Conditions(threads=2), 5.0)],
    ids=["one_thread_by_cpu_time", "two_threads_by_wall_time"],
)
def test_what_counts(clock: FakeClock, conditions: Conditions, milliseconds: float) -> None:
    network = Ticking(clock, 3.0, waiting_ms=2.0)
    bench = bench_of(clock, conditions)
    timing = bench.watch(lambda: network(torch.zeros(1)))
    assert bench.mean_ms([timing]) == pytest.approx(milliseconds)


@pytest.mark.parametrize(
    ("seconds", "round_s", "rounds"),
    [(6.0, 1e-3, 20), (6.0, 0.03, 16), (6.0, 0.25, 2), (6.0, 0.3, 0), (-1.0, 0.0, 0)],
)
def test_networks_stay_in_one_place_for_as_long_as_a_dozen_places_fit(
    seconds: float, round_s: float, rounds: int
) -> None:
    assert placement_rounds(seconds=seconds, round_s=round_s) == rounds
    # Measurements stop only between places, where there are some.
    assert looks(rounds) == ((10 * rounds, 20 * rounds, 40 * rounds) if rounds else LOOKS)


BEYOND = {
    "WANTED_FORWARDS": "only 20 of 21 wanted forward passes fitted into the budget",
    "OFF_CPU_LIMIT": "other work held the core for 9% of the time",
    "DRIFT_LIMIT": "the calibration network drifted by 10% meanwhile",
    "WIDTH_LIMIT": "the interval is as wide as ±5%",
}


@pytest.mark.parametrize("beyond", [[], *([name] for name in BEYOND), [*BEYOND]], ids=" ".join)
def test_a_verdict_is_stable_at_each_limit_and_gives_every_reason_beyond(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch, beyond: list[str]
) -> None:
    def timed(milliseconds: float) -> Timing:
        return Timing(wall=1.1 * milliseconds, cpu=milliseconds, delay=0.0)

    attempt = Attempt(
        network=Runnable(run=list, precision="fp32"),
        references={"it": 1.0},
        timings=[timed(5.0 + number % 3) for number in range(20)],
        calibration=[timed(2.0 if number < 10 else 2.2) for number in range(20)],
    )
    attempt.judge(bench=bench_of(clock), throttled=0, others="")
    assert attempt.found is not None
    found = (20, attempt.off_cpu, attempt.drift, attempt.found.half_width)
    for name, limit in zip(BEYOND, found, strict=True):
        just_less = 21 if name == "WANTED_FORWARDS" else math.nextafter(limit, 0.0)
        monkeypatch.setattr(estimate, name, just_less if name in beyond else limit)
    attempt.judge(bench=bench_of(clock), throttled=0, others="")
    assert attempt.verdict == ("disturbed" if beyond else "stable")
    assert attempt.reason == "; ".join(BEYOND[name] for name in beyond)


def test_system_clock_runs_forward() -> None:
    timing = stopwatch("cpu", clock=Clock())(lambda: sum(range(1000)))
    assert timing.wall > 0
    assert timing.cpu >= 0
    assert timing.delay >= 0
    assert math.isfinite(timing.wall + timing.cpu + timing.delay)
