"""The front against brute force, against Optuna's, and in its properties."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archbench.analysis.front import Box, Direction, pareto_front

Point = tuple[float, ...]

# Few distinct values, so that equal points and ties in one objective are common.
NUMBERS = st.one_of(
    st.integers(-3, 3).map(float),
    st.floats(-1e6, 1e6, allow_nan=False, width=32),
    st.sampled_from([0.0, -0.0, 0.1, 0.30000000000000004, 0.3]),
)


@st.composite
def fronts(draw: st.DrawFn) -> tuple[list[Point], list[Direction]]:
    count = draw(st.integers(1, 4))
    points = draw(st.lists(st.tuples(*[NUMBERS] * count), max_size=25))
    directions = draw(st.lists(st.sampled_from(["min", "max"]), min_size=count, max_size=count))
    return points, directions


def dominates(one: Point, other: Point, directions: Sequence[Direction]) -> bool:
    """No worse in any objective and better in one, word by word."""
    pairs = list(zip(one, other, directions, strict=True))
    better = [a < b if way == "min" else a > b for a, b, way in pairs]
    worse = [a > b if way == "min" else a < b for a, b, way in pairs]
    return any(better) and not any(worse)


@given(fronts())
def test_front_is_that_of_brute_force(given: tuple[list[Point], list[Direction]]) -> None:
    points, directions = given
    by_hand = [
        index
        for index, point in enumerate(points)
        if not any(dominates(other, point, directions) for other in points)
    ]
    assert pareto_front(points, directions) == by_hand


@given(fronts())
@settings(max_examples=30)
def test_front_is_optunas(given: tuple[list[Point], list[Direction]]) -> None:
    points, directions = given
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    words = ["minimize" if way == "min" else "maximize" for way in directions]
    study = optuna.create_study(directions=words)
    study.add_trials([optuna.trial.create_trial(values=list(point)) for point in points])
    if len(directions) == 1:
        best = [min, max][directions[0] == "max"](points, default=None)
        numbers = [number for number, point in enumerate(points) if point == best]
    else:
        numbers = sorted(trial.number for trial in study.best_trials)
    assert pareto_front(points, directions) == numbers


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_points_that_cannot_be_compared_are_refused(number: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        pareto_front([(1.0, number)], ["max", "min"])


GRID = st.tuples(st.integers(0, 6), st.integers(0, 6))


@given(st.lists(GRID, max_size=8))
def test_hypervolume_counts_the_cells_of_a_grid(points: list[tuple[int, int]]) -> None:
    """Points on the edge, no better than the reference in one objective, add nothing."""
    cells = {
        cell
        for cell in itertools.product(range(6), range(6))
        for accuracy, cost in points
        if cell[0] < accuracy and cell[1] >= cost
    }
    box = _box(reference=(0.0, 6.0), ideal=(6.0, 0.0))
    assert box.share(points) == pytest.approx(len(cells) / 36)


@pytest.mark.parametrize(
    ("point", "reference", "share"),
    [((1.5, -1.0), (0.0, 1.0), 1.0), ((1.0, 0.0), (1.0, 1.0), 0.0)],
    ids=["beyond the ideal", "box without extent"],
)
def test_share_of_a_point_at_the_edge(point: Point, reference: Point, share: float) -> None:
    assert _box(reference=reference, ideal=(1.0, 0.0)).share([point]) == share


def _box(*, reference: Point, ideal: Point) -> Box:
    """Of an accuracy and a cost."""
    signs = np.array([-1.0, 1.0])
    return Box(signs=signs, reference=signs * reference, ideal=signs * ideal)
