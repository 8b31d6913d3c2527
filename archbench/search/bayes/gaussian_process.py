"""How good is a candidate that nobody has trained: a Gaussian process over its encoding.

The covariance of two candidates is a constant, a linear part (main effects of every axis), one
for log cost, the square of both together (pairs of axes, and what an axis is worth at which cost),
and a Matern-5/2 part with a length for each axis (what is beyond that). Lengths are wide by
default, which is what keeps many axes tractable (Hvarfner et al. 2024, arXiv:2402.02229); all are
fitted by marginal likelihood with priors, gradients in closed form.

n points, m candidates, G groups of columns, one for each axis and cost.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, optimize

Array = NDArray[np.float64]

_ROOT5 = math.sqrt(5.0)
_JITTER = 1e-8
_MAX_ITERATIONS = 60
_BLOCK = 128
_CONSTANT = 1.0  # variance of the mean of standardised values


@dataclass(frozen=True)
class Features:
    """Candidates as the covariance sees them."""

    distance: Array  # (n, q) columns whose weighted squared distances the Matern part reads
    group: NDArray[np.intp]  # (q,) which length each of them has
    linear: Array  # (n, r) main effects, scaled to mean squared norm one
    cost: Array  # (n, k) standardised log costs

    def __len__(self) -> int:
        return len(self.distance)

    def __getitem__(self, rows: NDArray[np.intp] | NDArray[np.bool_] | slice) -> Features:
        return Features(self.distance[rows], self.group, self.linear[rows], self.cost[rows])

    @cached_property
    def num_groups(self) -> int:
        """How many lengths there are."""
        return int(self.group.max()) + 1 if len(self.group) else 0

    @property
    def cost_as_axis(self) -> float:
        """By what a product of costs is multiplied to count like a main effect of one axis."""
        return 1.0 / max(1, self.num_groups - self.cost.shape[1])


@dataclass(frozen=True)
class Hyperparameters:
    """Of the covariance, for values of mean zero and variance one: lengths, then variances."""

    length: Array  # (G,) of the Matern part; the larger, the less an axis matters to it
    amplitude: float  # of the Matern part
    linear: float  # of the main effects together
    cost: float  # of the part linear in log cost
    noise: float  # of one observation of weight one
    pairs: float  # of the products of two main effects, or of one and log cost

    @property
    def vector(self) -> Array:
        """Logarithms, in the order that ``of`` takes."""
        rest = [self.amplitude, self.linear, self.cost, self.noise, self.pairs]
        return np.log(np.concatenate([self.length, rest]))

    @classmethod
    def of(cls, vector: Array) -> Hyperparameters:
        """From logarithms."""
        values = np.exp(vector)
        return cls(values[:-5], *(float(v) for v in values[-5:]))


def prior(num_groups: int) -> tuple[Hyperparameters, Array]:
    """The most likely hyperparameters before any value, and the spread of their logarithms."""
    centre = Hyperparameters(
        length=np.full(num_groups, 0.8 * math.sqrt(max(1, num_groups))),
        amplitude=0.5,
        linear=0.5,
        cost=0.5,
        noise=0.03,
        pairs=0.3,
    )
    return centre, np.array([1.0] * num_groups + [1.0, 1.5, 1.5, 1.5, 1.5])


def fit(features: Features, values: Array, *, weights: Array) -> Hyperparameters:
    """The hyperparameters that explain n values best, given their priors.

    The weights say how many times the noise of one observation each value has, (n,).
    """
    centre, spread = prior(features.num_groups)
    if not len(values):
        return centre
    mean = centre.vector
    parts = _parts(features)
    standard, _, _ = _standardised(values)

    def loss(vector: Array) -> tuple[float, Array]:
        value, gradient = _negative_log_likelihood(vector, parts, values=standard, weights=weights)
        off = (vector - mean) / spread
        return value + 0.5 * float(off @ off), gradient + off / spread

    found = optimize.minimize(
        loss,
        mean,
        jac=True,
        method="L-BFGS-B",
        bounds=[(m - 6 * s, m + 6 * s) for m, s in zip(mean, spread, strict=True)],
        options={"maxiter": _MAX_ITERATIONS, "ftol": 1e-6},
    )
    return Hyperparameters.of(found.x)


class Posterior:
    """What is expected of every candidate after n were seen, with weights as ``fit`` takes them."""

    def __init__(
        self, features: Features, values: Array, *, weights: Array, hyperparameters: Hyperparameters
    ) -> None:
        self._features = features
        self._hyper = hyperparameters
        covariance = _covariance(features, features, hyperparameters)
        covariance[np.diag_indices_from(covariance)] += hyperparameters.noise * weights + _JITTER
        self._factor = linalg.cholesky(covariance, lower=True, check_finite=False)
        standard, self._centre, self._scale = _standardised(values)
        self._alpha = linalg.cho_solve((self._factor, True), standard, check_finite=False)

    def mean(self, features: Features) -> Array:
        """(m,) expected values."""
        across = _covariance(features, self._features, self._hyper)
        result: Array = self._centre + self._scale * (across @ self._alpha)
        return result

    def mean_and_deviation(self, features: Features) -> tuple[Array, Array]:
        """(m,) expected values and standard deviations, noise left out."""
        across = _covariance(features, self._features, self._hyper)
        mean = across @ self._alpha
        half = linalg.solve_triangular(
            self._factor, across.T, lower=True, check_finite=False, overwrite_b=True
        )
        variance = _own_variance(features, self._hyper) - np.einsum("ij,ij->j", half, half)
        deviation = np.sqrt(np.maximum(variance, 1e-12))
        return self._centre + self._scale * mean, self._scale * deviation


def _covariance(a: Features, b: Features, hyper: Hyperparameters) -> Array:
    """(m, n) covariances of two sets of candidates, by blocks that stay in a core's cache."""
    begins = range(0, max(1, len(a)), _BLOCK)
    return np.concatenate([_block(a[begin : begin + _BLOCK], b, hyper) for begin in begins])


