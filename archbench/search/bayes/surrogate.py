"""What is expected of candidates, given what became of others.

A surrogate is a Gaussian process over codes and known facts. Its hyperparameters are fitted again
whenever there is a tenth more to learn from, always to the first so many observations: so a
search that was interrupted goes on with the same surrogates.

n observations, m candidates, D axes, f facts, k costs.
"""

from collections.abc import MutableMapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archbench.search.bayes import gaussian_process
from archbench.search.bayes.encoding import Encoding
from archbench.search.bayes.gaussian_process import Features, Hyperparameters, Posterior
from archbench.search.bayes.improvement import front_members

Array = NDArray[np.float64]
Rows = NDArray[np.intp]

_GROWTH = 1.1
_FIRST_FIT = 5
_FITTED_TO = 200  # observations at most; the likelihood takes their number to the third power
_KNOWN = 400  # observations at most that a surrogate rests on
_NEAR_FRONT = 2 / 3  # of these, how many for being near the front
_OUTLIER = 3.0  # robust standard deviations below the trend in cost
_MAD = 1.4826
_TYPICAL_NOISE = 0.03  # of the variance between candidates
_FEWEST_CURVES = 5


class Curve:
    """The accuracies of a partial evaluation, by seed and epoch, summed up when it is read."""

    def __init__(self, points: Sequence[tuple[int, int, float]] = ()) -> None:
        found: dict[int, list[float]] = {}
        for _, epoch, accuracy in points:
            found.setdefault(epoch, []).append(accuracy)
        self.num_seeds = len({seed for seed, _, _ in points})
        self.means = {epoch: sum(values) / len(values) for epoch, values in found.items()}

    def __bool__(self) -> bool:
        return bool(self.means)


class Surrogate:
    """What is expected of one quantity, by the values (n,) of candidates that were seen.

    Of these are known codes (n, D) and facts (n, f), logarithms where they span orders of
    magnitude. The memory keeps hyperparameters between proposals, under a name.

    Args:
        weights: (n,) how many times the noise of one observation each has, by default once; above
            1 for what was not seen but estimated, from which no hyperparameters are fitted.
        trend: (n, k) costs along whose trend outliers are drawn in; None to leave them.
        rows: Which to rest on, where not all of them.
    """

    def __init__(
        self,
        encoding: Encoding,
        *,
        codes: Array,
        facts: Array,
        values: Array,
        name: str,
        memory: MutableMapping[Any, Any],
        weights: Array | None = None,
        trend: Array | None = None,
        rows: Rows | None = None,
    ) -> None:
        self._encoding = encoding
        weights = np.ones(len(values)) if weights is None else weights
        self._codes, self._facts = codes, facts
        self._raw, self._trend, self._weights = values, trend, weights
        self._values = values if trend is None else without_outliers(values, trend)
        seen = np.flatnonzero(weights <= 1.0)
        count = _milestone(len(seen))
        key = (name, count, len(encoding), facts.shape[1])
        if key not in memory:
            memory[key] = self._fitted(seen[:count])
        self._hyper, self._fact_centre, self._fact_scale = memory[key]
        if rows is not None:
            self._codes, self._facts = codes[rows], facts[rows]
            self._values, self._weights = self._values[rows], weights[rows]
        self._posterior = self._given()

    def predicted(self, codes: Array, facts: Array) -> tuple[Array, Array]:
        """(m,) expected values, and (m,) standard deviations without noise."""
        return self._posterior.mean_and_deviation(self._features(codes, facts))

    def expected(self, codes: Array, facts: Array) -> Array:
        """(m,) expected values."""
        return self._posterior.mean(self._features(codes, facts))

    def assume(self, codes: Array, facts: Array) -> Array:
        """Takes as seen what is being evaluated now, at its expected value, which is given."""
        if not len(codes):
            return np.zeros(0)
        expected = self.expected(codes, facts)
        self._codes = np.concatenate([self._codes, codes])
        self._facts = np.concatenate([self._facts, facts])
        self._values = np.concatenate([self._values, expected])
        self._weights = np.concatenate([self._weights, np.ones(len(codes))])
        self._posterior = self._given()
        return expected

    def _given(self) -> Posterior:
        features = self._features(self._codes, self._facts)
        return Posterior(features, self._values, weights=self._weights, hyperparameters=self._hyper)

    def _fitted(self, rows: Rows) -> tuple[Hyperparameters, Array, Array]:
        """Hyperparameters from some observations, and what facts are standardised by."""
        facts = self._facts[rows] if len(rows) else self._facts
        self._fact_centre, scale = facts.mean(axis=0), facts.std(axis=0)
        is_alike = scale <= 1e-9 * (1.0 + abs(self._fact_centre))
        self._fact_scale = np.where(is_alike, np.inf, scale)
        values = self._raw[rows]
        if self._trend is not None:
            values = without_outliers(values, self._trend[rows])
        if len(rows) > _FITTED_TO:
            some = np.unique(np.linspace(0, len(rows) - 1, _FITTED_TO).astype(np.intp))
            rows, values = rows[some], values[some]
        features = self._features(self._codes[rows], self._facts[rows])
        hyper = gaussian_process.fit(features, values, weights=self._weights[rows])
        return hyper, self._fact_centre, self._fact_scale

    def _features(self, codes: Array, facts: Array) -> Features:
        return self._encoding.features(codes, (facts - self._fact_centre) / self._fact_scale)


