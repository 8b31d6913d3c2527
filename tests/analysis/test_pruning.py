"""What is said of stopping early agrees with what is known of the trials that were stopped."""

import math
import random
from collections.abc import Sequence

import numpy as np
import pytest

from archbench.analysis.front import FrontRule
from archbench.analysis.pruning import LearningCurve, pruning_report, seed_scatter
from archbench.study.trial import RungVerdict, TrialRecord
from tests.study import example

_RUNGS = (4, 8)
_RULE = FrontRule(
    objectives={"proxy_accuracy": "max", "macs": "min"},
    limits={"macs": 100},
    chance=0.1,
    num_validation=1000,
)


def _trial(
    number: int, *, macs: int, accuracies: Sequence[float], verdict: RungVerdict | None = None
) -> TrialRecord:
    whole = len(accuracies) == len(_RUNGS)
    return example.trial(
        number,
        state="complete" if whole else "pruned",
        macs=macs,
        curve=tuple(map(example.point, _RUNGS, accuracies)),
        proxy_accuracy=accuracies[-1] if whole else None,
        verdicts=(verdict,) if verdict else (),
    )


_STOP = RungVerdict(seed=0, epoch=4, stops=True)
_AUDIT = RungVerdict(seed=0, epoch=4, stops=True, is_audited=True)


def _study(*, stopped_at: float) -> list[TrialRecord]:
    rng = random.Random(0)
    ended = [
        _trial(n, macs=10 + n, accuracies=(half := rng.uniform(0.4, 0.6), half + 0.1))
        for n in range(40)
    ]
    stopped = [_trial(40 + n, macs=60, accuracies=(stopped_at,), verdict=_STOP) for n in range(10)]
    audited = [_trial(50, macs=60, accuracies=(0.3, 0.4), verdict=_AUDIT)]
    return [*ended, *stopped, *audited]


def _report(trials: list[TrialRecord]):  # type: ignore[no-untyped-def]
    return pruning_report(trials, rule=_RULE, rungs=_RUNGS, num_seeds=1)


def test_epochs_and_trials_are_counted() -> None:
    report = _report(_study(stopped_at=0.3))
    assert (report.stopped, report.audited, report.reached) == (10, 1, 0)
    assert (report.epochs, report.saved) == (41 * 8 + 10 * 4, 40)
    assert report.saved_share == pytest.approx(40 / (41 * 8 + 80))
    assert report.reached_share.value == 0.0
    assert report.reached_share.high == pytest.approx(0.793, abs=0.001)


def test_hopeless_trials_lost_nothing_and_promising_ones_much() -> None:
    hopeless, promising = _report(_study(stopped_at=0.3)).lost, _report(_study(stopped_at=0.8)).lost
    assert hopeless.value == pytest.approx(0.0, abs=1e-3)
    # 0.9 at 60 where 0.7 was the best: 0.2 x 40 more than the front's volume of some 0.6 x 88
    assert promising.value == pytest.approx(0.13, abs=0.03)
    assert promising.low < promising.value < promising.high


def test_nothing_is_said_where_nothing_was_stopped() -> None:
    trials = [_trial(n, macs=10 + n, accuracies=(0.5, 0.6)) for n in range(5)]
    assert _report(trials) is None


def test_a_report_is_told_in_words() -> None:
    words = _report(_study(stopped_at=0.3)).in_words()
    assert words.startswith("Stopping early saved 10 % of the epochs: 10 trials were stopped. ")
    assert (
        "1 more should have been and was trained to the end as an audit: none of them is" in words
    )
    assert words.endswith("about 0.0 % (95 % interval 0.0 to 0.0).")


def test_the_forecast_without_any_training_is_wide_around_the_last_rung() -> None:
    forecast = LearningCurve([], ends=[], num_rungs=2).forecast([0.3, 0.5])
    assert forecast.mean == 0.5
    assert forecast.scale > 0.25


def test_the_forecast_approaches_what_the_trainings_did() -> None:
    generator = np.random.default_rng(0)
    rows = generator.uniform(0.2, 0.6, size=(400, 1))
    ends = 0.2 + 0.8 * rows[:, 0] + generator.normal(scale=0.02, size=400)
    curve = LearningCurve(rows.tolist(), ends=ends.tolist(), num_rungs=1)
    forecast = curve.forecast([0.5])
    assert forecast.mean == pytest.approx(0.6, abs=0.005)
    assert forecast.scale == pytest.approx(0.02, abs=0.003)
    drawn = np.concatenate([curve.draw([[0.5]], generator=generator) for _ in range(2000)])
    assert drawn.mean() == pytest.approx(forecast.mean, abs=0.002)
    assert drawn.std() == pytest.approx(forecast.scale, rel=0.1)


def test_forecasts_hold_as_often_as_they_say() -> None:
    generator = np.random.default_rng(1)
    held = []
    for _ in range(300):
        rows = generator.uniform(0.2, 0.6, size=(12, 1))
        ends = 0.1 + rows[:, 0] + generator.normal(scale=0.04, size=12)
        curve = LearningCurve(rows[:-1].tolist(), ends=ends[:-1].tolist(), num_rungs=1)
        forecast = curve.forecast(rows[-1].tolist())
        held.append(abs(forecast.mean - ends[-1]) < 2.13 * forecast.scale)
    assert 0.91 < np.mean(held) < 0.99


def test_the_scatter_between_seeds_is_pooled_with_a_guess() -> None:
    assert seed_scatter([[0.5], []]) == pytest.approx(0.03)
    pairs = [[0.5, 0.5 + 0.1 * math.sqrt(2)]] * 1000
    assert seed_scatter(pairs) == pytest.approx(0.1, rel=0.01)
