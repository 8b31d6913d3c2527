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

import math

from scipy.stats import t as student

from archbench.analysis.pruning import Forecast, LearningCurve, seed_scatter
from archbench.search.pruning import Situation
from archbench.study.trial import RungVerdict

ASKS = True
HARDLY = 0.05  # the probability of reaching the front below which a trial is stopped
EXPLAINED = 0.5  # least share of the last accuracies' variance that the rungs so far explain


def judge(situation: Situation, *, hardly: float = HARDLY) -> RungVerdict:
    """Stops where reaching the front is less probable than ``hardly``."""
    forecast, explained = forecast_of(situation)
    bar = height(situation)
    probability = float(student.cdf((forecast.mean - bar) / forecast.scale, forecast.freedom))
    interval = float(student.ppf(0.975, forecast.freedom)) * forecast.scale
    reason = (
        f"would end at {100 * forecast.mean:.1f} % ± {100 * interval:.1f} by its curve, and "
        f"{100 * bar:.1f} % is reached at no greater cost: {100 * probability:.1f} % probable "
        "to reach the front"
    )
    if explained < EXPLAINED:
        reason += f"; goes on, as these rungs explain {100 * explained:.0f} % of where trials end"
    return RungVerdict(
        seed=situation.seed,
        epoch=situation.epoch,
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


def forecast_of(situation: Situation) -> tuple[Forecast, float]:
    """The mean over seeds that the trial would end with, and what its rungs so far explain."""
    trial, seed, last = situation.trial, situation.seed, situation.rungs[-1]
    courses = [*situation.others, trial]
    passed = [rung for rung in situation.rungs if rung <= situation.epoch]
    ended = [(c, s) for c in courses for s, epoch in c.curve if epoch == last]
    learnt = LearningCurve(
        [[course.curve[s, rung] for rung in passed] for course, s in ended],
        ends=[course.curve[s, last] for course, s in ended],
        num_rungs=len(passed),
    )
    mine = [trial.curve[seed, rung] for rung in passed]
    current = learnt.forecast(mine)
    if situation.epoch == last:
        current = Forecast(mean=mine[-1], scale=0.0, freedom=current.freedom)
    known, left = seed + 1, situation.num_seeds - seed - 1
    variance = (current.scale / known) ** 2
    if left:
        scatter = seed_scatter(
            [accuracy for (_, epoch), accuracy in course.curve.items() if epoch == last]
            for course in courses
        )
        variance += scatter**2 * left / (situation.num_seeds * known)
    mean = (sum(trial.curve[earlier, last] for earlier in range(seed)) + current.mean) / known
    return Forecast(mean, math.sqrt(variance), current.freedom), learnt.explained
