"""How often intervals hold the truth, on runs whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from archbench.measure.latency.interval import log_half_widths, lower_ratios, student
from archbench.measure.latency.rounds import LOOK_LEVEL, LOOKS, WANTED_HALF_WIDTH
from tests.measure.synthetic import KINDS, Array, timings


def covered(samples: list[Array], *, level: float = 0.95) -> Array:
    off = np.abs(np.log(lower_ratios(*samples)))
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


def test_interval_of_ten_thousand_disturbed_runs_is_nominal() -> None:
    samples = timings("all", runs=10_000, rounds=100, seed=0)
    assert 0.93 <= covered(samples).mean() <= 0.97


@pytest.mark.parametrize("rounds", [LOOKS[0], 100, 300])
@pytest.mark.parametrize("kind", KINDS)
def test_interval_is_nominal_for_each_disturbance(kind: str, rounds: int) -> None:
    samples = timings(kind, runs=2000, rounds=rounds, seed=1)
    assert 0.93 <= covered(samples).mean() <= 0.97


@pytest.mark.parametrize("kind", KINDS)
def test_interval_of_twenty_rounds_is_nearly_nominal(kind: str) -> None:
    samples = timings(kind, runs=2000, rounds=20, seed=1)
    assert 0.92 <= covered(samples).mean() <= 0.97


@pytest.mark.parametrize("noise", [0.03, 0.012])
@pytest.mark.parametrize("kind", KINDS)
def test_interval_is_nominal_where_being_narrow_ends_the_run(kind: str, noise: float) -> None:
    samples = timings(kind, runs=1000, rounds=LOOKS[-1], seed=2, noise=noise)
    assert 0.92 <= covered_at_the_end(samples) <= 0.98  # 1,000 runs tell 1.4 % apart


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_interval_of_ten_thousand_runs_that_stop_is_nominal(kind: str) -> None:
    samples = timings(kind, runs=10_000, rounds=LOOKS[-1], seed=3)
    assert 0.93 <= covered_at_the_end(samples) <= 0.97


def test_other_levels_are_kept() -> None:
    samples = timings("all", runs=4000, rounds=100, seed=4)
    assert 0.78 <= covered(samples, level=0.8).mean() <= 0.83


def test_what_rounds_share_cancels() -> None:
    state, *_ = timings("all", runs=1, rounds=60, seed=5)
    assert log_half_widths(state, 3 * state)[0] == pytest.approx(0.0, abs=1e-12)


def test_width_ignores_units() -> None:
    candidate, calibration = timings("all", runs=3, rounds=40, seed=6)
    assert log_half_widths(1e3 * candidate, calibration) == pytest.approx(
        log_half_widths(candidate, calibration)
    )


def test_one_round_says_nothing_about_the_spread() -> None:
    assert np.isinf(log_half_widths(np.ones((2, 1)), np.ones((2, 1)))).all()


@pytest.mark.parametrize(
    ("share", "freedom", "printed"),
    [(0.975, 6, 2.447), (0.975, 20, 2.086), (0.99, 6, 3.143), (0.99, 21, 2.518), (0.975, 4, 2.776)],
)
def test_student_agrees_with_printed_tables(share: float, freedom: int, printed: float) -> None:
    assert student(share, freedom=freedom) == pytest.approx(printed, rel=0.01)
