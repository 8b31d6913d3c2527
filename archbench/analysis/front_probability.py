"""How sure is a front: who belongs on it, who keeps the limits, and how much does it cover?

Everything is counted over joint draws of what the truth may be: accuracies from the accuracy model,
where the noise between seeds is taken out, latencies from their intervals. An error that all
candidates share because they see the same validation images moves the front as a whole; it counts
for the hypervolume and for nothing else.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from archbench.analysis.accuracy_model import AccuracyModel, accuracy_model_of, is_trained
from archbench.analysis.front import Flags, FrontRule, nondominated, signs_of
from archbench.analysis.statistics import Estimate, Floats
from archbench.one_thread import one_thread
from archbench.study.objective import OBJECTIVES, objective_value
from archbench.study.runs import LEAST_LOW, NORMAL_95
from archbench.study.trial import TrialRecord, final_accuracies

DRAWS = 2000
"""Draws of the truth; a share of them has a standard error of .011 at most."""

SURE = 0.95
"""A candidate whose probability is at least this, or at most the rest to 1, is certain."""

LEAST_GAIN = 0.01
"""Entropy in nats, summed over all candidates, below which a training is not worth its time: less
than a probability of .95 that becomes .955."""

_PARTS = 5  # of a candidate's draws, by its accuracy
_FAR = 4.5  # standard deviations beyond which a candidate has no part in the draws
_EVERY = 2  # of the draws give a hypervolume: an interval needs fewer than a probability


@dataclass(frozen=True, kw_only=True)
class FrontProbabilities:
    """What is known of a study's candidates, and how surely.

    Mappings are by trial; one that is not there has no accuracy or latency to say anything from.
    """

    on_front: Mapping[int, float] = field(default_factory=dict)  # probability that none beats it
    meets: Mapping[int, Mapping[str, float]] = field(default_factory=dict)  # that it keeps a limit
    meets_limits: Mapping[int, float] = field(default_factory=dict)  # that it keeps all
    accuracy: Mapping[int, Estimate] = field(default_factory=dict)  # without the noise of seeds
    hypervolume: Estimate | None = None  # of the front as it stands, at its members' true values
    noise_sd: float | None = None  # standard deviation between the seeds of one candidate
    noise_degrees: int = 0  # trainings beyond the first of their candidate, which show it

    def uncertain(self) -> list[int]:
        """Trials whose place is uncertain, by number."""
        return sorted(n for n, chance in self.on_front.items() if 1 - SURE < chance < SURE)


class Truths(NamedTuple):
    """Draws of what the truth of some candidates may be."""

    among: Sequence[TrialRecord]
    values: Floats  # (draws, candidates, objectives), less being better
    keeps: Flags  # whether every limit is kept, (draws, candidates)


@one_thread()
def front_probabilities(
    trials: Sequence[TrialRecord], *, rule: FrontRule, draws: int = DRAWS
) -> FrontProbabilities:
    """How sure the place of each candidate of a study is; the same for the same trials."""
    meets = {r.number: chances for r in trials if (chances := limit_chances(r, rule=rule))}
    kept = {number: math.prod(chances.values()) for number, chances in meets.items()}
    among = contenders(trials, rule=rule)
    if not among:
        return FrontProbabilities(meets=meets, meets_limits=kept)
    model = accuracy_model_of(trials)
    moments = model.moments()
    near = near_front(among, rule=rule, moments=moments)
    found = truths(near, rule=rule, model=model, draws=draws)
    shares = _on_front(found).mean(axis=0).tolist()
    accuracy = {}
    for record in among:
        mean, sd = moments[record.number]
        low, high = mean - NORMAL_95 * sd, mean + NORMAL_95 * sd
        accuracy[record.number] = Estimate(value=mean, low=low, high=high)
    return FrontProbabilities(
        on_front=dict.fromkeys(accuracy, 0.0)
        | {record.number: share for record, share in zip(near, shares, strict=True)},
        meets=meets,
        meets_limits=kept,
        accuracy=accuracy,
        hypervolume=_hypervolume(found, trials, rule=rule),
        noise_sd=model.noise_sd,
        noise_degrees=model.noise_degrees,
    )


def contenders(trials: Sequence[TrialRecord], *, rule: FrontRule) -> list[TrialRecord]:
    """The complete trials with every objective known that beat chance, over a limit or not."""
    return [
        record
        for record in trials
        if is_trained(record)
        and all(objective_value(record, name) is not None for name in rule.objectives)
        and rule.beats_chance(record)
    ]


def truths(
    among: Sequence[TrialRecord], *, rule: FrontRule, model: AccuracyModel, draws: int = DRAWS
) -> Truths:
    """Joint draws of what these contenders are in truth, always the same."""
    rng = np.random.default_rng([0, 1])
    drawn = {"proxy_accuracy": model.draw(draws, of=[r.number for r in among], rng=rng)}
    for name in sorted({*rule.objectives, *rule.limits} - {"proxy_accuracy"}):
        drawn[name] = np.column_stack([cost_draws(r, name, draws=draws, rng=rng) for r in among])
    keeps = np.ones((draws, len(among)), dtype=np.bool_)
    for name, limit in rule.limits.items():
        keeps &= drawn[name] <= limit
    values = np.stack([drawn[name] for name in rule.objectives], axis=2)
    return Truths(among, signs_of(rule.objectives.values()) * values, keeps)


def cost_draws(record: TrialRecord, name: str, *, draws: int, rng: np.random.Generator) -> Floats:
    """Draws of a trial's cost: of a latency by its interval, else the exact number, (draws,)."""
    value = objective_value(record, name)
    if value is None:
        return np.full(draws, np.inf)  # not known, so that it keeps no limit
    low, high = _interval(record, name, value=value)
    normal = rng.standard_normal(draws)
    wide = np.where(normal < 0, math.log(value / low), math.log(high / value)) / NORMAL_95
    return np.asarray(value * np.exp(wide * normal), dtype=np.float64)


