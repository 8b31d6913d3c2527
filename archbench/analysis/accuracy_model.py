"""What is a candidate's accuracy really, when it was seen through few trainings?

A training's result is the candidate's own accuracy plus the luck of its seed, and the best of many
results is one with more luck than most. The model here takes that luck out again: accuracy is a sum
of what each choice contributes and what each two contribute together (a ridge regression), of what
is the candidate's own, and of noise whose size comes from candidates that were trained more than
once. All scales are averaged over what the study leaves possible, not set to a best guess (normal
hierarchical model, see Gelman et al., Bayesian Data Analysis, 3rd ed., ch. 5 and 14).

Without the pairs, what they do is taken for the candidates' own: in benchmarks/hybrids a
third of the spread, where a tenth is. The model is then wrong for like candidates alike, and the
best keep half of their luck. Near a ceiling they keep it too, unless contributions may add up on
a scale that is bent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from archbench.analysis.choice_features import ChoiceFeatures, Products
from archbench.analysis.warping import STRAIGHT, WARPINGS, Warping
from archbench.study.trial import TrialRecord, final_accuracies

Array = np.ndarray[Any, np.dtype[np.float64]]
Places = np.ndarray[Any, np.dtype[np.intp]]

_NOISE_SHARE = 0.3
"""Noise of a seed to the spread between candidates, while none was trained twice: .25 to .31 was
seen in three sets of small hybrids (for one, benchmarks/separability)."""
_NOISE_DEGREES = 3.0  # degrees of freedom that this guess counts for
_LEAST_SD = 1e-4
_NOISE_NODES = 5
_SINGLE = (0.35, 1.0)  # scale of what single choices contribute, in spreads
_PAIRED = (0.05, 0.25, 0.5, 0.9)  # scale of what pairs contribute, likewise
_OWN = (0.05, 0.15, 0.3, 0.5, 0.8)  # scale of the candidate's own part, likewise
_LEVELS = 4  # to an octave, of as how many trainings a candidate's count on a bent scale
_NODES = 32  # of the grid, by weight, that moments are averaged over
_INTERCEPT_SD = 10.0  # in spreads: wide


@dataclass(frozen=True, kw_only=True)
class TrainingResults:
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
    def of(cls, results: Sequence[Sequence[float]]) -> TrainingResults:
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


class AccuracyModel:
    """What is believed of candidates after their trainings: a joint distribution to draw from.

    Args:
        trainings: What was seen.
        numbers: What the candidates are known by, (n,).
        features: What the regression knows of them, (n, p).
        rng: Of the noise's nodes.
    """

    def __init__(
        self,
        trainings: TrainingResults,
        *,
        numbers: Sequence[int],
        features: Array,
        rng: np.random.Generator,
    ) -> None:
        self._seen = trainings
        self._place = {number: place for place, number in enumerate(numbers)}
        self._centre = float(trainings.mean.mean())
        self._y = (trainings.mean - self._centre) / trainings.spread
        self._num_features = features.shape[1]
        self._products = Products.of(self._scaled(features))
        self._x = self._rows(features)
        self._nodes = self._noise_nodes(rng)
        straight = self._scale(STRAIGHT, near=self._y)
        first = self._nodes_of(straight)
        near, _ = self._moments_at(first[int(np.argmax(self._logs(first)))])
        bent = [self._scale(warping, near=near) for warping in WARPINGS]
        self._grid = [*first, *(node for scale in bent for node in self._nodes_of(scale))]

    @cached_property
    def noise_sd(self) -> float:
        """Standard deviation between seeds, as believed."""
        variances = np.array([node.noise for node in self._grid])
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
        fresh = np.zeros((0, self._num_features)) if unseen is None else unseen
        others = self._rows(fresh)
        drawn = np.empty((number, len(of) + len(fresh)))
        places = [self._place[candidate] for candidate in of]
        x = self._x[places]
        for rows, node, beta in self._coefficients(number, rng):
            variance = node.noise / node.scale.count[places]
            weight = node.own / (node.own + variance)
            mean = weight * node.scale.bent[places] + (1 - weight) * (beta @ x.T)
            seen = mean + np.sqrt(weight * variance) * rng.standard_normal(mean.shape)
            alike = (len(rows), len(fresh))
            new = beta @ others.T + np.sqrt(node.own) * rng.standard_normal(alike)
            drawn[rows] = node.scale.straight(np.hstack([seen, new]))
        return self._centre + self._seen.spread * drawn

    def moments(self) -> dict[int, tuple[float, float]]:
        """Candidate to mean and standard deviation of its true accuracy."""
        chosen = np.searchsorted(np.cumsum(self._weights), (np.arange(_NODES) + 0.5) / _NODES)
        nodes, times = np.unique(np.minimum(chosen, len(self._grid) - 1), return_counts=True)
        found = [self._moments_at(self._grid[node]) for node in nodes]
        means, variances = (np.stack(column) for column in zip(*found, strict=True))
        shares = times / _NODES
        mean = shares @ means
        sd = np.sqrt(shares @ (variances + means**2) - mean**2)
        means, sds = self._centre + self._seen.spread * mean, self._seen.spread * sd
        return {n: (float(means[place]), float(sds[place])) for n, place in self._place.items()}

    def _moments_at(self, node: _Node) -> tuple[Array, Array]:
        """Mean and variance at one node, in spreads from the centre."""
        mean, factor = self._regression(node)
        variance = node.noise / node.scale.count
        weight = node.own / (node.own + variance)
        around = np.linalg.solve(factor, self._x.T)
        centre = weight * node.scale.bent + (1 - weight) * (self._x @ mean)
        wide = weight * variance + (1 - weight) ** 2 * (around**2).sum(axis=0)
        return node.scale.warping.moments(node.scale.size * centre, node.scale.size**2 * wide)

    def _scale(self, warping: Warping, *, near: Array) -> _Scale:
        """The accuracies on one scale, where a seed's luck is as large as the slope near them."""
        bent = warping.bent(self._y)
        size = 1.0 if warping == STRAIGHT else float(bent.std()) or 1.0
        count = self._seen.count * (size / warping.slope(near)) ** 2
        if warping != STRAIGHT:
            count = 2.0 ** (np.round(_LEVELS * np.log2(count)) / _LEVELS)
        return _Scale(
            warping=warping,
            size=size,
            bent=bent / size,
            count=count,
            groups=[_Group.of(self._x, bent / size, count, level) for level in np.unique(count)],
            log_slope=float(np.log(warping.slope(self._y) / size).sum()),
        )

    def _scaled(self, features: Array) -> Array:
        return features / np.sqrt(max(1, self._num_features))

    def _rows(self, features: Array) -> Array:
        """What the regression sees: a one, the features, their products."""
        single = self._scaled(features)
        return np.column_stack([np.ones(len(single)), single, self._products.rows(single)])

    def _noise_nodes(self, rng: np.random.Generator) -> Array:
        """Variances of the noise, in squared spreads, equally likely by the seeds alone."""
        degrees = _NOISE_DEGREES + self._seen.degrees
        squares = _NOISE_DEGREES * _NOISE_SHARE**2 + self._seen.squares / self._seen.spread**2
        draws = squares / rng.chisquare(degrees, size=4000)
        nodes = np.quantile(draws, (np.arange(_NOISE_NODES) + 0.5) / _NOISE_NODES)
        return np.asarray(nodes, dtype=np.float64)

    def _nodes_of(self, scale: _Scale) -> list[_Node]:
        return [
            _Node(scale=scale, noise=float(noise), single=single**2, paired=paired**2, own=own**2)
            for noise in self._nodes
            for own in _OWN
            for single in _SINGLE
            for paired in _PAIRED
        ]

    @cached_property
    def _weights(self) -> Array:
        """How likely each node of the grid is, by what was seen; their sum is 1."""
        log = self._logs(self._grid)
        weights = np.exp(log - log.max())
        return np.asarray(weights / weights.sum(), dtype=np.float64)

    def _logs(self, grid: Sequence[_Node]) -> Array:
        """Log likelihoods of what was seen."""
        alike = len(_SINGLE) * len(_PAIRED)
        parts = [grid[start : start + alike] for start in range(0, len(grid), alike)]
        return np.concatenate([self._log_likelihoods(part) for part in parts])

    def _log_likelihoods(self, nodes: Sequence[_Node]) -> Array:
        """Of what was seen, at nodes that differ in the regression's scales alone.

        The last row of the Cholesky factor of [[A, b], [b', c]] holds the solution of A and then
        the root of c - b' inv(A) b, so that nothing has to be solved. Up to a constant.
        """
        xx, xy, yy, logs = self._sums(nodes[0])
        prior = np.stack([self._prior(node) for node in nodes])
        bordered = np.empty((len(nodes), len(xy) + 1, len(xy) + 1))
        bordered[:, :-1, :-1] = xx + (1 / prior)[:, :, None] * np.eye(len(xy))
        bordered[:, :-1, -1] = bordered[:, -1, :-1] = xy
        bordered[:, -1, -1] = yy + 1  # of accuracies that are all equal the root would be of 0
        scales = np.diagonal(np.linalg.cholesky(bordered), axis1=1, axis2=2)
        determinant = logs + np.log(prior).sum(axis=1) + 2 * np.log(scales[:, :-1]).sum(axis=1)
        return np.asarray(nodes[0].scale.log_slope - 0.5 * (determinant + scales[:, -1] ** 2))

    def _prior(self, node: _Node) -> Array:
        """Variance of each coefficient before anything was seen, (p,)."""
        prior = np.full(self._x.shape[1], node.paired)
        prior[0] = _INTERCEPT_SD**2
        prior[1 : 1 + self._num_features] = node.single
        return prior

    def _sums(self, node: _Node) -> tuple[Array, Array, float, float]:
        """X'X (p, p), X'y (p,), y'y by each candidate's precision; its summed log variance."""
        groups = node.scale.groups
        variance = [node.own + node.noise / group.count for group in groups]
        weighed = list(zip(groups, variance, strict=True))
        xx = np.sum([group.xx / variance for group, variance in weighed], axis=0)
        xy = np.sum([group.xy / variance for group, variance in weighed], axis=0)
        yy = sum(group.yy / variance for group, variance in weighed)
        return xx, xy, yy, sum(group.size * float(np.log(variance)) for group, variance in weighed)

    def _regression(self, node: _Node) -> tuple[Array, Array]:
        """Mean of the coefficients and the Cholesky factor of their precision."""
        xx, xy, _, _ = self._sums(node)
        factor = np.linalg.cholesky(xx + np.diag(1 / self._prior(node)))
        mean = np.linalg.solve(factor.T, np.linalg.solve(factor, xy))
        return mean, np.asarray(factor, dtype=np.float64)

    def _coefficients(
        self, number: int, rng: np.random.Generator
    ) -> list[tuple[Places, _Node, Array]]:
        """Draws of the coefficients, node by node: rows, node, coefficients (rows, p)."""
        chosen = rng.choice(len(self._grid), size=number, p=self._weights)
        found = []
        for place in np.unique(chosen):
            rows = np.flatnonzero(chosen == place)
            node = self._grid[place]
            mean, factor = self._regression(node)
            normal = rng.standard_normal((self._x.shape[1], len(rows)))
            beta = mean[:, None] + np.linalg.solve(factor.T, normal)
            found.append((rows, node, beta.T))
        return found


