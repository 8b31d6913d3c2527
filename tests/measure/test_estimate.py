"""Ratio, interval, drift and verdict as functions of samples."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archbench.measure.latency import statistics
from archbench.measure.latency.clock import Timing


def normal(mean: float, *, share: float, number: int, seed: int) -> list[float]:
    drawn = random.Random(seed)
    return [drawn.gauss(mean, mean * share) for _ in range(number)]


def test_ratio_is_that_of_the_lower_means() -> None:
    found = statistics.ratio([4.0, 4.0, 4.0, 9.0], [2.0, 2.0, 2.0, 2.0])
    assert found.value == pytest.approx(2.0)


def test_interval_is_narrower_where_rounds_share_their_state() -> None:
    state = normal(1.0, share=0.1, number=60, seed=0)
    other = normal(1.0, share=0.1, number=60, seed=1)
    shared = statistics.ratio([3 * value for value in state], state)
    apart = statistics.ratio([3 * value for value in other], state)
    assert shared.half_width < 0.1 * apart.half_width


def test_interval_is_the_same_for_the_same_samples() -> None:
    samples = normal(6.0, share=0.1, number=40, seed=0), normal(2.0, share=0.1, number=40, seed=1)
    assert statistics.ratio(*samples) == statistics.ratio(*samples)


@given(
    scale=st.floats(0.01, 100.0),
    samples=st.lists(st.floats(0.5, 2.0), min_size=5, max_size=40),
)
def test_ratio_scales_with_the_candidate(scale: float, samples: list[float]) -> None:
    once = statistics.ratio(samples, list(reversed(samples)))
    scaled = statistics.ratio([scale * value for value in samples], list(reversed(samples)))
    assert scaled.value == pytest.approx(scale * once.value)
    assert scaled.half_width == pytest.approx(once.half_width, abs=1e-9)


def test_drift_compares_stretches() -> None:
    assert statistics.drift([1.0] * 40) == 0.0
    assert statistics.drift([1.0] * 30 + [1.2] * 10) == pytest.approx(0.2)
    assert statistics.drift([1.2] * 10 + [1.0] * 30) == pytest.approx(0.2)


def test_drift_of_few_samples_is_not_known() -> None:
    assert statistics.drift([1.0, 9.0] * 9) == 0.0


def test_off_cpu_share_weighs_by_time() -> None:
    timings = [Timing(wall=1.0, cpu=1.0, delay=0.0), Timing(wall=3.0, cpu=1.0, delay=1.0)]
    assert statistics.off_cpu_share(timings) == pytest.approx(0.5)
    assert statistics.delay_share(timings) == pytest.approx(0.25)
    assert statistics.off_cpu_share([]) == statistics.delay_share([]) == 0.0


def test_a_clock_that_counts_too_much_cpu_time_is_no_negative_share() -> None:
    assert statistics.off_cpu_share([Timing(wall=1.0, cpu=1.01, delay=0.0)]) == 0.0


STABLE = {"forwards": 20, "off_cpu": 0.05, "drift": 0.05, "half_width": 0.05}


def test_verdict_is_stable_up_to_the_limits() -> None:
    assert statistics.verdict(**STABLE) == ("stable", "")
    assert statistics.verdict(**{**STABLE, "off_cpu": None}) == ("stable", "")


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"forwards": 19}, "only 19 of 20 wanted forward passes fitted into the budget"),
        ({"off_cpu": 0.06}, "other work held the core for 6% of the time"),
        ({"drift": 0.06}, "the calibration network drifted by 6% meanwhile"),
        ({"throttled": 2}, "cores were slowed down for heat 2 times meanwhile"),
        ({"half_width": 0.06}, "the interval is as wide as ±6%"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_verdict_gives_the_reason(changed: dict[str, float], reason: str) -> None:
    assert statistics.verdict(**{**STABLE, **changed}) == ("disturbed", reason)


def test_verdict_gives_every_reason() -> None:
    _, reason = statistics.verdict(forwards=10, off_cpu=0.5, drift=0.5, half_width=0.5)
    assert reason.count(";") == 3
