"""What is a candidate's accuracy really, when it was seen through few trainings?

A training's result is the candidate's own accuracy plus the luck of its seed, and the best of many
results is one with more luck than most. The model here takes that luck out again: accuracy is a sum
of what each choice contributes (a ridge regression), of what is the candidate's own, and of noise
whose size comes from candidates that were trained more than once. All scales are averaged over
what the study leaves possible, not set to a best guess (normal hierarchical model, see Gelman et
al., Bayesian Data Analysis, 3rd ed., ch. 5 and 14).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from archbench.records.feature import Features
from archbench.records.trial import TrialRecord, final_accuracies

Array = np.ndarray[Any, np.dtype[np.float64]]
Places = np.ndarray[Any, np.dtype[np.intp]]

_NOISE_SHARE = 0.3
"""Noise of a seed to the spread between candidates, while none was trained twice: .25 to .31 was
seen in three sets of small hybrids (for one, benchmarks/separability.md)."""
_NOISE_DEGREES = 3.0  # degrees of freedom that this guess counts for
_LEAST_SD = 1e-4
_NOISE_NODES = 9
_EXPLAINED = (0.15, 0.3, 0.6, 1.0, 1.7)  # scale of the choices' part, in spreads
_OWN = (0.05, 0.12, 0.25, 0.4, 0.6, 0.85, 1.2)  # scale of the candidate's own part, likewise
_NODES = 32  # of the grid, by weight, that moments are averaged over
_INTERCEPT_SD = 10.0  # in spreads: wide


@dataclass(frozen=True, kw_only=True)
class Trainings:
    """Results of the trainings of some candidates that went to the end.

    Attributes:
        mean: Of each candidate's results, (n,).
        count: How many they are, (n,).
        squares: Squared deviations from the candidates' means, summed over all.
        degrees: Degrees of freedom of that sum.
    """

    mean: Array
    count: Array
    squares: float
    degrees: int

    @classmethod
    def of(cls, results: Sequence[Sequence[float]]) -> Trainings:
        """From the results of each candidate, of which each has one at least."""
        means = np.array([np.mean(values) for values in results], dtype=np.float64)
        return cls(
            mean=means,
            count=np.array([len(values) for values in results], dtype=np.float64),
            squares=float(
                sum(((np.asarray(v) - m) ** 2).sum() for v, m in zip(results, means, strict=True))
            ),
            degrees=sum(len(values) - 1 for values in results),
        )

    @property
    def spread(self) -> float:
        """Standard deviation between the candidates, noise included."""
        return max(float(self.mean.std(ddof=1)) if len(self.mean) > 1 else 0.0, _LEAST_SD)


class Belief:
    """What is believed of candidates after their trainings: a joint distribution to draw from.

    Args:
        trainings: What was seen.
        numbers: What the candidates are known by, (n,).
        features: What the regression knows of them, (n, p).
        rng: Of the noise's nodes.
    """

    def __init__(
        self,
        trainings: Trainings,
        *,
        numbers: Sequence[int],
        features: Array,
        rng: np.random.Generator,
    ) -> None:
        self._seen = trainings
        self._place = {number: place for place, number in enumerate(numbers)}
        self._centre = float(trainings.mean.mean())
        self._y = (trainings.mean - self._centre) / trainings.spread
        scale = 1 / np.sqrt(max(1, features.shape[1]))
        self._x = np.column_stack([np.ones(len(self._y)), scale * features])
        self._scale = scale
        self._nodes = self._noise_nodes(rng)
        self._groups = [_Group.of(self._x, self._y, self._seen.count, c) for c in self._counts]

    @cached_property
    def noise_sd(self) -> float:
        """Standard deviation between seeds, as believed."""
        variances = np.array([noise for noise, _, _ in self._grid])
        return float(np.sqrt(self._weights @ variances)) * self._seen.spread

    @property
    def noise_degrees(self) -> int:
        """Trainings beyond the first of their candidate: what the noise is known from."""
        return self._seen.degrees

    def draw(
        self,
        number: int,
        *,
        of: Sequence[int],
        rng: np.random.Generator,
        unseen: Array | None = None,
    ) -> Array:
        """Joint draws of true accuracies, (number, len(of) + len(unseen)).

        Args:
            number: How many.
            of: Candidates.
            rng: Of the draws.
            unseen: Features of networks that were never trained, (m, p).
        """
        fresh = np.zeros((0, self._x.shape[1] - 1)) if unseen is None else unseen
        others = np.column_stack([np.ones(len(fresh)), self._scale * fresh])
        drawn = np.empty((number, len(of) + len(fresh)))
        places = [self._place[candidate] for candidate in of]
        x, y, count = self._x[places], self._y[places], self._seen.count[places]
        for rows, (noise, own), beta in self._coefficients(number, rng):
            variance = noise / count
            weight = own / (own + variance)
            mean = weight * y + (1 - weight) * (beta @ x.T)
            seen = mean + np.sqrt(weight * variance) * rng.standard_normal(mean.shape)
            alike = (len(rows), len(fresh))
            new = beta @ others.T + np.sqrt(own) * rng.standard_normal(alike)
            drawn[rows] = np.hstack([seen, new])
        return self._centre + self._seen.spread * drawn

    def moments(self) -> dict[int, tuple[float, float]]:
        """Candidate to mean and standard deviation of its true accuracy."""
        chosen = np.searchsorted(np.cumsum(self._weights), (np.arange(_NODES) + 0.5) / _NODES)
        nodes, times = np.unique(np.minimum(chosen, len(self._grid) - 1), return_counts=True)
        found = [self._moments_at(*self._grid[node]) for node in nodes]
        means, variances = (np.stack(column) for column in zip(*found, strict=True))
        shares = times / _NODES
        mean = shares @ means
        sd = np.sqrt(shares @ (variances + means**2) - mean**2)
        means, sds = self._centre + self._seen.spread * mean, self._seen.spread * sd
        return {n: (float(means[place]), float(sds[place])) for n, place in self._place.items()}

    def _moments_at(self, noise: float, explained: float, own: float) -> tuple[Array, Array]:
        """Mean and variance at one node, in spreads from the centre."""
        mean, factor = self._regression(noise, explained, own)
        variance = noise / self._seen.count
        weight = own / (own + variance)
        around = np.linalg.solve(factor, self._x.T)
        centre = weight * self._y + (1 - weight) * (self._x @ mean)
        return centre, weight * variance + (1 - weight) ** 2 * (around**2).sum(axis=0)

    @property
    def _counts(self) -> list[float]:
        return sorted({float(count) for count in self._seen.count})

    def _noise_nodes(self, rng: np.random.Generator) -> Array:
        """Variances of the noise, in squared spreads, equally likely by the seeds alone."""
        degrees = _NOISE_DEGREES + self._seen.degrees
        squares = _NOISE_DEGREES * _NOISE_SHARE**2 + self._seen.squares / self._seen.spread**2
        draws = squares / rng.chisquare(degrees, size=4000)
        nodes = np.quantile(draws, (np.arange(_NOISE_NODES) + 0.5) / _NOISE_NODES)
        return np.asarray(nodes, dtype=np.float64)

    @cached_property
    def _grid(self) -> list[tuple[float, float, float]]:
        """Variances of noise, of the choices' part and of the own part, in squared spreads."""
        return [
            (float(noise), explained**2, own**2)
            for noise in self._nodes
            for explained in _EXPLAINED
            for own in _OWN
        ]

    @cached_property
    def _weights(self) -> Array:
        """How likely each node of the grid is, by what was seen; their sum is 1."""
        grid = np.array(self._grid)
        xx, xy, yy, logs = self._sums(grid[:, 0], grid[:, 2])
        prior = self._priors(grid[:, 1])
        factors = np.linalg.cholesky(xx + _diagonals(1 / prior))
        around = np.linalg.solve(factors, xy[:, :, None])[:, :, 0]
        scales = np.diagonal(factors, axis1=1, axis2=2)
        determinant = logs + np.log(prior).sum(axis=1) + 2 * np.log(scales).sum(axis=1)
        log = -0.5 * (determinant + yy - (around**2).sum(axis=1))
        weights = np.exp(log - log.max())
        return np.asarray(weights / weights.sum(), dtype=np.float64)

    def _priors(self, explained: Array) -> Array:
        """Variance of each coefficient before anything was seen, (nodes, p)."""
        prior = np.repeat(explained[:, None], self._x.shape[1], axis=1)
        prior[:, 0] = _INTERCEPT_SD**2
        return prior

    def _sums(self, noise: Array, own: Array) -> tuple[Array, Array, Array, Array]:
        """X'X, X'y and y'y weighted by each candidate's precision, and its summed log variance.

        Each for every node: (nodes, p, p), (nodes, p), (nodes,), (nodes,).
        """
        counts = np.array([group.count for group in self._groups])
        variance = own[:, None] + noise[:, None] / counts
        xx = np.tensordot(1 / variance, np.stack([group.xx for group in self._groups]), axes=1)
        xy = (1 / variance) @ np.stack([group.xy for group in self._groups])
        yy = (1 / variance) @ np.array([group.yy for group in self._groups])
        logs = np.log(variance) @ np.array([float(group.size) for group in self._groups])
        return xx, xy, yy, logs

    def _regression(self, noise: float, explained: float, own: float) -> tuple[Array, Array]:
        """Mean of the coefficients and the Cholesky factor of their precision."""
        xx, xy, _, _ = self._sums(np.array([noise]), np.array([own]))
        prior = self._priors(np.array([explained]))
        factor = np.linalg.cholesky(xx + _diagonals(1 / prior))[0]
        mean = np.linalg.solve(factor.T, np.linalg.solve(factor, xy[0]))
        return mean, factor

    def _coefficients(
        self, number: int, rng: np.random.Generator
    ) -> list[tuple[Places, tuple[float, float], Array]]:
        """Draws of the coefficients, node by node: rows, (noise, own), coefficients (rows, p)."""
        chosen = rng.choice(len(self._grid), size=number, p=self._weights)
        found = []
        for node in np.unique(chosen):
            rows = np.flatnonzero(chosen == node)
            noise, explained, own = self._grid[node]
            mean, factor = self._regression(noise, explained, own)
            normal = rng.standard_normal((self._x.shape[1], len(rows)))
            beta = mean[:, None] + np.linalg.solve(factor.T, normal)
            found.append((rows, (noise, own), beta.T))
        return found


