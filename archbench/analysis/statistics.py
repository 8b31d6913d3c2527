"""How sure is a number, and does a cheap one put candidates in the order of a dear one?

Legend: n candidates, P choices of seeds, R bootstrap draws.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from archbench.study.runs import NORMAL_95

Floats = NDArray[np.float64]

_TAILS = (0.025, 0.975)
_DRAWS = 1000
_PAIRS_AT_A_TIME = 2_000_000
_DEGREE = 3


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A number with its 95 % interval."""

    value: float
    low: float
    high: float

    @property
    def standard_error(self) -> float:
        """A normal distribution of this standard deviation has an interval as wide."""
        return (self.high - self.low) / 2 / NORMAL_95

    @property
    def is_resolved(self) -> bool:
        """Whether the interval leaves out 0, so that the sign is known."""
        return self.low > 0 or self.high < 0

    @classmethod
    def of_draws(cls, draws: ArrayLike, *, value: float | None = None) -> Self:
        """The 95 % percentile interval of draws, around their mean or a given value."""
        low, high = np.quantile(np.asarray(draws), _TAILS)
        middle = np.mean(np.asarray(draws)) if value is None else value
        return cls(value=float(middle), low=float(low), high=float(high))


def estimate_text(estimate: Estimate) -> str:
    """For example ``0.52 [0.38, 0.64]``."""
    return f"{estimate.value:.2f} [{estimate.low:.2f}, {estimate.high:.2f}]"


def wilson(count: int, total: int) -> Estimate:
    """The share of a count with Wilson's interval (1927); all of 0 to 1 without any case."""
    if not total:
        return Estimate(value=0.0, low=0.0, high=1.0)
    z, share = NORMAL_95, count / total
    middle = (share + z**2 / (2 * total)) / (1 + z**2 / total)
    half = z * math.sqrt(share * (1 - share) / total + z**2 / (4 * total**2)) / (1 + z**2 / total)
    return Estimate(value=share, low=max(0.0, middle - half), high=min(1.0, middle + half))


def kendall_tau(a: Floats, b: Floats) -> Floats:
    """Kendall's tau-b along the last axis; 0 where one of them does not vary.

    Kendall 1945, Biometrika 33, 239-251. Takes memory for every pair.

    >>> float(kendall_tau(np.array([1.0, 2.0, 3.0]), np.array([1.0, 3.0, 2.0]))).__round__(3)
    0.333
    """
    first, second = np.triu_indices(a.shape[-1], 1)
    in_a, in_b = (_signs(values, first, second) for values in (a, b))
    agreeing = (in_a * in_b).sum(-1, dtype=np.float64)
    untied = np.sqrt(np.abs(in_a).sum(-1, dtype=np.float64) * np.abs(in_b).sum(-1, dtype=np.int64))
    return np.divide(agreeing, untied, out=np.zeros_like(agreeing), where=untied > 0)


def kendall_tau_of(pairs: Sequence[tuple[float, float]]) -> float | None:
    """Kendall's tau-b of some pairs; None where one side never differs.

    >>> kendall_tau_of([(1.0, 10.0), (2.0, 30.0), (3.0, 20.0)])
    0.3333333333333333
    """
    if any(len(set(side)) < 2 for side in zip(*pairs, strict=True)) or not pairs:
        return None
    values = np.array(pairs, dtype=np.float64)
    return float(kendall_tau(values[:, 0], values[:, 1]))


def _signs(values: Floats, first: NDArray[np.intp], second: NDArray[np.intp]) -> NDArray[np.int8]:
    """1, 0 or -1 for each pair, in bytes, as there are many."""
    one, other = values[..., first], values[..., second]
    return (one > other).view(np.int8) - (one < other).view(np.int8)


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How well a score orders candidates: Kendall's tau with the truth."""

    overall: Estimate
    near_front: Estimate  # among the half that is nearest to the front
    at_equal_cost: Estimate  # after the cost is taken out of both


@dataclass(frozen=True, kw_only=True)
class Spread:
    """What separates candidates, beside what separates trainings of one of them."""

    seeds: float  # standard deviation of one candidate over its seeds, pooled
    candidates: float  # standard deviation between candidates, without the seeds' part
    at_equal_cost: float  # likewise, after the cost is taken out


