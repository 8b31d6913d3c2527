"""What is a candidate's accuracy really, when it was seen through few trainings?

A training's result is the candidate's own accuracy plus the noise of its seed, and the best of many
results is one with more noise in its favour than most. The model here takes that out again:
accuracy is a sum of what each choice contributes and what each two contribute together (a ridge
regression), of what is the candidate's own, and of noise whose size comes from candidates that were
trained more than once. All scales are averaged over what the study leaves possible, not set to a
best guess (normal hierarchical model, see Gelman et al., Bayesian Data Analysis, 3rd ed., ch. 5 and
14).

Without the pairs, what they do is taken for the candidates' own: in benchmarks/hybrids a
third of the spread, where a tenth is. The model is then wrong for like candidates alike, and the
best keep half of the noise in their favour.

Near a ceiling they keep it too: an improvement shows there as less than it is. What adds up is not
the accuracy but a warped one, and the best candidates differ by less than the same regression says
of the others (warped Gaussian processes: Snelson, Rasmussen and Ghahramani 2004). The warpings are
Johnson's (1949, Biometrika 36, 149-176, system S_U): sinh, which stretches both ends, moved so that
it stretches the top more than the bottom.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from archbench.analysis.choice_features import ChoiceFeatures, Products
from archbench.analysis.statistics import Floats
from archbench.study.trial import TrialRecord, final_accuracies

_NOISE_SHARE = 0.3
"""Noise of a seed to the spread between candidates, while none was trained twice: .25 to .31 was
seen in three sets of small hybrids (for one, benchmarks/separability)."""
_NOISE_DEGREES = 3.0  # degrees of freedom that this guess counts for
_LEAST_SD = 1e-4
_NOISE_NODES = 5
_SINGLE = (0.35, 1.0)  # scale of what single choices contribute, in spreads
_PAIRED = (0.05, 0.25, 0.5, 0.9)  # scale of what pairs contribute, likewise
_OWN = (0.05, 0.15, 0.3, 0.5, 0.8)  # scale of the candidate's own part, likewise
_LEVELS = 4  # to an octave, of as how many trainings a candidate's count on a warped scale
_NODES = 32  # of the grid, by weight, that moments are averaged over
_INTERCEPT_SD = 10.0  # in spreads: wide
_CHANGE_SD = 0.01  # by how much what int8 does differs between candidates, before pairs tell
_CHANGE_DEGREES = 2.0  # pairs that this guess counts for
_POINTS, _SHARES = np.polynomial.hermite_e.hermegauss(5)


class Warping(NamedTuple):
    """A scale for accuracies in spreads from their mean; strength 0 changes nothing."""

    strength: float = 0.0
    lean: float = 0.0  # the more, the more the top is stretched than the bottom; 0 is alike

    def warped(self, values: Floats) -> Floats:
        """The values on this scale; 0 stays 0, and near it a step stays as large."""
        if not self.strength:
            return values
        raised = np.sinh(self.strength * values + self.lean) - np.sinh(self.lean)
        return np.asarray(raised / (self.strength * np.cosh(self.lean)))

    def unwarped(self, warped: Floats) -> Floats:
        """What is the values' place on this scale, undone."""
        if not self.strength:
            return warped
        raised = self.strength * np.cosh(self.lean) * warped + np.sinh(self.lean)
        return np.asarray((np.arcsinh(raised) - self.lean) / self.strength)

    def slope(self, values: Floats) -> Floats:
        """How much longer a small step is here."""
        return np.asarray(np.cosh(self.strength * values + self.lean) / np.cosh(self.lean))

    def moments(self, mean: Floats, variance: Floats) -> tuple[Floats, Floats]:
        """Mean and variance, straight, of what is normal on this scale (Gauss and Hermite)."""
        shares = _SHARES / _SHARES.sum()
        around = [self.unwarped(mean + point * np.sqrt(variance)) for point in _POINTS]
        middle = np.tensordot(shares, np.stack(around), axes=1)
        return middle, np.tensordot(shares, (np.stack(around) - middle) ** 2, axes=1)