@dataclass(frozen=True, kw_only=True)
class _Group:
    """Sums over the candidates with one number of trainings."""

    count: float
    size: int
    xx: Array
    xy: Array
    yy: float

    @classmethod
    def of(cls, x: Array, y: Array, counts: Array, count: float) -> _Group:
        rows = counts == count
        x, y = x[rows], y[rows]
        return cls(count=count, size=len(y), xx=x.T @ x, xy=x.T @ y, yy=float(y @ y))


def _diagonals(values: Array) -> Array:
    """A diagonal matrix for each row, (rows, p, p)."""
    return values[:, :, None] * np.eye(values.shape[1])


def belief_of(trials: Sequence[TrialRecord], *, rng: np.random.Generator) -> Belief:
    """What is believed of the trials that were trained to the end, of which there is one at least.

    Args:
        trials: Of one study, also others.
        rng: Of the noise's nodes.
    """
    ended = [record for record in trials if is_trained(record)]
    choices = [record.choices for record in ended]
    results = [list(final_accuracies(record).values()) for record in ended]
    return Belief(
        Trainings.of(results),
        numbers=[record.number for record in ended],
        features=Features.of(choices).rows(choices),
        rng=rng,
    )


def is_trained(record: TrialRecord) -> bool:
    """Was it trained to the last rung?"""
    return record.state == "complete" and record.proxy_accuracy is not None
