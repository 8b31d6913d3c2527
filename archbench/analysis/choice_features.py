"""How do the choices of a candidate become numbers for a regression?"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from archbench.analysis.statistics import Floats
from archbench.bounds import is_number

_BASIS = 256  # candidates at most whose products give the directions
_DIRECTIONS = 64
_LEAST_SIZE = 1e-9  # of a direction to the largest


class ChoiceFeatures:
    """Columns for a regression that tell candidates of these choices apart.

    Of an axis of numbers its rank and the rank squared, of any other one column a value; that an
    axis is not active is a value, too. Each is zero on average, and the squares of all p columns
    together are one.
    """

    def __init__(self, choices: Sequence[Mapping[str, Any]]) -> None:
        self.columns: list[tuple[str, Mapping[Any, float]]] = []  # axis, its choices to numbers
        for axis in dict.fromkeys(axis for entry in choices for axis in entry):
            seen = [_key(entry.get(axis)) for entry in choices]
            values = sorted(set(seen), key=lambda value: (isinstance(value, str), str(value)))
            if len(values) > 1:
                self.columns += [(axis, _standardised(raw, seen)) for raw in _raw(values)]

    def rows(self, choices: Sequence[Mapping[str, Any]]) -> Floats:
        """One row a candidate; a value that was never seen counts as the average."""
        rows = np.zeros((len(choices), len(self.columns)))
        axes = dict.fromkeys(axis for axis, _ in self.columns)
        keys = {axis: [_key(entry.get(axis)) for entry in choices] for axis in axes}
        for index, (axis, numbers) in enumerate(self.columns):
            rows[:, index] = [numbers.get(key, 0.0) for key in keys[axis]]
        return rows / np.sqrt(max(1, len(self.columns)))


class Products:
    """Columns for what products of two features (n, p) add to a regression, squares among them.

    Many features have more products than can be told apart, so a column is not a product but a
    direction in which the candidates' products differ, the largest first (Nyström's method:
    Williams and Seeger 2000, Using the Nyström method to speed up kernel machines). While there
    are 64 products or fewer, nothing is lost: then a regression on the columns is one on the
    products, each as large as any other beforehand.
    """

    def __init__(self, features: Floats) -> None:
        some = np.linspace(0, len(features) - 1, min(_BASIS, len(features))).astype(np.intp)
        self._basis = features[some]
        sizes, directions = np.linalg.eigh((self._basis @ self._basis.T) ** 2)
        kept = np.flatnonzero(sizes > _LEAST_SIZE * sizes[-1])[-_DIRECTIONS:]
        self._weights = directions[:, kept] / np.sqrt(sizes[kept])

    def rows(self, features: Floats) -> Floats:
        """One row a candidate, (n, directions)."""
        return np.asarray((features @ self._basis.T) ** 2 @ self._weights)


def _raw(values: Sequence[Any]) -> list[dict[Any, float]]:
    """The columns of an axis before they are standardised."""
    numbers = [value for value in values if is_number(value)]
    others = [value for value in values if not is_number(value)]
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


def _standardised(raw: Mapping[Any, float], seen: Sequence[Any]) -> dict[Any, float]:
    numbers = np.array([raw.get(value, 0.0) for value in seen])
    mean, spread = float(numbers.mean()), float(numbers.std())
    return {value: (raw.get(value, 0.0) - mean) / (spread or 1.0) for value in set(seen)}


def _key(value: Any) -> Any:
    """The choice as something that can be looked up."""
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