STRAIGHT = Warping()
WARPINGS = (Warping(0.35), Warping(0.7), Warping(0.3, 1.0), Warping(0.6, 1.0))
"""What is tried beside the straight one."""


class AccuracyModel:
    """What is believed of candidates after their trainings: a joint distribution to draw from.

    Of each candidate, by number, it takes the results of its trainings to the end, one at least,
    and its choices. ``noise_degrees`` are the trainings beyond the first of their candidate, from
    which the noise between seeds is known.

    What shares the trainings of a candidate, as its quantised network does, is given in ``changes``
    by its own number, with that candidate's and what its accuracy is less that of the candidate.
    The noise of the seeds is the same in both; what is left are the images on which they differ.
    """

    def __init__(
        self,
        results: Mapping[int, Sequence[float]],
        *,
        choices: Sequence[Mapping[str, Any]],
        changes: Mapping[int, tuple[int, float]] = MappingProxyType({}),
    ) -> None:
        self._changes = changes
        shifts = np.array([shift for _, shift in changes.values()])
        squares = float(((shifts - shifts.mean()) ** 2).sum()) if changes else 0.0
        degrees = _CHANGE_DEGREES + max(0, len(changes) - 1)
        self._change_sd = math.sqrt((_CHANGE_DEGREES * _CHANGE_SD**2 + squares) / degrees)
        self._place = {number: place for place, number in enumerate(results)}
        means = np.array([np.mean(values) for values in results.values()], dtype=np.float64)
        self._count = np.array([len(values) for values in results.values()], dtype=np.float64)
        self.noise_degrees = sum(len(values) - 1 for values in results.values())
        pairs = zip(results.values(), means, strict=True)
        squares = float(sum(((np.asarray(v) - mean) ** 2).sum() for v, mean in pairs))
        deviation = float(means.std(ddof=1)) if len(means) > 1 else 0.0
        self._spread = max(deviation, _LEAST_SD)  # between the candidates, noise included
        self._centre = float(means.mean())
        self._y = (means - self._centre) / self._spread
        self._features = ChoiceFeatures(choices)
        single = self._features.rows(choices)
        self._products = Products(single)
        self._x = self._rows(single)
        self._nodes = self._noise_nodes(squares)
        straight = self._scale(STRAIGHT, near=self._y)
        first = self._nodes_of(straight)
        near, _ = self._moments_at(first[int(np.argmax(self._logs(first)))])
        others = [self._scale(warping, near=near) for warping in WARPINGS]
        self._grid = [*first, *(node for scale in others for node in self._nodes_of(scale))]

    @cached_property
    def noise_sd(self) -> float:
        """Standard deviation between seeds, as believed."""
        variances = np.array([node.noise for node in self._grid])
        return float(np.sqrt(self._weights @ variances)) * self._spread

    def draw(
        self,
        number: int,
        *,
        of: Sequence[int],
        rng: np.random.Generator,
        unseen: Sequence[Mapping[str, Any]] = (),
    ) -> Floats:
        """Joint draws of true accuracies, (number, len(of) + len(unseen)), the unseen last."""
        if not self._changes:
            return self._drawn(number, of=of, rng=rng, unseen=unseen)
        trained = [self._changes.get(one, (one, 0.0)) for one in of]
        own = list(dict.fromkeys(candidate for candidate, _ in trained))
        drawn = self._drawn(number, of=own, rng=rng, unseen=unseen)
        places = [own.index(candidate) for candidate, _ in trained]
        found = drawn[:, [*places, *range(len(own), drawn.shape[1])]]
        for place, (one, (_, shift)) in enumerate(zip(of, trained, strict=True)):
            if one in self._changes:
                found[:, place] += shift + self._change_sd * rng.standard_normal(number)
        return found

    def _drawn(
        self,
        number: int,
        *,
        of: Sequence[int],
        rng: np.random.Generator,
        unseen: Sequence[Mapping[str, Any]],
    ) -> Floats:
        """``draw`` of candidates that were trained."""
        drawn = np.empty((number, len(of) + len(unseen)))
        places = [self._place[candidate] for candidate in of]
        x, others = self._x[places], self._rows(self._features.rows(unseen))
        for rows, node, beta in self._coefficients(number, rng):
            variance = node.noise / node.scale.count[places]
            weight = node.own / (node.own + variance)
            mean = weight * node.scale.warped[places] + (1 - weight) * (beta @ x.T)
            seen = mean + np.sqrt(weight * variance) * rng.standard_normal(mean.shape)
            new = beta @ others.T
            new += np.sqrt(node.own) * rng.standard_normal(new.shape)
            drawn[rows] = node.scale.warping.unwarped(node.scale.size * np.hstack([seen, new]))
        return self._centre + self._spread * drawn

    def moments(self) -> dict[int, tuple[float, float]]:
        """Candidate to mean and standard deviation of its true accuracy."""
        chosen = np.searchsorted(np.cumsum(self._weights), (np.arange(_NODES) + 0.5) / _NODES)
        nodes, times = np.unique(np.minimum(chosen, len(self._grid) - 1), return_counts=True)
        found = [self._moments_at(self._grid[node]) for node in nodes]
        means, variances = (np.stack(column) for column in zip(*found, strict=True))
        shares = times / _NODES
        mean = shares @ means
        sd = np.sqrt(shares @ (variances + means**2) - mean**2)
        means, sds = self._centre + self._spread * mean, self._spread * sd
        known = {n: (float(means[place]), float(sds[place])) for n, place in self._place.items()}
        for one, (candidate, shift) in self._changes.items():
            middle, wide = known[candidate]
            known[one] = middle + shift, math.hypot(wide, self._change_sd)
        return known

    def _moments_at(self, node: _Node) -> tuple[Floats, Floats]:
        """Mean and variance at one node, in spreads from the centre."""
        mean, factor = self._regression(node)
        variance = node.noise / node.scale.count
        weight = node.own / (node.own + variance)
        around = np.linalg.solve(factor, self._x.T)
        centre = weight * node.scale.warped + (1 - weight) * (self._x @ mean)
        wide = weight * variance + (1 - weight) ** 2 * (around**2).sum(axis=0)
        return node.scale.warping.moments(node.scale.size * centre, node.scale.size**2 * wide)

    def _scale(self, warping: Warping, *, near: Floats) -> _Scale:
        """The accuracies on one scale, where a seed's noise is as large as the slope near them."""
        warped = warping.warped(self._y)
        size = 1.0 if warping == STRAIGHT else float(warped.std()) or 1.0
        count = self._count * (size / warping.slope(near)) ** 2
        if warping != STRAIGHT:
            count = 2.0 ** (np.round(_LEVELS * np.log2(count)) / _LEVELS)
        groups = []
        for level in np.unique(count):
            x, y = self._x[count == level], (warped / size)[count == level]
            groups.append(_Group(level, len(y), x.T @ x, x.T @ y, float(y @ y)))
        return _Scale(
            warping=warping,
            size=size,
            warped=warped / size,
            count=count,
            groups=groups,
            log_slope=float(np.log(warping.slope(self._y) / size).sum()),
        )

    def _rows(self, single: Floats) -> Floats:
        """What the regression sees: a one, the features, their products."""
        return np.column_stack([np.ones(len(single)), single, self._products.rows(single)])

    def _noise_nodes(self, squares: float) -> Floats:
        """Variances of the noise, in squared spreads, equally likely by the seeds alone."""
        degrees = _NOISE_DEGREES + self.noise_degrees
        squares = _NOISE_DEGREES * _NOISE_SHARE**2 + squares / self._spread**2
        draws = squares / np.random.default_rng(0).chisquare(degrees, size=4000)
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
    def _weights(self) -> Floats:
        """How likely each node of the grid is, by what was seen; their sum is 1."""
        log = self._logs(self._grid)
        weights = np.exp(log - log.max())
        return np.asarray(weights / weights.sum(), dtype=np.float64)

    def _logs(self, grid: Sequence[_Node]) -> Floats:
        """Log likelihoods of what was seen."""
        alike = len(_SINGLE) * len(_PAIRED)
        parts = [grid[start : start + alike] for start in range(0, len(grid), alike)]
        return np.concatenate([self._log_likelihoods(part) for part in parts])

    def _log_likelihoods(self, nodes: Sequence[_Node]) -> Floats:
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

    def _prior(self, node: _Node) -> Floats:
        """Variance of each coefficient before anything was seen, (p,)."""
        prior = np.full(self._x.shape[1], node.paired)
        prior[0] = _INTERCEPT_SD**2
        prior[1 : 1 + len(self._features.columns)] = node.single
        return prior

    def _sums(self, node: _Node) -> tuple[Floats, Floats, float, float]:
        """X'X (p, p), X'y (p,), y'y by each candidate's precision; its summed log variance."""
        groups = node.scale.groups
        variance = [node.own + node.noise / group.count for group in groups]
        weighed = list(zip(groups, variance, strict=True))
        xx = np.sum([group.xx / variance for group, variance in weighed], axis=0)
        xy = np.sum([group.xy / variance for group, variance in weighed], axis=0)
        yy = sum(group.yy / variance for group, variance in weighed)
        return xx, xy, yy, sum(group.size * float(np.log(variance)) for group, variance in weighed)

    def _regression(self, node: _Node) -> tuple[Floats, Floats]:
        """Mean of the coefficients and the Cholesky factor of their precision."""
        xx, xy, _, _ = self._sums(node)
        factor = np.linalg.cholesky(xx + np.diag(1 / self._prior(node)))
        mean = np.linalg.solve(factor.T, np.linalg.solve(factor, xy))
        return mean, np.asarray(factor, dtype=np.float64)

    def _coefficients(
        self, number: int, rng: np.random.Generator
    ) -> list[tuple[NDArray[np.intp], _Node, Floats]]:
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