def without_cost(values: Floats, log_cost: Floats) -> Floats:
    """What is left of values (..., n) when a cubic in the logarithm of the cost is taken out.

    A cubic follows a curve that rises, bends and saturates. Of a score that knows the cost and
    nothing else, it leaves a tau of 0.00 on average over 300 samples of 24 and 32 candidates,
    whether accuracy rises linearly with it, saturates or falls again, where an isotonic fit leaves
    0.01 to 0.05, a line up to 0.14, and a partial tau up to 0.16.
    """
    centred = log_cost - log_cost.mean(-1, keepdims=True)
    size = np.abs(centred).max(-1, keepdims=True)
    scaled = np.divide(centred, size, out=np.zeros_like(centred), where=size > 0)
    powers = np.stack([scaled**power for power in range(_DEGREE + 1)], axis=-1)  # (..., n, 4)
    left, kept, _ = np.linalg.svd(powers, full_matrices=False)
    basis = left * (kept > 1e-9 * kept[..., :1])[..., None, :]
    fitted = np.einsum("...nk,...k->...n", basis, np.einsum("...nk,...n->...k", basis, values))
    rest = values - fitted
    return np.where(np.abs(rest) > 1e-9 * np.abs(values).max(-1, keepdims=True), rest, 0.0)


def near_front(truth: Floats, log_cost: Floats) -> NDArray[np.intp]:
    """Indices (..., m) of the half whose accuracy is least below the best of its cost or less."""
    by_cost = np.lexsort((-truth, log_cost))
    sorted_truth = np.take_along_axis(truth, by_cost, -1)
    gaps = np.maximum.accumulate(sorted_truth, axis=-1) - sorted_truth
    half = (truth.shape[-1] + 1) // 2
    chosen = np.argsort(gaps, axis=-1, kind="stable")[..., :half]
    return np.asarray(np.take_along_axis(by_cost, chosen, -1))


def agreement(score: Floats, truth: Floats, *, log_cost: Floats, draws: int = _DRAWS) -> Agreement:
    """How well a score orders candidates.

    The intervals are percentiles of a bootstrap over candidates, each drawn with all its
    trainings: the noise of its seeds is drawn with it. A row of the score (P, n) is from one choice
    of seeds, that of the truth (P, n) from other trainings; taus are averaged over rows.
    """
    drawn = np.random.default_rng(0).integers(0, len(log_cost), (draws, len(log_cost)))
    rows = list(zip(score, truth, strict=True))
    values = np.mean([_taus(s, t, log_cost) for s, t in rows], axis=0)
    size = max(1, _PAIRS_AT_A_TIME // len(log_cost) ** 2)
    parts = [drawn[start : start + size] for start in range(0, draws, size)]
    again = [
        np.mean([_taus(s[part], t[part], log_cost[part]) for s, t in rows], axis=0)
        for part in parts
    ]
    overall, near, at_equal_cost = (
        Estimate.of_draws(found, value=float(value))
        for found, value in zip(np.concatenate(again, axis=-1), values, strict=True)
    )
    return Agreement(overall=overall, near_front=near, at_equal_cost=at_equal_cost)


def _taus(score: Floats, truth: Floats, log_cost: Floats) -> Floats:
    """Overall, near the front and at equal cost, (3, ...), of rows (..., n)."""
    near = near_front(truth, np.broadcast_to(log_cost, truth.shape))
    pairs = (
        (score, truth),
        (np.take_along_axis(score, near, -1), np.take_along_axis(truth, near, -1)),
        (without_cost(score, log_cost), without_cost(truth, log_cost)),
    )
    return np.stack([kendall_tau(one, other) for one, other in pairs])


def spread(truth: Floats, *, log_cost: Floats) -> Spread:
    """What separates candidates and seeds, of at least two trainings (L, n)."""
    num_seeds, num = truth.shape
    within = float(truth.var(0, ddof=1).mean())
    mean = truth.mean(0)
    rest = without_cost(mean, log_cost)
    between = float(mean.var(ddof=1)) - within / num_seeds
    left = float((rest**2).sum()) / max(num - _DEGREE - 1, 1) - within / num_seeds
    return Spread(
        seeds=within**0.5, candidates=max(between, 0.0) ** 0.5, at_equal_cost=max(left, 0.0) ** 0.5
    )


def grouped(trainings: Floats, *, size: int) -> Floats:
    """Means (P, n) of trainings (S, n) over every group of successive seeds, round the end."""
    num = len(trainings)
    if size >= num:
        return trainings.mean(0, keepdims=True)
    groups = [[(first + step) % num for step in range(size)] for first in range(num)]
    return np.stack([trainings[group].mean(0) for group in groups])


def others(trainings: Floats) -> Floats:
    """For each training (S, n) the mean of the other ones (S, n)."""
    num = len(trainings)
    return (trainings.sum(0) - trainings) / (num - 1)