@dataclass(frozen=True, kw_only=True)
class _Scale:
    """What was seen, on one scale.

    Attributes:
        warping: From spreads off the mean.
        size: Spread on the bent scale; what follows is in it.
        bent: Mean of each candidate's results, (n,).
        count: As how many trainings they count, by the slope of the warping, (n,).
        groups: Of candidates that count alike.
        log_slope: Summed logarithm of the slope: likelihoods are of what was seen, not of
            its warping.
    """

    warping: Warping
    size: float
    bent: Array
    count: Array
    groups: Sequence[_Group]
    log_slope: float

    def straight(self, values: Array) -> Array:
        """Values of this scale in spreads off the mean."""
        return self.warping.straight(self.size * values)


@dataclass(frozen=True, kw_only=True)
class _Node:
    """Variances in squared spreads: of a seed, of single choices, of pairs, of the own part."""

    scale: _Scale
    noise: float
    single: float
    paired: float
    own: float


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


def accuracy_model_of(trials: Sequence[TrialRecord], *, rng: np.random.Generator) -> AccuracyModel:
    """What is believed of the trials that were trained to the end, of which there is one at least.

    Args:
        trials: Of one study, also others.
        rng: Of the noise's nodes.
    """
    ended = [record for record in trials if is_trained(record)]
    choices = [record.choices for record in ended]
    results = [list(final_accuracies(record).values()) for record in ended]
    return AccuracyModel(
        TrainingResults.of(results),
        numbers=[record.number for record in ended],
        features=ChoiceFeatures.of(choices).rows(choices),
        rng=rng,
    )


def is_trained(record: TrialRecord) -> bool:
    """Was it trained to the last rung?"""
    return record.state == "complete" and record.proxy_accuracy is not None
