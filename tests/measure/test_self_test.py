"""What copies of one network say about the machine."""

import numpy as np
import pytest

from archbench.measure.latency.estimate import log_half_widths, lower_means
from archbench.measure.self_test import COPIES, WINDOW, resolution_of, self_test
from tests.measure.conftest import FakeClock, MakeBench, Ticking
from tests.measure.synthetic import timings


def test_copies_seem_different_as_often_as_chance_lets_them() -> None:
    shares = []
    for seed in range(20):
        samples = timings("all", runs=1, rounds=200, seed=seed, networks=COPIES)
        found = resolution_of(np.concatenate(samples))
        assert (found["rounds"], found["comparisons"]) == (200, 15 * (200 // WINDOW))
        shares.append(found["false_share"])
    assert 0.02 <= np.mean(shares) <= 0.08


def test_the_smallest_difference_is_found_nearly_always() -> None:
    tests = [timings("quiet", runs=1, rounds=100, seed=s, networks=COPIES) for s in range(20)]
    smallest = np.mean([resolution_of(np.concatenate(copies))["smallest"] for copies in tests])
    first, second = timings("quiet", runs=1000, rounds=100, seed=1)
    slower = (1 + smallest) * second
    off = np.log(lower_means(slower) / lower_means(first))
    assert 0.9 <= np.mean(off > log_half_widths(slower, first)) <= 0.99


def test_a_copy_that_is_slower_shows_but_few_rounds_make_no_short_comparison() -> None:
    samples = np.concatenate(timings("quiet", runs=1, rounds=100, seed=0, networks=COPIES))
    few = resolution_of(samples[:, :10])
    assert (few["comparisons"], few["false_share"]) == (0, 0.0)
    samples[2] *= 1.2
    found = resolution_of(samples)
    assert found["spread"] == pytest.approx(0.2, abs=0.03)
    assert found["false_share"] > 0.25


def test_constants_that_left_the_others_are_told(clock: FakeClock, bench: MakeBench) -> None:
    networks = [Ticking(clock, ms, name=f"n{ms}") for ms in (2.2, 4.4, 11.0)]
    found = self_test(bench(*networks, constants_ms=(2.0, 4.0, 8.0)), seconds=20.0)
    assert found["state"] == pytest.approx(0.1)
    assert found["constants"]["n2.2"]["deviation"] == pytest.approx(0.0)
    assert found["constants"]["n11.0"]["deviation"] == pytest.approx(0.25)
    assert found["off_cpu"] == pytest.approx(0.0)
    resolution = found["resolution"]
    assert resolution["rounds"] == 400
    assert (resolution["smallest"], resolution["spread"]) == pytest.approx((0.0, 0.0))


def test_the_time_is_bounded(clock: FakeClock, bench: MakeBench) -> None:
    began = clock.wall()
    found = self_test(bench(Ticking(clock, 500.0, waiting_ms=500.0)), seconds=5.0)
    assert found["resolution"] is None
    assert found["off_cpu"] == pytest.approx(0.5)
    assert clock.wall() - began < 30.0