def limit_chances(record: TrialRecord, *, rule: FrontRule) -> dict[str, float]:
    """Limit to the probability that a trial keeps it, where its cost is known."""
    found = {}
    for name, limit in rule.limits.items():
        value = objective_value(record, name)
        if value is None:
            continue
        low, high = _interval(record, name, value=value)
        found[name] = float(value <= limit)
        side = math.log(high / value) if limit > value else math.log(value / low)
        if side > 0:
            deviations = NORMAL_95 * math.log(limit / value) / side
            found[name] = 0.5 * math.erfc(-deviations / math.sqrt(2))
    return found


def _interval(record: TrialRecord, name: str, *, value: float) -> tuple[float, float]:
    """The 95 % interval of a cost; the value itself where it is exact."""
    low, high = OBJECTIVES[name].interval(record) or (value, value)
    return max(min(low, value), LEAST_LOW * value), max(high, value)


def near_front(
    among: Sequence[TrialRecord], *, rule: FrontRule, moments: Mapping[int, tuple[float, float]]
) -> list[TrialRecord]:
    """Those not beaten at their best by another at its worst: thousands of others need no draw."""
    signs, far = signs_of(rule.objectives.values())[:, None], _FAR / NORMAL_95

    def corners(record: TrialRecord, name: str) -> tuple[float, float]:
        if name == "proxy_accuracy":
            mean, sd = moments[record.number]
            return mean - _FAR * sd, mean + _FAR * sd
        value = objective_value(record, name) or 0.0
        low, high = _interval(record, name, value=value)
        return value * (low / value) ** far, value * (high / value) ** far

    ends = signs * np.array([[corners(r, name) for name in rule.objectives] for r in among])
    best, worst = ends.min(axis=2), ends.max(axis=2)
    sure = [min(limit_chances(r, rule=rule).values(), default=1.0) >= 1 - 1e-6 for r in among]
    bars = worst[np.array(sure)]
    beaten = np.zeros(len(among), dtype=np.bool_)
    for bar in bars[nondominated(bars)]:
        beaten |= (bar < best).all(axis=1)
    return [record for record, out in zip(among, beaten, strict=True) if not out]


