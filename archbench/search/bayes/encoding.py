"""Parameters of Optuna as numbers, and as what a covariance sees.

A code holds one number for each axis: the index of a level where the axis has few values, a place
from 0 to 1 where it has many, and NaN where the axis is not active.
"""

import math
from collections.abc import Mapping
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


class CodedAxis:
    """One parameter; where its values are few, they are ``levels`` in the order of their codes."""

    def __init__(self, name: str, distribution: BaseDistribution) -> None:
        self.name, self.distribution = name, distribution
        self.is_categorical = isinstance(distribution, CategoricalDistribution)
        self.levels = _levels(distribution)
        if self.is_categorical:
            self._codes = {_hashable(one): code for code, one in enumerate(self.levels or ())}
        elif self.levels is not None:
            self._places = np.array([_place(distribution, level) for level in self.levels])

    def value(self, code: float) -> Any:
        """The value of a code."""
        if self.levels is not None:
            return self.levels[int(code)]
        return _value_at(self.distribution, code)

    def code(self, value: Any) -> float:
        """The code of a value, or of the level next to it; NaN for one that it cannot take."""
        if self.is_categorical:
            return self._codes.get(_hashable(value), math.nan)
        assert isinstance(self.distribution, (IntDistribution, FloatDistribution))
        if not self.distribution.low <= value <= self.distribution.high:
            return math.nan
        if self.levels is None:
            return _place(self.distribution, value)
        return float(round((value - self.distribution.low) / (self.distribution.step or 1)))

    def random_codes(self, uniform: Array, *, rng: np.random.Generator) -> Array:
        """Codes by chance from numbers from 0 to 1, evenly over what it is scaled by."""
        if self.levels is None:
            return self.snapped(uniform)
        if getattr(self.distribution, "log", False):
            return np.array([self.code(_value_at(self.distribution, one)) for one in uniform])
        return rng.integers(len(self.levels), size=len(uniform)).astype(float)

    def snapped(self, places: Array) -> Array:
        """Places of values, where an axis of many values has a grid."""
        if isinstance(self.distribution, FloatDistribution) and self.distribution.step is None:
            return places
        return np.array([self.code(self.value(place)) for place in places.tolist()])

    def columns(self, codes: Array) -> tuple[list[Array], list[Array]]:
        """Columns for distances, and for main effects."""
        is_active = ~np.isnan(codes)
        filled = np.where(is_active, codes, 0.0)
        levels = 0 if self.levels is None else len(self.levels)
        one_hot: list[Array] = []
        if levels and (self.is_categorical or levels <= _EFFECTS_UP_TO):
            one_hot = [((filled == level) & is_active).astype(float) for level in range(levels)]
        effects = [column - 1.0 / levels for column in one_hot]
        if self.is_categorical:
            return [column / math.sqrt(2.0) for column in one_hot], effects
        place = filled if self.levels is None else self._places[filled.astype(np.intp)]
        place = np.where(is_active, place, 0.5)
        if not effects:
            effects = [2.0 * place - 1.0, 2.0 * (2.0 * place - 1.0) ** 2 - 1.0]
        return [place, is_active.astype(float)], effects


class Encoding:
    """Codes of parameters, and features of codes; a parameter with one value is left out."""

    def __init__(self, distributions: Mapping[str, BaseDistribution]) -> None:
        self.distributions = dict(distributions)
        self.axes = tuple(
            CodedAxis(name, distribution)
            for name, distribution in distributions.items()
            if not distribution.single()
        )

    def __len__(self) -> int:
        return len(self.axes)

    @property
    def size(self) -> float:
        """Number of combinations; infinite where an axis has too many values."""
        return math.prod(math.inf if a.levels is None else len(a.levels) for a in self.axes)

    def code(self, params: Mapping[str, Any]) -> Array:
        """(D,) of one candidate; NaN for an axis that is not active, or unknown values."""
        return np.array(
            [a.code(params[a.name]) if a.name in params else math.nan for a in self.axes]
        )

    def each_params(self, codes: Array) -> list[dict[str, Any]]:
        """The active parameters of each code."""
        found: list[dict[str, Any]] = [{} for _ in codes]
        for axis, column in zip(self.axes, codes.T.tolist(), strict=True):
            active = {number for number in column if not math.isnan(number)}
            values = {number: axis.value(number) for number in active}
            for params, number in zip(found, column, strict=True):
                if number in values:
                    params[axis.name] = values[number]
        return found

    def features(self, codes: Array, facts: Array) -> Features:
        """What the covariance sees of codes (n, D) and standardised facts (n, f), as log costs."""
        distance: list[Array] = []
        groups: list[int] = []
        effects: list[Array] = []
        for column, axis in enumerate(self.axes):
            columns, main = axis.columns(codes[:, column])
            distance += columns
            groups += [column] * len(columns)
            effects += main
        for fact in range(facts.shape[1]):
            distance.append(facts[:, fact] / _COST_SPAN)
            groups.append(len(self.axes) + fact)
        linear = np.stack(effects, axis=1)
        return Features(
            np.stack(distance, axis=1),
            np.array(groups, dtype=np.intp),
            linear / math.sqrt(len(self.axes)),
            facts,
        )


def keys(codes: Array) -> list[bytes]:
    """What tells candidates apart."""
    rounded = np.round(codes, _DIGITS) + 0.0
    return [row.tobytes() for row in np.where(np.isnan(rounded), -1.0, rounded)]


def _levels(distribution: BaseDistribution) -> tuple[Any, ...] | None:
    if isinstance(distribution, CategoricalDistribution):
        return tuple(distribution.choices)
    assert isinstance(distribution, (IntDistribution, FloatDistribution))
    if distribution.step is None:
        return None
    count = round((distribution.high - distribution.low) / distribution.step) + 1
    if count > _MOST_LEVELS:
        return None
    low, high, step = distribution.low, distribution.high, distribution.step
    return tuple(min(low + index * step, high) for index in range(count))


def _hashable(value: Any) -> Any:
    """A choice as a key that keeps True apart from 1 and finds a number that is none again."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value == value:
        return value
    return (type(value).__name__, repr(value))


def _place(distribution: BaseDistribution, value: float) -> float:
    assert isinstance(distribution, (IntDistribution, FloatDistribution))
    low, high = float(distribution.low), float(distribution.high)
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
