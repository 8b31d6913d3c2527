"""Which choices matter, for accuracy at equal cost and for the cost, and where do bounds cut?

What share of a variance each choice explains comes from a ridge over one-hot choices, whose penalty
is chosen by leaving one out. Intervals are percentiles of a bootstrap over trials; what is
separable is held against the largest share under permutations of what the cost leaves (Freedman
and Lane 1983, J. Business & Economic Statistics 1, 292-298).

Legend: n trials, p columns (a value of an axis each), R bootstrap draws or permutations.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archbench.analysis.accuracy_model import is_trained
from archbench.analysis.choice_features import is_number
from archbench.analysis.front import FrontRule
from archbench.analysis.statistics import Estimate, Floats
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
    cost = next(name for name, way in rule.objectives.items() if way == "min")
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
    accuracy, pairs = _shares(design, reached, nuisance=powers)
    costs, _ = _shares(design, log_cost, nuisance=np.ones((len(trained), 1)))
    return Insight(
        num_trials=len(trained),
        cost=cost,
        accuracy=tuple(accuracy),
        pairs=tuple(pairs[:_SHOWN_PAIRS]),
        costs=tuple(costs),
        bounds=tuple(_bounds(trained, front, axes=axes)),
        useless=tuple(_useless(accuracy, front)),
    )


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
    design: _ChoiceMatrix, values: Floats, *, nuisance: Floats
) -> tuple[list[FactorShare], list[PairShare]]:
    """The share of the values' variance of every axis and of every pair, largest first.

    The nuisance (n, q), a column of ones among it, is taken out of both sides first.
    """
    if not design.axes:
        return [], []
    rng = np.random.default_rng(0)
    basis = _basis(nuisance)
    matrix, rest = _without(design.matrix, basis), _without(values[:, None], basis)[:, 0]
    penalty = _penalty(matrix, rest)
    weights = _solved(matrix, rest[:, None], penalty=penalty)
    total = float(rest @ rest) or 1.0
    parts = _parts(design, matrix, weights, total=total)[:, 0]
    permuted = np.stack([rng.permutation(rest) for _ in range(_DRAWS)], axis=1)  # (n, R)
    by_chance = _solved(matrix, permuted, penalty=penalty)
    bar = float(np.quantile(_parts(design, matrix, by_chance, total=total).max(0), 0.95))
    drawn = rng.integers(0, len(values), (_DRAWS, len(values)))
    again = [_drawn(design, values, nuisance, rows, penalty=penalty) for rows in drawn]
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
    left = rest - matrix @ weights[:, 0]
    pairs = _pairs(design, left, penalty=penalty, total=total, rng=rng)
    return sorted(factors, key=lambda factor: -factor.share.value), pairs


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


def _drawn(
    design: _ChoiceMatrix,
    values: Floats,
    nuisance: Floats,
    rows: NDArray[np.intp],
    *,
    penalty: float,
) -> tuple[Floats, Floats]:
    """Shares (axes,) and weights (p,) of trials that were drawn."""
    basis = _basis(nuisance[rows])
    matrix = _without(design.matrix[rows], basis)
    rest = _without(values[rows][:, None], basis)
    weights = _solved(matrix, rest, penalty=penalty)
    total = float((rest**2).sum()) or 1.0
    return _parts(design, matrix, weights, total=total)[:, 0], weights[:, 0]


def _parts(design: _ChoiceMatrix, matrix: Floats, weights: Floats, *, total: float) -> Floats:
    """What the part of each axis explains (axes, R), by the sum of its squares."""
    every = [matrix[:, columns] @ weights[columns] for columns in design.columns.values()]
    return np.stack([(part**2).sum(0) / total for part in every])


def _centred(weights: Floats, frequency: Floats) -> Floats:
    """Effects of the values beside their mean over the trials that have the axis."""
    mean = (frequency * weights).sum(-1, keepdims=True) / max(frequency.sum(), 1e-12)
    return np.asarray(weights - mean)


def _solved(matrix: Floats, values: Floats, *, penalty: float) -> Floats:
    """Weights (p, R) of a ridge."""
    gram = matrix.T @ matrix + penalty * np.eye(matrix.shape[1])
    return np.asarray(np.linalg.solve(gram, matrix.T @ values))


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