def _on_front(found: Truths) -> Flags:
    """Whether a candidate keeps the limits and no other one beats it, (draws, candidates)."""
    flags = np.zeros(found.keeps.shape, dtype=np.bool_)
    for draw, (values, keeps) in enumerate(zip(found.values, found.keeps, strict=True)):
        flags[draw, np.flatnonzero(keeps)[nondominated(values[keeps])]] = True
    return flags


def _hypervolume(
    found: Truths, trials: Sequence[TrialRecord], *, rule: FrontRule
) -> Estimate | None:
    """Of the members as they stand, at draws of their true values and of the validation images."""
    members = {record.number for record in rule.front(trials)}
    places = [place for place, record in enumerate(found.among) if record.number in members]
    box = rule.box(trials)
    if box is None or not places:
        return None
    values = found.values[::_EVERY, places].copy()
    shared = np.random.default_rng([0, 2]).standard_normal((len(values), 1))
    for index, name in enumerate(rule.objectives):
        if name == "proxy_accuracy":
            shares = np.clip(-values[:, :, index], 0, 1)
            error = np.sqrt(shares * (1 - shares) / rule.num_validation)
            values[:, :, index] = -np.clip(shares + shared * error, 0, 1)
    covered = [
        box.share_of_rows(drawn[keeps])
        for drawn, keeps in zip(values, found.keeps[::_EVERY, places], strict=True)
    ]
    return Estimate.of_draws(covered)


@one_thread()
def expected_gains(trials: Sequence[TrialRecord], *, rule: FrontRule) -> dict[int, float]:
    """Candidate to how much entropy one more training of it is expected to take away, in nats.

    The entropy is that of who is on the front, summed over the candidates. How much of it would go
    if the candidate's true accuracy were known is read from the draws; a training shows 1 / (n + 1)
    of the variance that n trainings have left.
    """
    among = contenders(trials, rule=rule)
    if not among or "proxy_accuracy" not in rule.objectives:
        return {}
    model = accuracy_model_of(trials)
    near = near_front(among, rule=rule, moments=model.moments())
    found = truths(near, rule=rule, model=model)
    flags = _on_front(found).astype(np.float64)
    accuracies = found.values[:, :, list(rule.objectives).index("proxy_accuracy")]
    before = _entropy(flags)
    gains = {}
    for place, record in enumerate(near):
        parts = np.array_split(np.argsort(accuracies[:, place], kind="stable"), _PARTS)
        after = float(np.mean([_entropy(flags[rows]) for rows in parts]))
        gains[record.number] = max(0.0, before - after) / (len(final_accuracies(record)) + 1)
    return gains


def next_training(
    gains: dict[int, float], *, seconds: dict[int, float], left: float, busy: Collection[int]
) -> int | None:
    """The candidate that gains most in its time; None where none is worth it or fits.

    Busy are the candidates that are being trained, and so many seconds are left to be spent.
    """
    worth = [
        number
        for number, gain in gains.items()
        if number not in busy and gain >= LEAST_GAIN and seconds[number] <= left
    ]
    return max(worth, key=lambda number: (gains[number] / seconds[number], -number), default=None)


def _entropy(flags: Floats) -> float:
    """Summed over the columns; few rows give too little, by half a row each (Miller 1955)."""
    chances = flags.mean(axis=0)
    inside = chances[(chances > 0) & (chances < 1)]
    bare = -(inside * np.log(inside) + (1 - inside) * np.log(1 - inside)).sum()
    return float(bare + len(inside) / (2 * len(flags)))