def without_outliers(values: Array, costs: Array) -> Array:
    """Values that lie far below the trend in cost, drawn up to where they count as bad.

    A network that did not learn says little of how good its neighbours are, and would widen
    every interval around them. The costs (n, k) are on the scale on which the trend is linear.
    """
    if len(values) < _FIRST_FIT:
        return values
    design = np.column_stack([np.ones(len(values)), costs])
    trend = design @ np.linalg.lstsq(design, values, rcond=None)[0]
    above = values - trend
    median = float(np.median(above))
    deviation = _MAD * float(np.median(np.abs(above - median)))
    if deviation <= 0:
        return values
    result: Array = trend + np.maximum(above, median - _OUTLIER * deviation)
    return result


def near_front(costs: Array, values: Array) -> Rows | None:
    """Which of n observations with (n, k) costs to rest on where there are too many: None for all.

    Two thirds are those nearest to the front of the observations, the others are spread evenly
    over the order in which they came.
    """
    if len(values) <= _KNOWN:
        return None
    wanted = int(_KNOWN * _NEAR_FRONT)
    gap = _gap(costs, values)
    nearest = np.argsort(gap, kind="stable")[:wanted]
    others = np.setdiff1d(np.arange(len(values)), nearest)
    spread = others[np.linspace(0, len(others) - 1, _KNOWN - wanted).astype(np.intp)]
    return np.union1d(nearest, spread).astype(np.intp)


def _gap(costs: Array, values: Array) -> Array:
    """(n,) how much better the best is that costs no more."""
    if costs.shape[1] == 0:
        return values.max() - values
    if costs.shape[1] == 1:
        order = np.argsort(costs[:, 0], kind="stable")
        best = np.maximum.accumulate(values[order])
        gap = np.empty(len(values))
        gap[order] = best - values[order]
        return gap
    best = np.full(len(values), -np.inf)
    for member in front_members(costs, values):  # the best is one of these
        is_dearer = (costs >= costs[member]).all(axis=1)
        best[is_dearer] = np.maximum(best[is_dearer], values[member])
    return best - values


def extrapolated(curves: Sequence[Curve], finals: Array) -> tuple[Array, Array]:
    """What unfinished trainings would have come to, by regression over the finished ones.

    The finals (n,) are the last accuracies, NaN where training was not finished. Given are the
    values (n,), still NaN where too little is known, and their weights (n,), see ``Surrogate``.
    """
    values = finals.copy()
    weights = np.array([1.0 / max(1, curve.num_seeds) for curve in curves])
    is_finished = ~np.isnan(finals)
    if not any(curves[row] for row in np.flatnonzero(~is_finished).tolist()):
        return values, weights
    by_epoch = [curve.means for curve in curves]
    spread = float(finals[is_finished].var()) if is_finished.any() else 0.0
    models: dict[int, tuple[float, float, float] | None] = {}
    for row in np.flatnonzero(~is_finished):
        if not by_epoch[row]:
            continue
        epoch = max(by_epoch[row])
        if epoch not in models:
            models[epoch] = _regression(epoch, by_epoch, finals)
        model = models[epoch]
        if model is not None and spread > 0:
            slope, offset, variance = model
            values[row] = offset + slope * by_epoch[row][epoch]
            weights[row] = 1.0 + variance / (_TYPICAL_NOISE * spread)
    return values, weights


def _regression(
    epoch: int, by_epoch: Sequence[dict[int, float]], finals: Array
) -> tuple[float, float, float] | None:
    """Slope, offset and residual variance of the last accuracy by that of an epoch."""
    rows = [row for row, means in enumerate(by_epoch) if epoch in means]
    rows = [row for row in rows if not np.isnan(finals[row])]
    if len(rows) < _FEWEST_CURVES:
        return None
    early = np.array([by_epoch[row][epoch] for row in rows])
    last = finals[rows]
    variance = float(early.var())
    together = float(((early - early.mean()) * (last - last.mean())).mean())
    slope = together / variance if variance else 0.0
    offset = float(last.mean()) - slope * float(early.mean())
    residual = last - offset - slope * early
    return slope, offset, float(residual @ residual) / max(1, len(rows) - 2)


def _milestone(count: int) -> int:
    """The last of 5, 6, 7, ... with steps of a tenth that is no more than the count."""
    if count < _FIRST_FIT:
        return 0
    step = _FIRST_FIT
    while (following := max(step + 1, int(step * _GROWTH))) <= count:
        step = following
    return step
