"""Stops a trial when its curve can hardly reach the front at its cost any more.

The last accuracy is forecast from the rungs so far by a regression over the study's trainings that
went to the end (``archbench.analysis.pruning``), further seeds by the scatter between seeds.
It is held against the best accuracy that a trial of no greater cost has reached: one that stays
below it is on no front, whatever comes later. How many candidates are lost so is set by the bound
below and measured by the audit; benchmarks/pruning has what it saved and lost on real curves.

Where the rungs so far explain less than half of what the last accuracies differ by, nothing is
stopped: the forecast is then hardly more than what other candidates reached, and a sampler
proposes a candidate because it should be better than they are.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from scipy.stats import t as student

from archbench.analysis.pruning import Forecast, LearningCurve, seed_scatter
from archbench.search.pruning import Course, Opinion, Situation

ASKS = True
HARDLY = 0.05  # the probability of reaching the front below which a trial is stopped
EXPLAINED = 0.5  # least share of the last accuracies' variance that the rungs so far explain


def judge(situation: Situation) -> Opinion:
    """Stops where reaching the front is improbable.

    Args:
        situation: The trial at its rung and what is known of all others.
    """
    return judge_with(situation, hardly=HARDLY)


def judge_with(situation: Situation, *, hardly: float) -> Opinion:
    """Like ``judge``, with another bound on the probability."""
    forecast = forecast_of(situation)
    bar = height(situation)
    excess = (forecast.mean - bar) / forecast.scale
    probability = float(student.cdf(excess, forecast.freedom))
    explained = _curve(situation).explained
    interval = float(student.ppf(0.975, forecast.freedom)) * forecast.scale
    reason = (
        f"would end at {100 * forecast.mean:.1f} % ± {100 * interval:.1f} by its curve, and "
        f"{100 * bar:.1f} % is reached at no greater cost: {100 * probability:.1f} % probable "
        "to reach the front"
    )
    if explained < EXPLAINED:
        reason += f"; goes on, as these rungs explain {100 * explained:.0f} % of where trials end"
    return Opinion(
        stops=probability < hardly and explained >= EXPLAINED,
        probability=probability,
        reason=reason,
    )


def height(situation: Situation) -> float:
    """The accuracy to exceed: the best at no greater cost, at least what beats chance."""
    reached = [
        other.accuracy
        for other in situation.others
        if other.accuracy is not None
        and all(a <= b for a, b in zip(other.costs, situation.trial.costs, strict=True))
    ]
    return max(reached, default=situation.bar)


def forecast_of(situation: Situation) -> Forecast:
    """The mean over seeds that the trial would end with."""
    trial, seed = situation.trial, situation.seed
    last = situation.rungs[-1]
    done = [trial.curve[earlier, last] for earlier in range(seed)]
    current = _this_training(situation)
    known = seed + 1
    left = situation.num_seeds - known
    variance = (current.scale / known) ** 2
    if left:
        scatter = seed_scatter(
            [accuracy for (_, epoch), accuracy in course.curve.items() if epoch == last]
            for course in (*situation.others, trial)
        )
        variance += scatter**2 * left / (situation.num_seeds * known)
    return Forecast(
        mean=(sum(done) + current.mean) / known, scale=math.sqrt(variance), freedom=current.freedom
    )


def _this_training(situation: Situation) -> Forecast:
    mine = [situation.trial.curve[situation.seed, rung] for rung in _passed(situation)]
    forecast = _curve(situation).forecast(mine)
    if situation.epoch < situation.rungs[-1]:
        return forecast
    return Forecast(mean=mine[-1], scale=0.0, freedom=forecast.freedom)


def _curve(situation: Situation) -> LearningCurve:
    rungs = _passed(situation)
    last = situation.rungs[-1]
    rows, ends = _whole_trainings([*situation.others, situation.trial], rungs=rungs, last=last)
    return LearningCurve.fit(rows, ends=ends, num_rungs=len(rungs))


def _passed(situation: Situation) -> list[int]:
    return [rung for rung in situation.rungs if rung <= situation.epoch]


def _whole_trainings(
    courses: Iterable[Course], *, rungs: Sequence[int], last: int
) -> tuple[list[list[float]], list[float]]:
    rows, ends = [], []
    for course in courses:
        for (seed, epoch), accuracy in course.curve.items():
            if epoch == last:
                rows.append([course.curve[seed, rung] for rung in rungs])
                ends.append(accuracy)
    return rows, ends
