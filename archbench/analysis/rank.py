"""Does a cheap number put candidates in the order of a dear one: at large, and at equal cost?

Legend: n candidates, P choices of seeds, R bootstrap draws.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from archbench.analysis.statistics import Estimate, Floats, kendall_tau

Statistic = Callable[[Floats, Floats, Floats], Floats]

_DRAWS = 1000
_PAIRS_AT_A_TIME = 2_000_000
_DEGREE = 3


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How well a score orders candidates, as Kendall's tau with the truth.

    Attributes:
        overall: Among all of them.
        near_front: Among the half that is nearest to the front.
        at_equal_cost: Among all of them, after the cost is taken out of score and truth.
    """

    overall: Estimate
    near_front: Estimate
    at_equal_cost: Estimate


@dataclass(frozen=True, kw_only=True)
class Spread:
    """What separates candidates, beside what separates trainings of one of them.

    Attributes:
        seeds: Standard deviation of one candidate over its seeds, pooled.
        candidates: Standard deviation between candidates, without the seeds' part.
        at_equal_cost: Likewise, after the cost is taken out.
    """

    seeds: float
    candidates: float
    at_equal_cost: float


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
    trainings: its luck with seeds is drawn with it.

    Args:
        score: (P, n), from one choice of seeds a row; taus are averaged over rows.
        truth: (P, n), of other trainings than the row's score.
        log_cost: (n,).
        draws: Of the bootstrap.
    """
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, len(log_cost), (draws, len(log_cost)))
    found = {
        name: _estimate(statistic, score, truth, log_cost=log_cost, drawn=drawn)
        for name, statistic in _STATISTICS.items()
    }
    return Agreement(**found)


def spread(truth: Floats, *, log_cost: Floats) -> Spread:
    """What separates candidates and seeds.

    Args:
        truth: (L, n), one training a row, at least two.
        log_cost: (n,).
    """
    num_seeds, num = truth.shape
    within = float(truth.var(0, ddof=1).mean())
    mean = truth.mean(0)
    rest = without_cost(mean, log_cost)
    between = float(mean.var(ddof=1)) - within / num_seeds
    left = float((rest**2).sum()) / max(num - _DEGREE - 1, 1) - within / num_seeds
    return Spread(
        seeds=within**0.5,
        candidates=max(between, 0.0) ** 0.5,
        at_equal_cost=max(left, 0.0) ** 0.5,
    )


def grouped(trainings: Floats, *, size: int) -> Floats:
    """Means (P, n) over groups of seeds, as a search would take them.

    Args:
        trainings: (S, n), one training a row.
        size: Seeds that count together; every group of successive ones, round the end.
    """
    num = len(trainings)
    if size >= num:
        return trainings.mean(0, keepdims=True)
    groups = [[(first + step) % num for step in range(size)] for first in range(num)]
    return np.stack([trainings[group].mean(0) for group in groups])


def others(trainings: Floats) -> Floats:
    """For each training (S, n) the mean of the other ones (S, n)."""
    num = len(trainings)
    return (trainings.sum(0) - trainings) / (num - 1)


def _overall(score: Floats, truth: Floats, log_cost: Floats) -> Floats:
    return kendall_tau(score, truth)


def _near_front(score: Floats, truth: Floats, log_cost: Floats) -> Floats:
    chosen = near_front(truth, np.broadcast_to(log_cost, truth.shape))
    return kendall_tau(np.take_along_axis(score, chosen, -1), np.take_along_axis(truth, chosen, -1))


def _at_equal_cost(score: Floats, truth: Floats, log_cost: Floats) -> Floats:
    return kendall_tau(without_cost(score, log_cost), without_cost(truth, log_cost))


_STATISTICS: Mapping[str, Statistic] = {
    "overall": _overall,
    "near_front": _near_front,
    "at_equal_cost": _at_equal_cost,
}


def _estimate(
    statistic: Statistic,
    score: Floats,
    truth: Floats,
    *,
    log_cost: Floats,
    drawn: NDArray[np.intp],
) -> Estimate:
    """The statistic averaged over the rows, with its interval."""
    rows = list(zip(score, truth, strict=True))
    value = np.mean([statistic(s, t, log_cost) for s, t in rows])
    size = max(1, _PAIRS_AT_A_TIME // len(log_cost) ** 2)
    parts = [drawn[start : start + size] for start in range(0, len(drawn), size)]
    again = np.concatenate(
        [
            np.mean([statistic(s[part], t[part], log_cost[part]) for s, t in rows], axis=0)
            for part in parts
        ]
    )
    return Estimate.of_draws(again, value=float(value))
