"""What is known to matter is found, what does not is not separable, and bounds are told."""

import random
import tracemalloc
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from archbench.analysis import importance
from archbench.analysis.front import FrontRule
from archbench.analysis.importance import Insight, insight
from archbench.study.trial import TrialRecord
from tests.study import example

AXES = {
    "dim": [16, 32, 48],
    "kind": ["levit", "cvt"],
    "position": ["bias", "none"],
    "depth": [1, 2],
}
RULE = FrontRule(
    objectives={"proxy_accuracy": "max", "macs": "min"}, limits={}, chance=0.1, num_validation=1000
)


def _trials(
    gain: Callable[[Mapping[str, Any]], float],
    *,
    num: int = 120,
    noise: float = 0.02,
    seed: int = 0,
) -> list[TrialRecord]:
    rng = random.Random(seed)
    found = []
    for number in range(num):
        choices = {axis: rng.choice(values) for axis, values in AXES.items()}
        macs = int(1000 * choices["dim"] * choices["depth"] * rng.uniform(0.9, 1.1))
        accuracy = 0.3 + 0.06 * np.log(macs / 16_000) + gain(choices) + rng.gauss(0, noise)
        record = example.trial(number, accuracy=float(accuracy))
        found.append(replace(record, choices=choices, macs=macs))
    return found


def _found(trials: list[TrialRecord]) -> Insight:
    return insight(trials, RULE.front(trials), rule=RULE, axes=AXES)


def test_factor_that_matters_at_equal_cost_is_found_with_its_effect() -> None:
    found = _found(_trials(lambda choices: 0.1 * (choices["kind"] == "cvt")))
    first, *others = found.accuracy
    assert (first.axis, first.is_separable) == ("kind", True)
    assert first.share.low > 0.5
    apart = first.effects["cvt"].value - first.effects["levit"].value
    assert abs(apart - 0.1) < 0.02
    assert not any(factor.is_separable for factor in others)


def test_size_matters_for_the_cost() -> None:
    found = _found(_trials(lambda choices: 0.0))
    assert {factor.axis for factor in found.costs if factor.is_separable} == {"dim", "depth"}


def test_what_does_not_matter_is_separable_no_more_often_than_chance_says() -> None:
    """One of 20 is promised; of 30, four or more have a chance of 6 %."""
    found = [_found(_trials(lambda choices: 0.0, num=40, seed=seed)) for seed in range(30)]
    assert sum(any(factor.is_separable for factor in one.accuracy) for one in found) <= 4
    assert sum(any(pair.is_separable for pair in one.pairs) for one in found) <= 4


def test_pair_that_works_together_is_found() -> None:
    found = _found(
        _trials(
            lambda choices: 0.08 * ((choices["kind"] == "cvt") == (choices["position"] == "none"))
        )
    )
    first, second = found.pairs[:2]
    assert set(first.axes) == {"kind", "position"}
    assert first.is_separable
    assert not second.is_separable


def test_end_where_the_front_lies_and_value_that_never_helps_are_told() -> None:
    found = _found(_trials(lambda choices: 0.2 * (choices["dim"] == 48) - (choices["dim"] == 16)))
    assert [(bound.axis, bound.value, bound.end) for bound in found.bounds] == [
        ("dim", 48, "largest")
    ]
    assert {one.value for one in found.useless if one.axis == "dim"} >= {16}


def test_groups_of_many_trials_give_the_intervals_that_single_trials_give(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Either comes from 300 draws, which tell the width of an interval to about a tenth."""
    trials = _trials(lambda choices: 0.1 * (choices["kind"] == "cvt"), num=2400)
    grouped = _found(trials)
    monkeypatch.setattr(importance, "_UNITS", len(trials))
    single = {factor.axis: factor for factor in _found(trials).accuracy}
    ratios = []
    for factor in grouped.accuracy:
        other = single[factor.axis]
        assert abs(factor.share.value - other.share.value) < 1e-12
        assert factor.is_separable == other.is_separable
        for value, effect in factor.effects.items():
            alone = other.effects[value]
            ratios.append((effect.high - effect.low) / (alone.high - alone.low))
    assert min(ratios) > 0.7
    assert max(ratios) < 1.4
    assert 0.85 < float(np.median(ratios)) < 1.15


def test_draw_costs_no_more_for_more_trials() -> None:
    """Only sums over groups are drawn from, so that no array of all trials and draws is made."""
    trials = [_trials(lambda choices: 0.0, num=num) for num in (2000, 8000)]
    peaks = []
    for some in trials:
        tracemalloc.start()
        _found(some)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    permuted = 6000 * 301 * 8  # bytes of what pairs are held against, which are stacked once
    assert peaks[1] - peaks[0] < 2.5 * permuted


def test_few_trials_say_nothing() -> None:
    found = _found(_trials(lambda choices: 0.1, num=15))
    assert (found.num_trials, found.is_told, found.accuracy) == (15, False, ())