@dataclass(frozen=True)
class _Group:
    """Sums over the candidates that count as one number of trainings."""

    count: float
    size: int
    xx: Floats
    xy: Floats
    yy: float


@dataclass(frozen=True)
class _Scale:
    """What was seen, on one scale."""

    warping: Warping  # from spreads off the mean
    size: float  # spread on the warped scale; what follows is in it
    warped: Floats  # mean of each candidate's results, (n,)
    count: Floats  # as how many trainings they count, by the slope of the warping, (n,)
    groups: Sequence[_Group]  # of candidates that count alike
    log_slope: float  # summed: likelihoods are of what was seen, not of its warping


class _Node(NamedTuple):
    """Variances in squared spreads: of a seed, of single choices, of pairs, of the own part."""

    scale: _Scale
    noise: float
    single: float
    paired: float
    own: float


def accuracy_model_of(trials: Sequence[TrialRecord]) -> AccuracyModel:
    """What is believed of the trials of a study that were trained to the end, one at least."""
    ended = {record.number: record for record in trials if is_trained(record)}
    shared = {n: record.design for n, record in ended.items() if record.design in ended}
    own = [record for number, record in ended.items() if number not in shared]
    results = {record.number: list(final_accuracies(record).values()) for record in own}
    reached = {number: record.proxy_accuracy or 0.0 for number, record in ended.items()}
    return AccuracyModel(
        results,
        choices=[record.choices for record in own],
        changes={
            n: (one, reached[n] - reached[one]) for n, one in shared.items() if one is not None
        },
    )


def is_trained(record: TrialRecord) -> bool:
    """Was it trained to the last rung?"""
    return record.state == "complete" and record.proxy_accuracy is not None
