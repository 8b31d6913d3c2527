"""What accuracy will a training end with, by the trainings of the study that went to the end?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

_SAME = 1e-4  # accuracies whose standard deviation is less do not differ
_PRIOR_TRAININGS = 4.0  # how many trainings the guess below of the scatter counts as
_PRIOR_SCATTER = 0.06  # of the last accuracy around the guess: what small networks showed half-way
_PRIOR_GAIN = 0.25  # from a rung to the end: anything up to so much, one standard deviation
_PRIOR_SLOPE = 0.5  # standard deviation around 1 for the rung itself, around 0 for earlier ones


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """Student's t distribution of a last accuracy.

    Attributes:
        mean: Its centre.
        scale: Its scale, noise of the training included.
        freedom: Its degrees of freedom.
    """

    mean: float
    scale: float
    freedom: float


@dataclass(frozen=True, kw_only=True)
class LearningCurve:
    """A Bayesian linear regression of the last accuracy on those of the rungs so far.

    The guess before any training has ended is that nothing changes after the rung, give or take;
    each training that went to the end counts as much as all others, whatever it reached. Which
    trainings went so far was decided by their rungs, upon which the regression is conditional, so
    stopping the weak ones does not bias it.

    Source: the conjugate normal-inverse-gamma model, for example Bishop 2006, ex. 3.12 and 3.13.

    Attributes:
        weights: Posterior mean for the constant and each rung, the last rung as it is and of the
            earlier ones how far they lie below it.
        covariance: Of the weights, in units of the scatter's square.
        freedom: Degrees of freedom of the scatter.
        scatter: Its posterior scale.
        explained: Share of the variance of the last accuracies that the rungs explain, 0 to 1; 1
            where they do not differ, or fewer than two trainings have ended.
    """

    weights: Array
    covariance: Array
    freedom: float
    scatter: float
    explained: float

    @classmethod
    def fit(
        cls, rungs: Sequence[Sequence[float]], *, ends: Sequence[float], num_rungs: int
    ) -> Self:
        """The regression over trainings that went to the end.

        Args:
            rungs: Accuracies at the first ``num_rungs`` rungs, one row a training; may be empty.
            ends: The last accuracy of each.
            num_rungs: How many rungs are known of the trainings to be forecast, from 1.
        """
        prior = np.zeros(num_rungs + 1)
        prior[1] = 1.0
        spread = np.array([_PRIOR_GAIN, *[_PRIOR_SLOPE] * num_rungs]) / _PRIOR_SCATTER
        precision = np.diag(spread**-2.0)
        features = _features(np.reshape(np.asarray(rungs, dtype=np.float64), (-1, num_rungs)))
        target = np.asarray(ends, dtype=np.float64)
        posterior = precision + features.T @ features
        covariance = np.linalg.inv(posterior).astype(np.float64)
        weights = covariance @ (precision @ prior + features.T @ target)
        freedom = _PRIOR_TRAININGS + len(target)
        residual = target - features @ weights
        moved = weights - prior
        squares = _PRIOR_TRAININGS * _PRIOR_SCATTER**2
        squares += float(residual @ residual + moved @ precision @ moved)
        return cls(
            weights=weights,
            covariance=covariance,
            freedom=freedom,
            scatter=math.sqrt(squares / freedom),
            explained=_explained(residual, target),
        )

    def forecast(self, rungs: Sequence[float]) -> Forecast:
        """What a training with these accuracies at its rungs so far ends with."""
        (row,) = _features(np.asarray([rungs], dtype=np.float64))
        return Forecast(
            mean=float(row @ self.weights),
            scale=self.scatter * math.sqrt(1.0 + float(row @ self.covariance @ row)),
            freedom=self.freedom,
        )

    def draw(self, rungs: Sequence[Sequence[float]], *, generator: np.random.Generator) -> Array:
        """Last accuracies of several trainings at once, drawn from what is known together."""
        variance = self.scatter**2 * self.freedom / generator.chisquare(self.freedom)
        weights = generator.multivariate_normal(self.weights, variance * self.covariance)
        features = _features(np.asarray(rungs, dtype=np.float64))
        noise = generator.normal(scale=math.sqrt(variance), size=len(features))
        drawn: Array = features @ weights + noise
        return drawn


def _explained(residual: Array, ends: Array) -> float:
    """Share of the ends' variance that is not in the residual; 1 where they do not differ."""
    variance = float(ends.var()) if len(ends) else 0.0
    if variance <= _SAME**2:
        return 1.0
    return max(0.0, 1.0 - float(residual @ residual) / len(ends) / variance)


def _features(rungs: Array) -> Array:
    """A constant, the last rung, and how far the earlier ones lie below it: (n, rungs + 1)."""
    last = rungs[:, -1:]
    return np.hstack([np.ones((len(rungs), 1)), last, last - rungs[:, :-1]])
