"""Parameters of Optuna as numbers, and as what a covariance sees.

A code holds one number for each axis: the index of a level where the axis has few values, a place
from 0 to 1 where it has many, and NaN where the axis is not active.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from archbench.search.bayes.gaussian_process import Features

Array = NDArray[np.float64]

_MOST_LEVELS = 4096
_EFFECTS_UP_TO = 12  # levels that have a main effect each
_COST_SPAN = 4.0  # standard deviations of log cost that count like the span of an axis
_DIGITS = 9


@dataclass(frozen=True)
class CodedAxis:
    """One parameter.

    Attributes:
        name: The parameter's.
        distribution: What Optuna draws it from.
        levels: Its values where they are few, in the order of their codes, else None.
        places: (levels,) where each lies from 0 to 1; None for many values and for categories.
    """

    name: str
    distribution: BaseDistribution
    levels: tuple[Any, ...] | None
    places: Array | None

    @property
    def is_categorical(self) -> bool:
        """Whether its values have no order."""
        return isinstance(self.distribution, CategoricalDistribution)

    def value(self, code: float) -> Any:
        """The value of a code."""
        if self.levels is not None:
            return self.levels[int(code)]
        return _value_at(self.distribution, code)


class Encoding:
    """Codes of parameters, and features of codes.

    Args:
        distributions: Parameter to what it is drawn from; those with one value are left out.
    """

    def __init__(self, distributions: Mapping[str, BaseDistribution]) -> None:
        self.distributions = dict(distributions)
        self.axes = tuple(
            _coded(name, distribution)
            for name, distribution in distributions.items()
            if not distribution.single()
        )
        self._indices = [_indices(axis) for axis in self.axes]

    def __len__(self) -> int:
        return len(self.axes)

    @property
    def size(self) -> float:
        """Number of combinations; infinite where an axis has too many values."""
        counts = [len(axis.levels) if axis.levels is not None else math.inf for axis in self.axes]
        return math.prod(counts)

    def code(self, params: Mapping[str, Any]) -> Array:
        """(D,) of one candidate; NaN for an axis that is not active, or unknown values."""
        return self.codes([params])[0]

    def codes(self, candidates: Sequence[Mapping[str, Any]]) -> Array:
        """(n, D) of candidates."""
        rows = np.full((len(candidates), len(self.axes)), np.nan)
        for column, axis in enumerate(self.axes):
            known: dict[tuple[type, Any], float] = {}
            for row, params in enumerate(candidates):
                if axis.name in params:
                    value = params[axis.name]
                    key = (type(value), value)  # True is not 1
                    if key not in known:
                        known[key] = self._code_of(column, value)
                    rows[row, column] = known[key]
        return rows

    def params(self, code: Array) -> dict[str, Any]:
        """The active parameters of a code."""
        return self.each_params(code[None])[0]

    def each_params(self, codes: Array) -> list[dict[str, Any]]:
        """The active parameters of each code."""
        found: list[dict[str, Any]] = [{} for _ in codes]
        for column, axis in enumerate(self.axes):
            for params, number in zip(found, codes[:, column].tolist(), strict=True):
                if number == number:  # not NaN
                    params[axis.name] = axis.value(number)
        return found

    def _code_of(self, column: int, value: Any) -> float:
        axis = self.axes[column]
        if axis.levels is None:
            return _place(axis.distribution, value)
        return self._indices[column].get(_hashable(value), math.nan)

    def features(self, codes: Array, facts: Array) -> Features:
        """What the covariance sees.

        Args:
            codes: (n, D) of the candidates.
            facts: (n, f) standardised numbers that are known of them, such as log costs.
        """
        distance: list[Array] = []
        groups: list[int] = []
        effects: list[Array] = []
        for column, axis in enumerate(self.axes):
            columns, main = _columns(axis, codes[:, column])
            distance += columns
            groups += [column] * len(columns)
            effects += main
        for fact in range(facts.shape[1]):
            distance.append(facts[:, fact] / _COST_SPAN)
            groups.append(len(self.axes) + fact)
        n = len(codes)
        linear = np.stack(effects, axis=1) if effects else np.zeros((n, 0))
        return Features(
            np.stack(distance, axis=1) if distance else np.zeros((n, 0)),
            np.array(groups, dtype=np.intp),
            linear / math.sqrt(max(1, len(self.axes))),
            facts,
        )


def keys(codes: Array) -> list[bytes]:
    """What tells candidates apart."""
    rounded = np.round(codes, _DIGITS) + 0.0
    return [row.tobytes() for row in np.where(np.isnan(rounded), -1.0, rounded)]


def _coded(name: str, distribution: BaseDistribution) -> CodedAxis:
    if isinstance(distribution, CategoricalDistribution):
        return CodedAxis(name, distribution, tuple(distribution.choices), None)
    assert isinstance(distribution, (IntDistribution, FloatDistribution))
    levels = _levels(distribution)
    if levels is None:
        return CodedAxis(name, distribution, None, None)
    places = np.array([_place(distribution, level) for level in levels])
    return CodedAxis(name, distribution, levels, places)


def _levels(distribution: IntDistribution | FloatDistribution) -> tuple[Any, ...] | None:
    if distribution.step is None:
        return None
    count = round((distribution.high - distribution.low) / distribution.step) + 1
    if count > _MOST_LEVELS:
        return None
    return tuple(distribution.low + index * distribution.step for index in range(count))


def _indices(axis: CodedAxis) -> dict[Any, int]:
    return {_hashable(level): index for index, level in enumerate(axis.levels or ())}


def _hashable(value: Any) -> Any:
    """A value as a key that keeps True apart from 1, and floats of a grid together."""
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return (type(value).__name__, value)
    return round(float(value), 9)


def _place(distribution: BaseDistribution, value: float) -> float:
    assert isinstance(distribution, (IntDistribution, FloatDistribution))
    low, high = float(distribution.low), float(distribution.high)
    value = min(max(float(value), low), high)
    if distribution.log:
        return math.log(value / low) / math.log(high / low)
    return (value - low) / (high - low)


def _value_at(distribution: BaseDistribution, place: float) -> Any:
    assert isinstance(distribution, (IntDistribution, FloatDistribution))
    low, high = float(distribution.low), float(distribution.high)
    value = low * (high / low) ** place if distribution.log else low + place * (high - low)
    if distribution.step is not None:
        value = low + round((value - low) / distribution.step) * distribution.step
    value = min(max(value, low), high)
    return round(value) if isinstance(distribution, IntDistribution) else value


def _columns(axis: CodedAxis, codes: Array) -> tuple[list[Array], list[Array]]:
    """Columns for distances, and for main effects, of one axis."""
    is_active = ~np.isnan(codes)
    filled = np.where(is_active, codes, 0.0)
    levels = 0 if axis.levels is None else len(axis.levels)
    one_hot: list[Array] = []
    if levels and (axis.is_categorical or levels <= _EFFECTS_UP_TO):
        one_hot = [((filled == level) & is_active).astype(float) for level in range(levels)]
    effects = [column - 1.0 / levels for column in one_hot]
    if axis.is_categorical:
        return [column / math.sqrt(2.0) for column in one_hot], effects
    place = filled if axis.places is None else axis.places[filled.astype(np.intp)]
    place = np.where(is_active, place, 0.5)
    distance = [place, is_active.astype(float)]
    if not effects:
        effects = [2.0 * place - 1.0, 2.0 * (2.0 * place - 1.0) ** 2 - 1.0]
    return distance, effects
