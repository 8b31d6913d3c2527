"""What share of a quantity's variance does each choice explain: a ridge over one-hot choices.

Legend: n trials, p columns (a value of an axis each), R bootstrap draws or permutations.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archbench.analysis.statistics import Estimate, Floats

_PENALTIES = np.geomspace(0.1, 1000, 13)
_TAIL = 2.5


@dataclass(frozen=True, kw_only=True)
class KnobShare:
    """What one axis explains.

    Attributes:
        axis: Its name.
        share: Of the variance.
        is_separable: Whether that is more than the best of all axes has in 95 of 100 orders by
            chance.
        effects: Value to what it does beside the mean of the trials.
        counts: Value to trials that have it.
    """

    axis: str
    share: Estimate
    is_separable: bool
    effects: Mapping[Any, Estimate]
    counts: Mapping[Any, int]


@dataclass(frozen=True, kw_only=True)
class PairShare:
    """What two axes explain together beyond what each explains alone.

    Attributes:
        axes: Their names.
        share: Of the variance.
        is_separable: As for one.
    """

    axes: tuple[str, str]
    share: float
    is_separable: bool


@dataclass(frozen=True)
class ChoiceMatrix:
    """Choices as columns of 0 and 1, one for each value that some but not all trials have.

    Attributes:
        choices: Of each trial, axis to value; an axis that is not active is not in it.
    """

    choices: Sequence[Mapping[str, Any]]

    @cached_property
    def axes(self) -> dict[str, list[Any]]:
        """Axis to its values, of those that vary, in the order in which they are met."""
        found: dict[str, dict[Any, None]] = {}
        for choices in self.choices:
            for axis, value in choices.items():
                found.setdefault(axis, {})[value] = None
        return {axis: list(values) for axis, values in found.items() if len(values) > 1}

    @cached_property
    def columns(self) -> dict[str, slice]:
        """Axis to its columns."""
        ends = np.cumsum([0, *map(len, self.axes.values())])
        return {
            axis: slice(int(start), int(end))
            for axis, start, end in zip(self.axes, ends, ends[1:], strict=False)
        }

    @cached_property
    def matrix(self) -> Floats:
        """Zeros and ones (n, p)."""
        return np.array(
            [
                [
                    float(axis in choices and choices[axis] == value)
                    for axis, values in self.axes.items()
                    for value in values
                ]
                for choices in self.choices
            ]
        ).reshape(len(self.choices), -1)


def shares(
    design: ChoiceMatrix, values: Floats, *, nuisance: Floats, seed: int = 0, draws: int = 300
) -> tuple[list[KnobShare], list[PairShare]]:
    """The share of every axis and of every pair, largest first.

    A ridge whose penalty is chosen by leaving one out. Intervals are percentiles of a bootstrap
    over trials; what is separable is held against the largest share under permutations of what
    the nuisance leaves (Freedman and Lane 1983, J. Business & Economic Statistics 1, 292-298).

    Args:
        design: The choices.
        values: (n,), what is explained.
        nuisance: (n, q), what is taken out of both sides first; a column of ones among it.
        seed: Of bootstrap and permutations.
        draws: Of either.
    """
    if not design.axes:
        return [], []
    rng = np.random.default_rng(seed)
    basis = _basis(nuisance)
    matrix, rest = _without(design.matrix, basis), _without(values[:, None], basis)[:, 0]
    penalty = _penalty(matrix, rest)
    weights = _solved(matrix, rest[:, None], penalty=penalty)
    total = float(rest @ rest) or 1.0
    parts = _parts(design, matrix, weights, total=total)[:, 0]
    permuted = np.stack([rng.permutation(rest) for _ in range(draws)], axis=1)  # (n, R)
    by_chance = _solved(matrix, permuted, penalty=penalty)
    bar = float(np.quantile(_parts(design, matrix, by_chance, total=total).max(0), 0.95))
    drawn = rng.integers(0, len(values), (draws, len(values)))
    again = [_drawn(design, values, nuisance, rows, penalty=penalty) for rows in drawn]
    knobs = [
        _knob(
            design, axis, index, weights=weights[:, 0], share=float(parts[index]), bar=bar,
            again=again,
        )
        for index, axis in enumerate(design.axes)
    ]  # fmt: skip
    left = rest - matrix @ weights[:, 0]
    pairs = _pairs(design, left, penalty=penalty, total=total, rng=rng, draws=draws)
    return sorted(knobs, key=lambda knob: -knob.share.value), pairs


def _knob(
    design: ChoiceMatrix,
    axis: str,
    index: int,
    *,
    weights: Floats,
    share: float,
    bar: float,
    again: Sequence[tuple[Floats, Floats]],
) -> KnobShare:
    columns = design.columns[axis]
    values = design.axes[axis]
    frequency = design.matrix[:, columns].mean(0)
    drawn = np.array([_centred(found[columns], frequency) for _, found in again])  # (R, values)
    low, high = np.percentile(drawn, [_TAIL, 100 - _TAIL], axis=0)
    own = _centred(weights[columns], frequency)
    ends = np.percentile([found[index] for found, _ in again], [_TAIL, 100 - _TAIL])
    return KnobShare(
        axis=axis,
        share=Estimate(value=share, low=float(ends[0]), high=float(ends[1])),
        is_separable=share > bar,
        effects={
            value: Estimate(value=float(own[i]), low=float(low[i]), high=float(high[i]))
            for i, value in enumerate(values)
        },
        counts={
            value: int(design.matrix[:, columns][:, i].sum()) for i, value in enumerate(values)
        },
    )


def _pairs(
    design: ChoiceMatrix,
    left: Floats,
    *,
    penalty: float,
    total: float,
    rng: np.random.Generator,
    draws: int,
) -> list[PairShare]:
    """What the cells of two axes explain of what both leave, against the best pair by chance."""
    permuted = np.stack([left, *(rng.permutation(left) for _ in range(draws))], axis=1)
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
    design: ChoiceMatrix,
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


def _parts(design: ChoiceMatrix, matrix: Floats, weights: Floats, *, total: float) -> Floats:
    """What the part of each axis explains (axes, R), by the sum of its squares."""
    return np.stack(
        [
            ((matrix[:, columns] @ weights[columns]) ** 2).sum(0) / total
            for columns in design.columns.values()
        ]
    )


def _centred(weights: Floats, frequency: Floats) -> Floats:
    """Effects of the values beside their mean over the trials that have the axis."""
    return np.asarray(weights - (frequency * weights).sum() / max(frequency.sum(), 1e-12))


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
