"""The front against brute force, against Optuna's, and in its properties."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archbench.analysis.front import Direction, hypervolume, normalised_hypervolume, pareto_front

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


@pytest.mark.parametrize(
    ("points", "directions", "message"),
    [
        ([(1.0, float("nan"))], ["max", "min"], "finite"),
        ([(1.0, float("inf"))], ["max", "min"], "finite"),
        ([(1.0,)], ["max", "min"], "needs 2 numbers"),
        ([(1.0, 2.0)], ["max", "maximize"], "min or max"),
        ([], [], "min or max"),
    ],
)
def test_points_that_cannot_be_compared_are_refused(
    points: list[Point], directions: list[Direction], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        pareto_front(points, directions)


def test_point_outside_the_reference_adds_nothing() -> None:
    inside, outside = (0.5, 1.0), (0.9, 5.0)
    reference = (0.1, 4.0)
    both = hypervolume([inside, outside], directions=["max", "min"], reference=reference)
    assert both == hypervolume([inside], directions=["max", "min"], reference=reference)
    assert hypervolume([outside], directions=["max", "min"], reference=reference) == 0.0


GRID = st.tuples(st.integers(0, 6), st.integers(0, 6))


@given(st.lists(GRID, max_size=8))
def test_hypervolume_counts_the_cells_of_a_grid(points: list[tuple[int, int]]) -> None:
    cells = {
        cell
        for cell in itertools.product(range(6), range(6))
        for accuracy, cost in points
        if cell[0] < accuracy and cell[1] >= cost
    }
    floats = [(float(a), float(c)) for a, c in points]
    volume = hypervolume(floats, directions=["max", "min"], reference=(0.0, 6.0))
    assert volume == pytest.approx(len(cells))
    share = normalised_hypervolume(
        floats, directions=["max", "min"], reference=(0.0, 6.0), ideal=(6.0, 0.0)
    )
    assert share == pytest.approx(len(cells) / 36)


@given(fronts())
def test_only_the_front_has_volume(given: tuple[list[Point], list[Direction]]) -> None:
    points, directions = given
    corner = [2e6 if way == "min" else -2e6 for way in directions]
    front = [points[index] for index in pareto_front(points, directions)]
    every = hypervolume(points, directions=directions, reference=corner)
    assert hypervolume(front, directions=directions, reference=corner) == pytest.approx(every)


@pytest.mark.parametrize(
    ("point", "reference", "share"),
    [((1.5, -1.0), (0.0, 1.0), 1.0), ((1.0, 0.0), (1.0, 1.0), 0.0)],
    ids=["beyond the ideal", "box without extent"],
)
def test_share_of_a_point_at_the_edge(point: Point, reference: Point, share: float) -> None:
    box = {"directions": ["max", "min"], "reference": reference, "ideal": (1.0, 0.0)}
    assert normalised_hypervolume([point], **box) == share


def test_ideal_worse_than_the_reference_is_refused() -> None:
    with pytest.raises(ValueError, match="worse than the reference"):
        normalised_hypervolume([], directions=["min"], reference=(0.0,), ideal=(1.0,))
