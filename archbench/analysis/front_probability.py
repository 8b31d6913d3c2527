"""How sure is a front: who belongs on it, who keeps the limits, and how much does it cover?

Everything is counted over joint draws of what the truth may be: accuracies from ``belief``, where
the luck of the best is taken out, latencies from their intervals. An error that all candidates
share because they see the same validation images moves the front as a whole; it counts for the
hypervolume and for nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from archbench.analysis.accuracy_model import AccuracyModel, Array, accuracy_model_of, is_trained
from archbench.analysis.front import Flags, FrontRule, nondominated
from archbench.analysis.statistics import NORMAL_95, Estimate
from archbench.study.objective import OBJECTIVES, objective_value
from archbench.study.trial import TrialRecord, final_accuracies

DRAWS = 2000
"""Draws of the truth; a share of them has a standard error of .011 at most."""

SURE = 0.95
"""A candidate whose probability is at least this, or at most the rest to 1, is settled."""

_FAR = 4.5  # standard deviations beyond which a candidate has no part in the draws
_EVERY = 2  # of the draws give a hypervolume: an interval needs fewer than a probability
_LEAST_SHARE = 1e-3  # of a latency: an interval that begins at zero has no logarithm


@dataclass(frozen=True, kw_only=True)
class FrontProbabilities:
    """What is known of a study's candidates, and how surely.

    A trial that is not in a mapping has no accuracy or latency to say anything from.

    Attributes:
        on_front: Trial to the probability that no candidate of the study beats it in truth.
        meets: Trial to limit to the probability that it is kept.
        meets_limits: Trial to the probability that all are kept.
        accuracy: Trial to its accuracy with the luck taken out.
        hypervolume: Of the front as it stands, at the true values of its members; None without.
        noise_sd: Standard deviation between the seeds of one candidate, as believed.
        noise_degrees: Trainings beyond the first of their candidate, from which that is known.
    """

    on_front: Mapping[int, float] = field(default_factory=dict)
    meets: Mapping[int, Mapping[str, float]] = field(default_factory=dict)
    meets_limits: Mapping[int, float] = field(default_factory=dict)
    accuracy: Mapping[int, Estimate] = field(default_factory=dict)
    hypervolume: Estimate | None = None
    noise_sd: float | None = None
    noise_degrees: int = 0

    def in_doubt(self, *, sure: float = SURE) -> list[int]:
        """Trials whose place is not settled, by number."""
        return sorted(n for n, chance in self.on_front.items() if 1 - sure < chance < sure)


@dataclass(frozen=True, kw_only=True)
class Truths:
    """Draws of what the truth of some candidates may be.

    Attributes:
        numbers: Their trials.
        values: (draws, candidates, objectives), less being better.
        keeps: Whether every limit is kept, (draws, candidates).
    """

    numbers: tuple[int, ...]
    values: Array
    keeps: Flags


def front_probabilities(
    trials: Sequence[TrialRecord], *, rule: FrontRule, draws: int = DRAWS, seed: int = 0
) -> FrontProbabilities:
    """How sure each candidate's place is; the same for the same trials.

    Args:
        trials: Of one study.
        rule: What may stand on its front.
        draws: Of the truth.
        seed: Of the draws.
    """
    meets = {r.number: chances for r in trials if (chances := limit_chances(r, rule=rule))}
    kept = {number: math.prod(chances.values()) for number, chances in meets.items()}
    among = contenders(trials, rule=rule)
    if not among:
        return FrontProbabilities(meets=meets, meets_limits=kept)
    model = accuracy_model_of(trials, rng=np.random.default_rng(seed))
    moments = model.moments()
    near = near_front(among, rule=rule, moments=moments)
    found = truths(near, rule=rule, model=model, draws=draws, seed=seed)
    shares = dict(zip(found.numbers, map(float, on_front(found).mean(axis=0)), strict=True))
    return FrontProbabilities(
        on_front={record.number: shares.get(record.number, 0.0) for record in among},
        meets=meets,
        meets_limits=kept,
        accuracy={record.number: _estimate(*moments[record.number]) for record in among},
        hypervolume=_hypervolume(found, trials, rule=rule, seed=seed),
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
    among: Sequence[TrialRecord], *, rule: FrontRule, model: AccuracyModel, draws: int, seed: int
) -> Truths:
    """Joint draws of what these contenders are in truth; the same for the same seed."""
    rng = np.random.default_rng([seed, 1])
    numbers = tuple(record.number for record in among)
    drawn = {"proxy_accuracy": model.draw(draws, of=numbers, rng=rng)}
    for name in sorted({*rule.objectives, *rule.limits} - {"proxy_accuracy"}):
        drawn[name] = np.column_stack(
            [cost_draws(record, name, draws=draws, rng=rng) for record in among]
        )
    signs = [-1.0 if way == "max" else 1.0 for way in rule.objectives.values()]
    values = [sign * drawn[name] for name, sign in zip(rule.objectives, signs, strict=True)]
    keeps = np.ones((draws, len(among)), dtype=np.bool_)
    for name, limit in rule.limits.items():
        keeps &= drawn[name] <= limit
    return Truths(numbers=numbers, values=np.stack(values, axis=2), keeps=keeps)


def cost_draws(record: TrialRecord, name: str, *, draws: int, rng: np.random.Generator) -> Array:
    """Draws of a trial's cost: of a latency by its interval, else the exact number, (draws,).

    A cost that is not known is infinite: it keeps no limit.
    """
    value = objective_value(record, name)
    if value is None:
        return np.full(draws, np.inf)
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
        found[name] = _chance_below(limit, value=value, low=low, high=high)
    return found


def _chance_below(limit: float, *, value: float, low: float, high: float) -> float:
    side = math.log(high / value) if limit > value else math.log(value / low)
    if side <= 0:
        return 1.0 if value <= limit else 0.0
    deviations = NORMAL_95 * math.log(limit / value) / side
    return 0.5 * math.erfc(-deviations / math.sqrt(2))


def _interval(record: TrialRecord, name: str, *, value: float) -> tuple[float, float]:
    """The 95 % interval of a cost; the value itself where it is exact."""
    low, high = OBJECTIVES[name].interval(record) or (value, value)
    return max(min(low, value), _LEAST_SHARE * value), max(high, value)


def near_front(
    among: Sequence[TrialRecord],
    *,
    rule: FrontRule,
    moments: Mapping[int, tuple[float, float]],
) -> list[TrialRecord]:
    """Those that can be on the front in some draw: thousands of others need none.

    Left out is who is beaten at its best by another at its worst.
    """
    best, worst, safe = [], [], []
    for record in among:
        corners = [_corners(record, name, moments=moments) for name in rule.objectives]
        signs = [-1.0 if way == "max" else 1.0 for way in rule.objectives.values()]
        ends = [sorted(sign * end for end in c) for c, sign in zip(corners, signs, strict=True)]
        best.append([end[0] for end in ends])
        worst.append([end[1] for end in ends])
        safe.append(all(chance >= 1 - 1e-6 for chance in limit_chances(record, rule=rule).values()))
    bests, worsts = np.array(best), np.array(worst)[np.array(safe)]
    bars = worsts[nondominated(worsts)]
    beaten = np.zeros(len(among), dtype=np.bool_)
    for bar in bars:
        beaten |= (bar < bests).all(axis=1)
    return [record for record, out in zip(among, beaten, strict=True) if not out]


def _corners(
    record: TrialRecord, name: str, *, moments: Mapping[int, tuple[float, float]]
) -> tuple[float, float]:
    if name == "proxy_accuracy":
        mean, sd = moments[record.number]
        return mean - _FAR * sd, mean + _FAR * sd
    value = objective_value(record, name) or 0.0
    low, high = _interval(record, name, value=value)
    if low == high:
        return value, value
    far = _FAR / NORMAL_95
    return value * (low / value) ** far, value * (high / value) ** far


def on_front(found: Truths) -> Flags:
    """Whether a candidate keeps the limits and no other one beats it, (draws, candidates)."""
    flags = np.zeros(found.keeps.shape, dtype=np.bool_)
    for draw, (values, keeps) in enumerate(zip(found.values, found.keeps, strict=True)):
        flags[draw, np.flatnonzero(keeps)[nondominated(values[keeps])]] = True
    return flags


def _hypervolume(
    found: Truths, trials: Sequence[TrialRecord], *, rule: FrontRule, seed: int
) -> Estimate | None:
    """Of the members as they stand, at draws of their true values and of the validation images."""
    members = {record.number for record in rule.front(trials)}
    places = [place for place, number in enumerate(found.numbers) if number in members]
    box = rule.box(trials)
    if box is None or not places:
        return None
    values = found.values[::_EVERY, places].copy()
    luck = np.random.default_rng([seed, 2]).standard_normal((len(values), 1))
    for index, name in enumerate(rule.objectives):
        if name == "proxy_accuracy":
            shares = np.clip(-values[:, :, index], 0, 1)
            error = np.sqrt(shares * (1 - shares) / rule.num_validation)
            values[:, :, index] = -np.clip(shares + luck * error, 0, 1)
    covered = [
        box.share_of_rows(drawn[keeps])
        for drawn, keeps in zip(values, found.keeps[::_EVERY, places], strict=True)
    ]
    return Estimate.of_draws(covered)


def _estimate(mean: float, sd: float) -> Estimate:
    return Estimate(value=mean, low=mean - NORMAL_95 * sd, high=mean + NORMAL_95 * sd)


LEAST_GAIN = 0.01
"""Entropy in nats, summed over all candidates, below which a training is not worth its time: less
than a probability of .95 that becomes .955."""

_PARTS = 5  # of a candidate's draws, by its accuracy


def settled_by_training(
    trials: Sequence[TrialRecord], *, rule: FrontRule, draws: int = DRAWS, seed: int = 0
) -> dict[int, float]:
    """Candidate to how much doubt one more training of it is expected to settle, in nats.

    The doubt is the entropy of who is on the front, summed over the candidates. How much of it
    would go if the candidate's true accuracy were known is read from the draws; a training shows
    1 / (n + 1) of the variance that n trainings have left.

    Args:
        trials: Of one study.
        rule: What may stand on its front.
        draws: Of the truth.
        seed: Of the draws.
    """
    among = contenders(trials, rule=rule)
    if not among or "proxy_accuracy" not in rule.objectives:
        return {}
    model = accuracy_model_of(trials, rng=np.random.default_rng(seed))
    near = near_front(among, rule=rule, moments=model.moments())
    found = truths(near, rule=rule, model=model, draws=draws, seed=seed)
    flags = on_front(found).astype(np.float64)
    accuracies = found.values[:, :, list(rule.objectives).index("proxy_accuracy")]
    before = _entropy(flags)
    gains = {}
    for place, record in enumerate(near):
        after = _entropy_known(flags, accuracies[:, place])
        count = len(final_accuracies(record))
        gains[record.number] = max(0.0, before - after) / (count + 1)
    return gains


def next_training(
    gains: dict[int, float], *, seconds: dict[int, float], left: float, busy: Collection[int]
) -> int | None:
    """The candidate that settles most in its time; None where none is worth it or fits.

    Args:
        gains: Candidate to the doubt that a training settles.
        seconds: Candidate to what a training takes.
        left: Seconds that may still be spent.
        busy: Candidates that are being trained.
    """
    worth = [
        number
        for number, gain in gains.items()
        if number not in busy and gain >= LEAST_GAIN and seconds[number] <= left
    ]
    return max(worth, key=lambda number: (gains[number] / seconds[number], -number), default=None)


def _entropy_known(flags: Array, accuracy: Array) -> float:
    """What is left of the doubt on average once a candidate's accuracy is known."""
    parts = np.array_split(np.argsort(accuracy, kind="stable"), _PARTS)
    return float(np.mean([_entropy(flags[rows]) for rows in parts]))


def _entropy(flags: Array) -> float:
    """Summed over the columns; few rows give too little, by half a row each (Miller 1955)."""
    chances = flags.mean(axis=0)
    inside = chances[(chances > 0) & (chances < 1)]
    bare = -(inside * np.log(inside) + (1 - inside) * np.log(1 - inside)).sum()
    return float(bare + len(inside) / (2 * len(flags)))
