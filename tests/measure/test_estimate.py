"""Ratio, interval, drift and verdict as functions of samples."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archbench.measure.latency import estimate
from archbench.measure.latency.clock import Timing
from archbench.measure.latency.estimate import LOOK_LEVEL, log_half_widths, lower_means
from archbench.measure.latency.rounds import LOOKS, WANTED_HALF_WIDTH
from archbench.study.measurement import Conditions
from tests.measure.conftest import FakeClock, bench_of
from tests.measure.synthetic import KINDS, Array, timings


@given(scale=st.floats(0.01, 100.0), samples=st.lists(st.floats(0.5, 2.0), min_size=5, max_size=40))
def test_ratio_scales_with_the_candidate(scale: float, samples: list[float]) -> None:
    once = estimate.ratio(samples, list(reversed(samples)))
    scaled = estimate.ratio([scale * value for value in samples], list(reversed(samples)))
    assert scaled.value == pytest.approx(scale * once.value)
    assert scaled.half_width == pytest.approx(once.half_width, abs=1e-9)


@pytest.mark.parametrize(
    ("samples", "share"),
    [
        ([1.0] * 40, 0.0),
        ([1.0] * 30 + [1.2] * 10, 0.2),
        ([1.2] * 10 + [1.0] * 30, 0.2),
        ([1.0, 9.0] * 9, 0.0),  # too few to tell
    ],
)
def test_drift_compares_stretches(samples: list[float], share: float) -> None:
    assert estimate.drift(samples) == pytest.approx(share)


def test_shares_off_the_cpu_weigh_by_time() -> None:
    bench = bench_of(FakeClock())
    timings = [Timing(wall=1.0, cpu=1.0, delay=0.0), Timing(wall=3.0, cpu=1.0, delay=1.0)]
    assert bench.off_cpu(timings) == pytest.approx(0.5)
    assert bench.off_cpu([]) == 0.0
    # A clock that counts too much CPU time gives no negative share.
    assert bench.off_cpu([Timing(wall=1.0, cpu=1.01, delay=0.0)]) == 0.0
    on_gpu = replace(bench, conditions=Conditions(device="cuda"))
    assert on_gpu.off_cpu(timings) is None


def covered(samples: list[Array], *, level: float = 0.95) -> Array:
    off = np.abs(np.log(np.divide(*map(lower_means, samples))))
    return np.asarray(off <= log_half_widths(*samples, level=level), dtype=np.float64)


def covered_at_the_end(samples: list[Array]) -> float:
    """The share of intervals with the truth where each run stops as the protocol does."""
    candidate, calibration = samples
    held = []
    for look in LOOKS:
        seen = [candidate[:, :look], calibration[:, :look]]
        narrow = log_half_widths(*seen, level=LOOK_LEVEL) <= WANTED_HALF_WIDTH
        stops = narrow | (look == LOOKS[-1])
        held += covered(seen, level=LOOK_LEVEL)[stops].tolist()
        candidate, calibration = candidate[~stops], calibration[~stops]
    assert len(held) == len(samples[0])
    return float(np.mean(held))


@pytest.mark.parametrize(("rounds", "least"), [(20, 0.92), (LOOKS[0], 0.93), (300, 0.93)])
@pytest.mark.parametrize("kind", KINDS)
def test_interval_is_nominal_for_each_disturbance(kind: str, rounds: int, least: float) -> None:
    samples = timings(kind, runs=2000, rounds=rounds, seed=1)
    assert least <= covered(samples).mean() <= 0.97


@pytest.mark.parametrize(
    ("runs", "noise", "off"),
    [
        (1000, 0.03, 0.03),  # 1,000 runs tell 1.4 % apart
        (1000, 0.012, 0.03),
        pytest.param(10_000, 0.03, 0.02, marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_interval_is_nominal_where_being_narrow_ends_the_run(
    kind: str, runs: int, noise: float, off: float
) -> None:
    samples = timings(kind, runs=runs, rounds=LOOKS[-1], seed=2, noise=noise)
    assert covered_at_the_end(samples) == pytest.approx(0.95, abs=off)


def test_other_levels_are_kept() -> None:
    samples = timings("all", runs=4000, rounds=100, seed=4)
    assert 0.78 <= covered(samples, level=0.8).mean() <= 0.83


def test_what_rounds_share_cancels_and_one_round_says_nothing_about_the_spread() -> None:
    state, *_ = timings("all", runs=1, rounds=60, seed=5)
    assert log_half_widths(state, 3 * state)[0] == pytest.approx(0.0, abs=1e-12)
    assert np.isinf(log_half_widths(np.ones((2, 1)), np.ones((2, 1)))).all()
