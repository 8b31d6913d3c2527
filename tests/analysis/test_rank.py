"""Tau is Kendall's, the cost is really taken out, and the interval covers what it promises."""

import numpy as np
import pytest

from archbench.analysis.statistics import (
    agreement,
    grouped,
    kendall_tau,
    near_front,
    others,
    spread,
    without_cost,
)
from tests.analysis.certified import sample


def _arrays(
    quality: float, *, num: int = 32, seed: int = 0, between: float = 0.08
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    found = sample(quality=quality, num=num, seed=seed, between=between)
    score = np.array([[c.proxy[s][8] for c in found] for s in (0, 1)])
    truth = np.array([[c.longer[s] for c in found] for s in (2, 3)])
    return score, truth, np.log([float(c.macs) for c in found])


def test_tau_of_many_at_once_is_0_of_what_does_not_vary() -> None:
    rows = np.array([[1.0, 2.0, 3.0], [1.0, 3.0, 2.0], [1.0, 1.0, 1.0]])
    assert kendall_tau(rows, np.arange(3.0)[None]) == pytest.approx([1, 1 / 3, 0])


def test_without_cost_leaves_nothing_of_a_cubic() -> None:
    cost = np.linspace(12, 15, 20)
    assert without_cost(0.3 - cost + 0.2 * cost**2 - 0.01 * cost**3, cost) == pytest.approx(
        np.zeros(20), abs=1e-9
    )
    values = np.array([1.0, 2.0, 6.0])  # of what all costs the same the mean is taken out
    assert without_cost(values, np.full(3, 12.0)) == pytest.approx([-2.0, -1.0, 3.0])


def test_size_itself_has_no_tau_at_equal_cost() -> None:
    _, truth, cost = _arrays(0.9)
    found = agreement(cost[None], truth[:1], log_cost=cost, draws=20)
    assert found.at_equal_cost.value == found.at_equal_cost.high == 0


def test_score_that_only_ranks_size_has_no_tau_at_equal_cost() -> None:
    found = [_arrays(0, seed=seed, between=0.05) for seed in range(60)]
    raw = [kendall_tau(score[0], truth.mean(0)) for score, truth, _ in found]
    equal = [
        kendall_tau(without_cost(score[0], cost), without_cost(truth.mean(0), cost))
        for score, truth, cost in found
    ]
    assert np.mean(raw) > 0.35
    assert abs(np.mean(equal)) < 0.04


def test_good_score_keeps_its_tau_at_equal_cost() -> None:
    score, truth, cost = _arrays(0.98)
    found = agreement(score, np.repeat(truth.mean(0, keepdims=True), 2, 0), log_cost=cost)
    assert found.at_equal_cost.low > 0.4
    assert found.overall.value > found.at_equal_cost.value
    assert found.at_equal_cost.low < found.at_equal_cost.value < found.at_equal_cost.high


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    """The truth: the mean over many samples, each large. 90 of 100 are 95 % within the chance."""
    quality, wide = 0.7, {"overall": 0.0, "at_equal_cost": 0.0}
    for seed in range(8):
        score, truth, cost = _arrays(quality, num=400, seed=1000 + seed)
        found = agreement(score[:1], truth.mean(0, keepdims=True), log_cost=cost, draws=2)
        for name in wide:
            wide[name] += getattr(found, name).value / 8
    covered = dict.fromkeys(wide, 0)
    for seed in range(100):
        score, truth, cost = _arrays(quality, num=24, seed=seed)
        found = agreement(score[:1], truth.mean(0, keepdims=True), log_cost=cost, draws=200)
        for name, value in wide.items():
            estimate = getattr(found, name)
            covered[name] += estimate.low <= value <= estimate.high
    assert all(90 <= count <= 100 for count in covered.values()), covered


def test_near_front_is_the_half_least_below_the_best_of_its_cost() -> None:
    cost = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    truth = np.array([0.5, 0.3, 0.7, 0.1, 0.69])
    assert sorted(near_front(truth, cost)) == [0, 2, 4]


def test_order_of_the_candidates_does_not_matter() -> None:
    score, truth, cost = _arrays(0.8, num=12)
    order = np.random.default_rng(1).permutation(12)
    found = agreement(score, truth, log_cost=cost, draws=10)
    again = agreement(score[:, order], truth[:, order], log_cost=cost[order], draws=10)
    for name in ("overall", "near_front", "at_equal_cost"):
        assert getattr(found, name).value == pytest.approx(getattr(again, name).value)


def test_spread_finds_what_was_put_in() -> None:
    samples = [_arrays(0.5, num=200, seed=seed) for seed in range(5)]
    found = [spread(truth, log_cost=cost) for _, truth, cost in samples]
    assert np.mean([one.seeds for one in found]) == pytest.approx(0.03, rel=0.05)
    assert np.mean([one.at_equal_cost for one in found]) == pytest.approx(0.08, rel=0.05)
    assert all(one.candidates > one.at_equal_cost for one in found)
    rng = np.random.default_rng(0)
    noise = spread(rng.normal(size=(4, 400)), log_cost=rng.normal(size=400))
    assert noise.candidates < 0.2
    assert noise.seeds == pytest.approx(1, rel=0.1)


def test_groups_hold_as_many_seeds_as_a_search_counts() -> None:
    trainings = np.array([[0.0], [1.0], [5.0]])
    assert grouped(trainings, size=1).ravel().tolist() == [0, 1, 5]
    assert grouped(trainings, size=2).ravel().tolist() == [0.5, 3, 2.5]
    assert grouped(trainings, size=3).ravel().tolist() == [2]
    assert others(trainings).ravel().tolist() == [3, 2.5, 0.5]
