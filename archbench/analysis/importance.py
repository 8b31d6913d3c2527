"""Which choices matter, for accuracy at equal cost and for the cost, and where do bounds cut?

What share of a variance each choice explains comes from a ridge over one-hot choices, whose penalty
is chosen by leaving one out. Intervals are percentiles of a bootstrap over trials; beyond 1,000
trials over 1,000 groups of them that chance puts together, whose sums vary as those of single
trials do (the cluster bootstrap: Davison and Hinkley 1997, Bootstrap Methods, sec. 3.8). What is
separable is held against the largest share under permutations of what the cost leaves (Freedman
and Lane 1983, J. Business & Economic Statistics 1, 292-298).

Legend: n trials, p columns (a value of an axis each), k columns of the nuisance's basis,
R bootstrap draws or permutations.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from archbench.analysis.accuracy_model import is_trained
from archbench.analysis.front import FrontRule
from archbench.analysis.statistics import Estimate, Floats
from archbench.bounds import is_number
from archbench.one_thread import one_thread
from archbench.study.objective import objective_value
from archbench.study.trial import TrialRecord

FEWEST = 16
"""Trained trials below which nothing is said of single choices."""

_SHOWN_PAIRS = 5
_DEGREE = 3
_SURE = 0.05
_FEW = 6  # trials that a value needs before it is called useless
_DRAWS = 300  # of the bootstrap, and permutations
_UNITS = 1000  # that the bootstrap draws from: trials, or groups of them where there are more
_PENALTIES = np.geomspace(0.1, 1000, 13)


@dataclass(frozen=True, kw_only=True)
class FactorShare:
    """Which share of the variance one axis explains, and what each value does beside the mean."""

    axis: str
    share: Estimate
    is_separable: bool  # the share is more than the best axis has in 95 of 100 orders by chance
    effects: Mapping[Any, Estimate]
    counts: Mapping[Any, int]  # of the trials that have a value


@dataclass(frozen=True, kw_only=True)
class PairShare:
    """What two axes explain together beyond what each explains alone, separable as for one."""

    axes: tuple[str, str]
    share: float
    is_separable: bool


@dataclass(frozen=True, kw_only=True)
class Bound:
    """An end of an axis, ``largest`` or ``smallest``, where the front lies."""

    axis: str
    value: Any
    end: str
    on_front: int  # members of the front with this value
    of_front: int  # members of the front that have the axis
    share: float  # with this value, of all trained trials that have the axis


@dataclass(frozen=True, kw_only=True)
class Useless:
    """A value that no member of the front has and that loses accuracy to the best at equal cost."""

    axis: str
    value: Any
    tried: int  # by so many trained trials
    loss: float


@dataclass(frozen=True, kw_only=True)
class Insight:
    """What the trials of a study that were trained to the end say of its choices."""

    num_trials: int
    cost: str
    accuracy: tuple[FactorShare, ...] = ()  # where the cost is held equal, the largest first
    pairs: tuple[PairShare, ...] = ()
    costs: tuple[FactorShare, ...] = ()  # of the logarithm of the cost, likewise
    bounds: tuple[Bound, ...] = ()
    useless: tuple[Useless, ...] = ()
    # with which the largest share in accuracy would be separable if it stayed as it is; None where
    # one is, or where there are too few trials to say
    trials_needed: int | None = None

    @property
    def is_told(self) -> bool:
        """Whether there are trials enough to say anything of single choices."""
        return self.num_trials >= FEWEST

    def document(self) -> dict[str, Any]:
        """JSON-able, with values as text."""
        found = asdict(self)
        for factor in (*found["accuracy"], *found["costs"]):
            for key in ("effects", "counts"):
                factor[key] = {str(value): of for value, of in factor[key].items()}
        return found


@one_thread()
def insight(
    trials: Sequence[TrialRecord],
    front: Sequence[TrialRecord],
    *,
    rule: FrontRule,
    axes: Mapping[str, Sequence[Any]],
) -> Insight:
    """What the trained trials of a study say; choices that chance could explain are not separable.

    The axes have all their values as tables show them; where one is missing, those that were tried
    stand for it.
    """
    others = sorted(rule.objectives.items(), key=lambda entry: entry[1] != "min")
    cost = next(name for name, _ in others if name != "proxy_accuracy")
    trained = [
        _plain(record)
        for record in trials
        if is_trained(record) and (objective_value(record, cost) or 0) > 0
    ]
    if len(trained) < FEWEST:
        return Insight(num_trials=len(trained), cost=cost)
    front = [_plain(record) for record in front]
    design = _ChoiceMatrix([record.choices for record in trained])
    log_cost = np.log([float(objective_value(record, cost) or 1.0) for record in trained])
    centred = log_cost - log_cost.mean()
    scaled = centred / (np.abs(centred).max() or 1.0)
    powers = np.stack([scaled**power for power in range(_DEGREE + 1)], axis=1)
    reached = np.array([record.proxy_accuracy or 0.0 for record in trained])
    accuracy, pairs, bar = _shares(design, reached, nuisance=powers, with_pairs=True)
    costs, *_ = _shares(design, log_cost, nuisance=np.ones((len(trained), 1)), with_pairs=False)
    return Insight(
        num_trials=len(trained),
        cost=cost,
        accuracy=tuple(accuracy),
        pairs=tuple(pairs[:_SHOWN_PAIRS]),
        costs=tuple(costs),
        bounds=tuple(_bounds(trained, front, axes=axes)),
        useless=tuple(_useless(accuracy, front)),
        trials_needed=_needed(accuracy, bar=bar, num=len(trained)),
    )


def _needed(factors: Sequence[FactorShare], *, bar: float, num: int) -> int | None:
    """Trials with which the largest share would pass the bar, which falls as their reciprocal."""
    share = factors[0].share.value if factors else 0.0
    if share <= 0.0 or factors[0].is_separable:
        return None
    return math.ceil(num * bar / share / 10) * 10


def _bounds(
    trained: Sequence[TrialRecord],
    front: Sequence[TrialRecord],
    *,
    axes: Mapping[str, Sequence[Any]],
) -> list[Bound]:
    """Ends where more of the front lies than the trials would place there by chance."""
    tried: dict[str, list[Any]] = {}
    for record in trained:
        for axis, value in record.choices.items():
            tried.setdefault(axis, []).append(value)
    found = []
    for axis, seen in tried.items():
        values = [v for v in axes.get(axis, sorted({*seen}, key=str)) if is_number(v)]
        having = [record.choices[axis] for record in front if axis in record.choices]
        if len(values) < 2 or len(values) < len({*seen}) or len(having) < 3:
            continue
        for end, value in (("largest", max(values)), ("smallest", min(values))):
            count, share = having.count(value), seen.count(value) / len(seen)
            if 2 * count > len(having) and _at_least(count, len(having), share) < _SURE:
                found.append(
                    Bound(
                        axis=axis, value=value, end=end, on_front=count, of_front=len(having),
                        share=share,
                    )
                )  # fmt: skip
    return found


def _useless(accuracy: Sequence[FactorShare], front: Sequence[TrialRecord]) -> list[Useless]:
    """Values of separable axes whose effect lies wholly below that of another, off the front."""
    found = []
    for factor in accuracy:
        if not factor.is_separable or not front:
            continue
        best = max(factor.effects.values(), key=lambda effect: effect.value)
        for value, effect in factor.effects.items():
            is_there = any(record.choices.get(factor.axis) == value for record in front)
            tried, loss = factor.counts[value], best.value - effect.value
            if not is_there and tried >= _FEW and effect.high < best.low:
                found.append(Useless(axis=factor.axis, value=value, tried=tried, loss=loss))
    return found


def _plain(record: TrialRecord) -> TrialRecord:
    """The record with every choice a plain value; parts as text."""
    choices = {
        axis: value if isinstance(value, str | int | float) else str(value)
        for axis, value in record.choices.items()
    }
    return replace(record, choices=choices)


def _at_least(count: int, total: int, share: float) -> float:
    """The chance of so many or more of a binomial."""
    return sum(
        math.comb(total, k) * share**k * (1 - share) ** (total - k) for k in range(count, total + 1)
    )


class _ChoiceMatrix:
    """Choices as 0 and 1 (n, p), a column a value of an axis that varies; inactive is all 0."""

    def __init__(self, trials: Sequence[Mapping[str, Any]]) -> None:
        met: dict[str, dict[Any, None]] = {}
        for choices in trials:
            for axis, value in choices.items():
                met.setdefault(axis, {})[value] = None
        self.axes = {axis: list(values) for axis, values in met.items() if len(values) > 1}
        ends = np.cumsum([0, *map(len, self.axes.values())]).tolist()
        slices = itertools.starmap(slice, itertools.pairwise(ends))
        self.columns = dict(zip(self.axes, slices, strict=True))
        pairs = [(axis, value) for axis, values in self.axes.items() for value in values]
        rows = [[axis in c and c[axis] == value for axis, value in pairs] for c in trials]
        self.matrix = np.array(rows, dtype=np.float64).reshape(len(trials), -1)


def _shares(
    design: _ChoiceMatrix, values: Floats, *, nuisance: Floats, with_pairs: bool
) -> tuple[list[FactorShare], list[PairShare], float]:
    """The share of the values' variance of every axis and, if wanted, every pair, largest first.

    The nuisance (n, q), a column of ones among it, is taken out of both sides first. Last comes the
    share that an axis must exceed to be separable.
    """
    if not design.axes:
        return [], [], 0.0
    rng = np.random.default_rng(0)
    basis = _basis(nuisance)
    matrix, rest = _without(design.matrix, basis), _without(values[:, None], basis)[:, 0]
    gram, penalty = matrix.T @ matrix, _penalty(matrix, rest)
    weights = _solved(gram, matrix.T @ rest[:, None], penalty=penalty)
    total = float(rest @ rest) or 1.0
    parts = _parts(design, gram, weights, total=total)[:, 0]
    permuted = np.stack([matrix.T @ rng.permutation(rest) for _ in range(_DRAWS)], axis=1)
    by_chance = _solved(gram, permuted, penalty=penalty)
    bar = float(np.quantile(_parts(design, gram, by_chance, total=total).max(0), 0.95))
    products = _drawn_products(np.column_stack([basis, matrix, rest]), rng=rng)
    again = [_drawn(design, one, basis.shape[1], penalty=penalty) for one in products]
    parts_again, weights_again = map(np.array, zip(*again, strict=True))  # (R, axes), (R, p)
    factors = []
    for index, (axis, columns) in enumerate(design.columns.items()):
        frequency = design.matrix[:, columns].mean(0)
        own = _centred(weights[columns, 0], frequency)
        others = _centred(weights_again[:, columns], frequency)
        effects = [Estimate.of_draws(of, value=one) for of, one in zip(others.T, own, strict=True)]
        counts = design.matrix[:, columns].sum(0).astype(int).tolist()
        factors.append(
            FactorShare(
                axis=axis,
                share=Estimate.of_draws(parts_again[:, index], value=float(parts[index])),
                is_separable=bool(parts[index] > bar),
                effects=dict(zip(design.axes[axis], effects, strict=True)),
                counts=dict(zip(design.axes[axis], counts, strict=True)),
            )
        )
    left, pairs = rest - matrix @ weights[:, 0], []
    if with_pairs:
        pairs = _pairs(design, left, penalty=penalty, total=total, rng=rng)
    return sorted(factors, key=lambda factor: -factor.share.value), pairs, bar


def _pairs(
    design: _ChoiceMatrix, left: Floats, *, penalty: float, total: float, rng: np.random.Generator
) -> list[PairShare]:
    """What the cells of two axes explain of what both leave, against the best pair by chance."""
    permuted = np.stack([left, *(rng.permutation(left) for _ in range(_DRAWS))], axis=1)
    found = []
    for one, other in itertools.combinations(design.axes, 2):
        a, b = design.matrix[:, design.columns[one]], design.matrix[:, design.columns[other]]
        cells = (a[:, :, None] * b[:, None, :]).reshape(len(left), -1)
        cells = cells[:, cells.sum(0) > 0]
        sums, counts = cells.T @ permuted, cells.sum(0)[:, None]
        means = sums / (counts + penalty)  # (cells, R)
        found.append(((one, other), (counts * means**2).sum(0) / total))
    if not found:
        return []
    bar = float(np.quantile(np.max([parts[1:] for _, parts in found], axis=0), 0.95))
    pairs = [
        PairShare(axes=axes, share=float(parts[0]), is_separable=float(parts[0]) > bar)
        for axes, parts in found
    ]
    return sorted(pairs, key=lambda pair: -pair.share)


def _drawn_products(table: Floats, *, rng: np.random.Generator) -> Floats:
    """What the columns (n, c) of drawn trials have as products of each two, (R, c, c).

    Sums over the groups are made once, so that a draw costs no more for many trials.
    """
    num_units = min(len(table), _UNITS)
    if num_units < len(table):
        table = table[rng.permutation(len(table))]
    starts = np.linspace(0, len(table), num_units, endpoint=False).astype(np.intp)
    drawn = rng.integers(0, num_units, (_DRAWS, num_units))
    times = np.stack([np.bincount(units, minlength=num_units) for units in drawn]).astype(float)
    products = np.empty((_DRAWS, table.shape[1], table.shape[1]))
    for column in range(table.shape[1]):
        sums = np.add.reduceat(table[:, column, None] * table, starts, axis=0)  # (units, c)
        products[:, column] = times @ sums
    return products


def _drawn(
    design: _ChoiceMatrix, products: Floats, size: int, *, penalty: float
) -> tuple[Floats, Floats]:
    """Shares (axes,) and weights (p,) of trials that were drawn, the first columns taken out.

    The products are those of the nuisance's columns, so many, the matrix's and the values, which
    is all that a regression on the first ones needs (Frisch and Waugh 1933).
    """
    first, across = products[:size, :size], products[:size, size:]
    inverse = np.linalg.pinv(first, rcond=1e-10, hermitian=True)
    left = products[size:, size:] - across.T @ inverse @ across
    gram, total = left[:-1, :-1], max(float(left[-1, -1]), 0.0) or 1.0
    weights = _solved(gram, left[:-1, -1:], penalty=penalty)
    return _parts(design, gram, weights, total=total)[:, 0], weights[:, 0]


def _parts(design: _ChoiceMatrix, gram: Floats, weights: Floats, *, total: float) -> Floats:
    """What the part of each axis explains (axes, R), by the sum of its squares."""
    every = [(weights[c] * (gram[c, c] @ weights[c])).sum(0) for c in design.columns.values()]
    return np.stack(every) / total


def _centred(weights: Floats, frequency: Floats) -> Floats:
    """Effects of the values beside their mean over the trials that have the axis."""
    mean = (frequency * weights).sum(-1, keepdims=True) / max(frequency.sum(), 1e-12)
    return np.asarray(weights - mean)


def _solved(gram: Floats, products: Floats, *, penalty: float) -> Floats:
    """Weights (p, R) of a ridge, by the columns' products with each other and with the values."""
    return np.asarray(np.linalg.solve(gram + penalty * np.eye(len(gram)), products))


def _penalty(matrix: Floats, values: Floats) -> float:
    """The penalty with the least squared error of leaving one out, in closed form."""
    left, kept, _ = np.linalg.svd(matrix, full_matrices=False)
    projected = left.T @ values
    errors = []
    for penalty in _PENALTIES:
        shrunk = kept**2 / (kept**2 + penalty)
        leverage = (left**2 * shrunk).sum(1)
        left_out = (values - left @ (shrunk * projected)) / (1 - leverage)
        errors.append(float(np.mean(left_out**2)))
    return float(_PENALTIES[int(np.argmin(errors))])


def _basis(nuisance: Floats) -> Floats:
    """Orthonormal columns (n, k) that span the nuisance."""
    left, kept, _ = np.linalg.svd(nuisance, full_matrices=False)
    return np.asarray(left[:, kept > 1e-9 * kept[0]])


def _without(values: Floats, basis: Floats) -> Floats:
    return np.asarray(values - basis @ (basis.T @ values))
