"""How do the choices of a candidate become numbers for a regression?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float64]]
_ABSENT = None

_BASIS = 256  # candidates at most whose products give the directions
_DIRECTIONS = 64
_LEAST_SIZE = 1e-9  # of a direction to the largest


@dataclass(frozen=True, kw_only=True)
class _Column:
    """One number of a candidate, zero on average and with a spread of 1 over those it is from.

    Attributes:
        axis: Whose choice it reads.
        values: Choice to number.
    """

    axis: str
    values: Mapping[Any, float]


@dataclass(frozen=True, kw_only=True)
class ChoiceFeatures:
    """Columns for a regression.

    Of an axis of numbers its rank and the rank squared, of any other one column a value.

    Attributes:
        columns: Of the axes that vary.
    """

    columns: tuple[_Column, ...]

    @classmethod
    def of(cls, choices: Sequence[Mapping[str, Any]]) -> ChoiceFeatures:
        """Columns that tell these candidates apart; an axis that is not active is a value, too."""
        axes = dict.fromkeys(axis for entry in choices for axis in entry)
        columns: list[_Column] = []
        for axis in axes:
            seen = [_key(entry.get(axis, _ABSENT)) for entry in choices]
            values = sorted(set(seen), key=lambda value: (isinstance(value, str), str(value)))
            if len(values) > 1:
                columns += [_standardised(axis, raw, seen) for raw in _raw(values)]
        return cls(columns=tuple(columns))

    def rows(self, choices: Sequence[Mapping[str, Any]]) -> Array:
        """One row a candidate; a value that was never seen counts as the average."""
        rows = np.zeros((len(choices), len(self.columns)))
        for place, entry in enumerate(choices):
            for index, column in enumerate(self.columns):
                rows[place, index] = column.values.get(_key(entry.get(column.axis, _ABSENT)), 0.0)
        return rows


@dataclass(frozen=True, kw_only=True)
class Products:
    """Columns for what products of two features add to a regression, squares among them.

    Many features have more products than can be told apart, so a column is not a product but a
    direction in which the candidates' products differ, the largest first (Nyström's method:
    Williams and Seeger 2000, Using the Nyström method to speed up kernel machines). While there
    are 64 products or fewer, nothing is lost: then a regression on the columns is one on the
    products, each as large as any other beforehand.

    Attributes:
        basis: Features of the candidates that the directions are from, (m, p).
        weights: (m, directions).
    """

    basis: Array
    weights: Array

    @classmethod
    def of(cls, features: Array) -> Products:
        """Directions in which candidates with these features (n, p) differ."""
        some = np.linspace(0, len(features) - 1, min(_BASIS, len(features))).astype(np.intp)
        basis = features[some]
        sizes, directions = np.linalg.eigh((basis @ basis.T) ** 2)
        kept = np.flatnonzero(sizes > _LEAST_SIZE * sizes[-1])[-_DIRECTIONS:]
        return cls(basis=basis, weights=directions[:, kept] / np.sqrt(sizes[kept]))

    def rows(self, features: Array) -> Array:
        """One row a candidate, (n, directions)."""
        return np.asarray((features @ self.basis.T) ** 2 @ self.weights)


def _raw(values: Sequence[Any]) -> list[dict[Any, float]]:
    """The columns of an axis before they are standardised."""
    numbers = [value for value in values if _is_number(value)]
    others = [value for value in values if not _is_number(value)]
    columns = []
    if len(numbers) > 1:
        ranks = {value: float(rank) for rank, value in enumerate(sorted(numbers))}
        middle = (len(numbers) - 1) / 2
        columns.append({value: rank - middle for value, rank in ranks.items()})
        if len(numbers) > 2:
            columns.append({value: (rank - middle) ** 2 for value, rank in ranks.items()})
    single = others if numbers or len(others) > 2 else others[:1]
    columns += [{value: 1.0} for value in single]
    return columns


def _standardised(axis: str, raw: Mapping[Any, float], seen: Sequence[Any]) -> _Column:
    numbers = np.array([raw.get(value, 0.0) for value in seen])
    mean, spread = float(numbers.mean()), float(numbers.std())
    values = {value: (raw.get(value, 0.0) - mean) / (spread or 1.0) for value in set(seen)}
    return _Column(axis=axis, values=values)


def _key(value: Any) -> Any:
    """The choice as something that can be looked up."""
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
