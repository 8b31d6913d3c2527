"""A number with its interval, the share of a count, and the rank correlation of two scores."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

NORMAL_95 = 1.959964
"""Standard deviations on either side of the middle that hold 95 % of a normal distribution."""

_TAILS = (0.025, 0.975)


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A number with its 95 % interval."""

    value: float
    low: float
    high: float

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