def _block(a: Features, b: Features, hyper: Hyperparameters) -> Array:
    per_column = 1.0 / hyper.length[a.group]
    x, y = a.distance * per_column, b.distance * per_column
    squared = x @ y.T
    squared *= -2.0
    squared += np.einsum("ij,ij->i", x, x)[:, None]
    squared += np.einsum("ij,ij->i", y, y)[None, :]
    np.maximum(squared, 0.0, out=squared)
    root = np.sqrt(squared)
    root *= _ROOT5
    squared *= 5.0 / 3.0
    squared += root
    squared += 1.0
    np.negative(root, out=root)
    squared *= np.exp(root, out=root)
    squared *= hyper.amplitude
    squared += _CONSTANT
    linear, cost = a.linear @ b.linear.T, a.cost @ b.cost.T
    squared += hyper.linear * linear
    squared += hyper.cost * cost
    cost *= a.cost_as_axis
    linear += cost
    linear *= linear
    linear *= hyper.pairs
    squared += linear
    result: Array = squared
    return result


def _own_variance(features: Features, hyper: Hyperparameters) -> Array:
    linear = np.einsum("ij,ij->i", features.linear, features.linear)
    cost = np.einsum("ij,ij->i", features.cost, features.cost)
    pairs = (linear + features.cost_as_axis * cost) ** 2
    own = hyper.amplitude + _CONSTANT + hyper.linear * linear + hyper.cost * cost
    result: Array = own + hyper.pairs * pairs
    return result


def _parts(features: Features) -> tuple[Array, Array, Array, Array]:
    """What the likelihood needs of the points, however often it is asked.

    Squared distances by group (G, n, n), products of the main effects, of log costs, and the
    squares of both together, (n, n) each.
    """
    groups = []
    for group in range(features.num_groups):
        columns = features.distance[:, features.group == group]
        difference = columns[:, None, :] - columns[None, :, :]
        groups.append(np.einsum("ijk,ijk->ij", difference, difference))
    linear, cost = features.linear @ features.linear.T, features.cost @ features.cost.T
    return np.stack(groups), linear, cost, (linear + features.cost_as_axis * cost) ** 2


def _standardised(values: Array) -> tuple[Array, float, float]:
    """The values less their mean by their spread, and both."""
    centre, deviation = float(values.mean()), float(values.std())
    scale = deviation if deviation > 1e-12 else 1.0
    return (values - centre) / scale, centre, scale


def _negative_log_likelihood(
    vector: Array, parts: tuple[Array, Array, Array, Array], *, values: Array, weights: Array
) -> tuple[float, Array]:
    """Of the values, and its gradient by the logarithms of the hyperparameters."""
    hyper = Hyperparameters.of(vector)
    squared, linear, cost, pairs = parts
    inverse_square = hyper.length**-2.0
    root = _ROOT5 * np.sqrt(np.tensordot(inverse_square, squared, axes=1))
    decay = np.exp(-root)
    matern = (1.0 + root + root**2 / 3.0) * decay
    covariance = hyper.amplitude * matern + hyper.linear * linear + hyper.cost * cost
    covariance += hyper.pairs * pairs + _CONSTANT
    covariance[np.diag_indices_from(covariance)] += hyper.noise * weights + _JITTER
    factor = linalg.cholesky(covariance, lower=True, check_finite=False)
    inverse, _ = linalg.lapack.dpotri(factor, lower=1)
    inverse = np.tril(inverse) + np.tril(inverse, -1).T
    alpha = inverse @ values
    likelihood = 0.5 * float(values @ alpha) + float(np.log(np.diag(factor)).sum())
    outer = inverse - np.outer(alpha, alpha)
    slope = hyper.amplitude * (5.0 / 3.0) * (1.0 + root) * decay * outer
    by_length = inverse_square * np.tensordot(squared, slope, axes=2)
    rest = [
        hyper.amplitude * np.vdot(outer, matern),
        hyper.linear * np.vdot(outer, linear),
        hyper.cost * np.vdot(outer, cost),
        hyper.noise * float(np.diag(outer) @ weights),
        hyper.pairs * np.vdot(outer, pairs),
    ]
    return likelihood, 0.5 * np.concatenate([by_length, rest])
