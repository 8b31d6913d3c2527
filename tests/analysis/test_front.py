"""The front against brute force and Optuna's, in its properties, and on another device."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import hypergeom

from archbench.analysis.front import Box, Direction, chance_bar, pareto_front, transfer
from archbench.analysis.statistics import kendall_tau_of
from archbench.study.trial import TrialRecord
from tests.study import example

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


SEARCHED = replace(example.RULE, limits={"latency_ms": 2.0})


@pytest.mark.parametrize("chance", [0.001, 0.1, 1 / 3, 0.5, 0.75, 0.95, 0.999, 1.0])
@pytest.mark.parametrize("num_validation", [1, 2, 20, 142, 1536, 50_000])
def test_every_data_set_can_be_beaten(chance: float, num_validation: int) -> None:
    bar = chance_bar(chance, num_validation=num_validation)
    assert 1 - 1 / num_validation < bar < 1 or chance <= bar <= 1 - 1 / num_validation


@pytest.mark.parametrize("chance", [0.001, 0.1, 0.1071, 1 / 3, 0.4999])
def test_below_half_the_bar_is_three_binomial_standard_errors_up(chance: float) -> None:
    expected = chance + 3 * math.sqrt(chance * (1 - chance) / 1536)
    assert chance_bar(chance, num_validation=1536) == expected
    at_half = [chance_bar(share, num_validation=1536) for share in (0.5 - 1e-9, 0.5)]
    assert at_half[0] == pytest.approx(at_half[1])


@pytest.mark.parametrize(("rare", "num"), [(7, 142), (50, 142), (20, 1000), (250, 1000), (71, 142)])
def test_of_two_classes_luck_passes_the_bar_once_in_hundreds_of_times(rare: int, num: int) -> None:
    """The best of all guesses: so many images, drawn blindly, are named the rarer class."""
    bar = chance_bar(max(1 - rare / num, rare / num), num_validation=num)

    def passes(named: int) -> float:
        # right: the common ones that are not named, and the rare ones that are
        least = math.floor((bar * num - (num - rare - named)) / 2)  # of the rare ones, to be over
        return float(hypergeom.sf(least, num, rare, named))

    likeliest = max(map(passes, range(num + 1)))
    assert 1e-6 < likeliest < 0.0035  # three standard errors: 0.00135


def _trial(number: int, accuracy: float, latency_ms: float | None) -> TrialRecord:
    latency = example.latency(latency_ms, verdict="stable" if latency_ms else "incomplete")
    return example.trial(number, accuracy=accuracy, latency=latency)


HERE = [_trial(0, 0.5, 1.0), _trial(1, 0.7, 1.5), _trial(2, 0.6, 1.8)]


def _moved_to(
    latencies: Sequence[float | None], *, trials: Sequence[int] = (0, 1, 2)
) -> dict[str, Any]:
    here = [HERE[number] for number in trials]
    there = [
        _trial(record.number, record.proxy_accuracy or 0.0, latency)
        for record, latency in zip(here, latencies, strict=True)
    ]
    return transfer(SEARCHED, here=here, there=there, members=[0, 1])


def test_twice_as_slow_keeps_the_front_and_loses_nothing() -> None:
    found = _moved_to([2.0, 3.0, 3.6])
    assert found == {
        "front": [0, 1],
        "kept": [0, 1],
        "left": [],
        "joined": [],
        "kendall_tau": 1.0,
        "compared": 3,
        "lost": pytest.approx(0.0),
    }


def test_members_leave_others_join_and_the_hypervolume_of_members_falls() -> None:
    found = _moved_to([2.0, 4.0, 1.0])
    assert found["front"] == [2, 1]
    assert (found["kept"], found["left"], found["joined"]) == ([1], [0], [2])
    assert found["kendall_tau"] == pytest.approx(-1 / 3)
    # In a box of 4 ms x 0.9: all cover 3 x 0.5, members 2 x 0.4; the slowest stands at the edge.
    assert found["lost"] == pytest.approx(1 - (2 * 0.4) / (3 * 0.5))


def test_members_alone_do_not_say_what_was_lost() -> None:
    assert _moved_to([2.0, 3.0], trials=[0, 1])["lost"] is None


def test_a_network_that_does_not_run_there_leaves() -> None:
    found = _moved_to([2.0, None, 3.0])
    assert found["left"] == [1]
    assert found["compared"] == 2


def test_a_limit_of_the_search_does_not_hold_elsewhere() -> None:
    assert _moved_to([2.5, 3.0, 3.6])["kept"] == [0, 1]


def test_fewer_than_two_or_all_alike_have_no_order() -> None:
    assert kendall_tau_of([]) is None
    assert kendall_tau_of([(1.0, 2.0)]) is None
    assert kendall_tau_of([(1.0, 2.0), (1.0, 3.0)]) is None
