"""The closed form of expected hypervolume improvement against chance."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from moocore import hypervolume

from archbench.search.bayes.improvement import front_members, hypervolume_improvement
from archbench.search.bayes.surrogate import near_front


def _volume(costs: np.ndarray, values: np.ndarray, floor: float, corner: np.ndarray) -> float:
    points = np.column_stack([costs, -values])
    reference = np.append(corner, -floor)
    inside = (points < reference).all(axis=1)
    return float(hypervolume(points[inside], ref=reference)) if inside.any() else 0.0


@pytest.mark.parametrize("num_costs", [1, 2, 3])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_closed_form_is_the_mean_over_draws(num_costs: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    front_costs, front_values = rng.random((6, num_costs)), rng.random(6)
    costs, mean, deviation = rng.random((3, num_costs)), rng.random(3), 0.1 + 0.3 * rng.random(3)
    corner, floor = np.full(num_costs, 0.9), 0.1
    found = hypervolume_improvement(
        costs,
        mean,
        deviation,
        front_costs=front_costs,
        front_values=front_values,
        floor=floor,
        corner=corner,
    )
    before = _volume(front_costs, front_values, floor, corner)
    draws = rng.standard_normal(1500)
    for row in range(3):
        gains = [
            _volume(
                np.vstack([front_costs, costs[row]]), np.append(front_values, value), floor, corner
            )
            - before
            for value in mean[row] + deviation[row] * draws
        ]
        error = np.std(gains) / np.sqrt(len(gains))
        assert found[row] == pytest.approx(np.mean(gains), abs=4 * error + 1e-5)


def test_without_costs_it_is_the_expected_improvement_over_the_best() -> None:
    found = hypervolume_improvement(
        np.zeros((1, 0)),
        np.array([0.5]),
        np.array([1e-9]),
        front_costs=np.zeros((2, 0)),
        front_values=np.array([0.2, 0.3]),
        floor=0.0,
        corner=np.zeros(0),
    )
    assert found == pytest.approx([0.2])


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(*[st.integers(0, 4)] * 3), min_size=1, max_size=12))
def test_no_member_of_the_front_is_beaten_and_every_other_point_is(
    points: list[tuple[int, int, int]],
) -> None:
    array = np.array(points, dtype=float)
    costs, values = array[:, :2], array[:, 2]
    members = set(front_members(costs, values).tolist())

    def beats(a: int, b: int) -> bool:
        return bool((costs[a] <= costs[b]).all() and values[a] >= values[b])

    for point in range(len(points)):
        if point in members:
            assert not any(beats(other, point) for other in members - {point})
        else:
            assert any(beats(other, point) for other in members)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(*[st.integers(0, 9)] * 3), min_size=401, max_size=420))
def test_gap_to_the_front_of_several_costs_is_that_to_the_best_that_costs_no_more(
    points: list[tuple[int, int, int]],
) -> None:
    array = np.array(points, dtype=float)
    costs, values = array[:, :2], array[:, 2]
    gap = [values[(costs <= cost).all(axis=1)].max() for cost in costs] - values
    rows = near_front(costs, values)
    assert rows is not None
    nearest = np.argsort(gap, kind="stable")[:266]
    assert set(nearest.tolist()) <= set(rows.tolist())
