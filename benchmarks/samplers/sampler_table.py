"""Tables to judge samplers by: reading, the regret of a search, and what a search may see.

A table is a CSV with one network a row: a column for each choice, ``cost``, and ``accuracy_0`` to
``accuracy_k`` of independent trainings. Choices are numbers (ordered) or texts (categories).

**Regret** of a search is 1 - HV(picked) / HV(front). The truth of a row is the mean of its
accuracies. Picked are the rows that no other evaluated row beats by the *observed* accuracy and
the cost, the same for every sampler; HV(picked) is the hypervolume of their *true* accuracies, and
HV(front) that of the front of all true accuracies. Hypervolume lies over log cost (over cost where
one is not positive) and accuracy; the reference point is the largest cost and the smallest true
accuracy of the table.
"""

from __future__ import annotations

import csv
import json
import re
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

_ACCURACY = re.compile(r"accuracy_\d+$")
_SEPARATORS = re.compile(r"[\s,;|/_:-]+")
_IDENTIFYING = 0.5  # share of rows with a value of their own from which on a column names rows


@dataclass(frozen=True)
class Axis:
    """One choice.

    Attributes:
        name: Its column.
        values: What it may be, in order.
        is_ordered: Whether the values are numbers.
    """

    name: str
    values: tuple[Any, ...]
    is_ordered: bool


@dataclass(frozen=True)
class Table:
    """Networks that were trained several times.

    Attributes:
        name: The file.
        axes: Choices that vary.
        codes: (n, D) the index of each choice.
        cost: (n,).
        accuracy: (n, k); NaN where a training is missing.
    """

    name: str
    axes: tuple[Axis, ...]
    codes: np.ndarray
    cost: np.ndarray
    accuracy: np.ndarray

    def __len__(self) -> int:
        return len(self.cost)

    @cached_property
    def truth(self) -> np.ndarray:
        """(n,) mean accuracies."""
        return np.nanmean(self.accuracy, axis=1)

    @cached_property
    def axis_cost(self) -> np.ndarray:
        """(n,) costs as hypervolume sees them."""
        return np.log(self.cost) if (self.cost > 0).all() else self.cost

    @cached_property
    def reference(self) -> tuple[float, float]:
        """The cost and the accuracy that count as nothing."""
        end = self.axis_cost.max()
        if end == self.axis_cost.min():
            end += 1.0  # one cost for all: regret is then that of the accuracy alone
        return float(end), float(self.truth.min())

    @cached_property
    def best(self) -> float:
        """Hypervolume of the true front."""
        return self._hypervolume(np.arange(len(self)))

    @cached_property
    def places(self) -> dict[bytes, int]:
        """Codes to rows."""
        return {code.tobytes(): row for row, code in enumerate(self.codes)}

    @property
    def is_complete(self) -> bool:
        """Whether every combination of the choices exists."""
        return len(self) == int(np.prod([len(axis.values) for axis in self.axes]))

    def observation(self, seed: int) -> np.ndarray:
        """(n,) one accuracy of each row, by chance: all that a search of this seed may see."""
        noise = np.random.default_rng([seed, 1]).random(self.accuracy.shape)
        noise[np.isnan(self.accuracy)] = -1.0
        return self.accuracy[np.arange(len(self)), noise.argmax(axis=1)]

    def regret(self, rows: list[int], observed: np.ndarray) -> float:
        """Of a search that evaluated rows."""
        if self.best <= 0:
            return 0.0
        picked = front(self.axis_cost, observed, rows=sorted(set(rows)))
        return 1.0 - self._hypervolume(np.array(picked)) / self.best

    def nearest(self, code: np.ndarray) -> int:
        """The row of a code; where that combination does not exist, the row most like it."""
        code = np.ascontiguousarray(code, dtype=self.codes.dtype)
        row = self.places.get(code.tobytes())
        if row is None:
            apart = np.abs(self.codes - code) / self._span
            apart[:, self._is_category] = apart[:, self._is_category] > 0
            row = self.places[code.tobytes()] = int(apart.sum(axis=1).argmin())
        return row

    @cached_property
    def _span(self) -> np.ndarray:
        return np.array([len(axis.values) - 1 for axis in self.axes])

    @cached_property
    def _is_category(self) -> np.ndarray:
        return np.array([not axis.is_ordered for axis in self.axes], dtype=bool)

    def _hypervolume(self, rows: np.ndarray) -> float:
        end, floor = self.reference
        members = front(self.axis_cost, self.truth, rows=list(rows))
        costs = np.append(self.axis_cost[members], end)
        return float((np.diff(costs) * (self.truth[members] - floor)).sum())


def front(cost: np.ndarray, value: np.ndarray, *, rows: list[int]) -> list[int]:
    """The rows that no other beats, cheapest first."""
    members: list[int] = []
    for row in sorted(rows, key=lambda row: (cost[row], -value[row])):
        if not members or value[row] > value[members[-1]]:
            members.append(int(row))
    return members


def read(path: Path) -> Table:
    """The table of a file; what had to be left out or merged is said on stderr."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = [{k.strip(): v for k, v in row.items() if k} for row in csv.DictReader(file)]
    if not rows or "cost" not in rows[0] or not any(map(_ACCURACY.match, rows[0])):
        sys.exit(f"{path}: needs the columns cost and accuracy_0, and rows")
    seeds = sorted(filter(_ACCURACY.match, rows[0]), key=lambda name: int(name.split("_")[1]))
    accuracy = np.array([[_number(row[name]) for name in seeds] for row in rows])
    cost = np.array([_number(row["cost"]) for row in rows])
    is_usable = np.isfinite(cost) & np.isfinite(accuracy).any(axis=1)
    if not is_usable.all():
        _note(f"{(~is_usable).sum()} rows without cost or accuracy are left out")
    kept = [row for row, usable in zip(rows, is_usable, strict=True) if usable]
    columns = {n: [row[n] or "" for row in kept] for n in rows[0] if n not in ("cost", *seeds)}
    return _table(str(path), columns, cost[is_usable], accuracy[is_usable])


def write(path: Path, table: Table) -> None:
    """A table as a file."""
    seeds = [f"accuracy_{seed}" for seed in range(table.accuracy.shape[1])]
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*(axis.name for axis in table.axes), "cost", *seeds])
        for code, cost, accuracy in zip(table.codes, table.cost, table.accuracy, strict=True):
            chosen = [axis.values[i] for axis, i in zip(table.axes, code, strict=True)]
            known = ["" if np.isnan(value) else f"{value:.6g}" for value in accuracy]
            writer.writerow([*chosen, f"{cost:.8g}", *known])


def _table(
    name: str, columns: dict[str, list[str]], cost: np.ndarray, accuracy: np.ndarray
) -> Table:
    columns = _split(_without_names(columns))
    axes, codes = [], []
    for column, texts in columns.items():
        numbers = [_number(text) for text in texts]
        is_ordered = not np.isnan(numbers).any()
        found: list[Any] = numbers if is_ordered else list(texts)
        values = sorted(set(found))
        if len(values) < 2:
            continue
        index = {value: place for place, value in enumerate(values)}
        axes.append(Axis(column, tuple(values), is_ordered))
        codes.append([index[value] for value in found])
    if not axes:
        sys.exit(f"{name}: no choice varies")
    return _merged(name, tuple(axes), np.array(codes, dtype=np.int64).T.copy(), cost, accuracy)


def _merged(
    name: str, axes: tuple[Axis, ...], codes: np.ndarray, cost: np.ndarray, accuracy: np.ndarray
) -> Table:
    """Rows of the same choices are one network: more trainings, and the mean cost."""
    unique, inverse = np.unique(codes, axis=0, return_inverse=True)
    if len(unique) == len(codes):
        return Table(name, axes, codes, cost, accuracy)
    _note(f"{len(codes) - len(unique)} rows repeat the choices of another and are merged with it")
    groups = [np.flatnonzero(inverse == group) for group in range(len(unique))]
    most = max(len(group) for group in groups) * accuracy.shape[1]
    together = np.full((len(unique), most), np.nan)
    for group, rows in enumerate(groups):
        together[group, : len(rows) * accuracy.shape[1]] = accuracy[rows].ravel()
    mean_cost = np.array([cost[group].mean() for group in groups])
    return Table(name, axes, unique, mean_cost, together)


def _split(columns: dict[str, list[str]]) -> dict[str, list[str]]:
    """One column with all choices, as JSON, separated or a character each, in their own columns."""
    if len(columns) != 1 or not _is_packed(*columns.values()):
        return columns
    [(name, texts)] = columns.items()
    split = [_parts(text) for text in texts]
    return {f"{name}_{key}": [parts[key] for parts in split] for key in split[0]}


def _is_packed(texts: list[str]) -> bool:
    """Whether each text holds the same choices, several of them."""
    if _are_row_numbers(texts) or _are_measured(texts):
        return False
    names = {tuple(_parts(text)) for text in texts}
    return len(names) == 1 and len(names.pop()) > 1


def _parts(text: str) -> dict[str, str]:
    try:
        found = json.loads(text)
    except json.JSONDecodeError:
        found = None
    if isinstance(found, dict):
        return {key: str(value) for key, value in found.items()}
    if not isinstance(found, list):
        found = [part for part in _SEPARATORS.split(text.strip("[](){} ")) if part]
        found = list(text.strip()) if len(found) == 1 else found
    return {str(place): str(value) for place, value in enumerate(found)}


def _without_names(columns: dict[str, list[str]]) -> dict[str, list[str]]:
    """Columns that number or name the rows, without which the others tell them apart as well.

    Numbers that were measured beside a column with all choices are none either.
    """
    num_rows = len(next(iter(columns.values()), []))
    naming = [
        name for name in columns if len(set(columns[name])) > max(20, _IDENTIFYING * num_rows)
    ]
    is_packed = {name: _is_packed(columns[name]) for name in naming}
    naming.sort(key=lambda name: (is_packed[name], not _are_row_numbers(columns[name])))
    for name in naming:
        others = [texts for other, texts in columns.items() if other != name]
        if _are_measured(columns[name]) and not any(is_packed.values()):
            continue
        if others and len(set(zip(*others, strict=True))) == len(
            set(zip(columns[name], *others, strict=True))
        ):
            _note(f"column {name} names the rows and is no choice")
            columns = {other: texts for other, texts in columns.items() if other != name}
    return columns


def _are_row_numbers(texts: list[str]) -> bool:
    numbers = {_number(text) for text in texts}
    return len(numbers) == len(texts) == max(numbers) - min(numbers) + 1


def _are_measured(texts: list[str]) -> bool:
    """Whether all are numbers and some are not whole."""
    numbers = np.array([_number(text) for text in texts])
    return bool(np.isfinite(numbers).all() and (numbers % 1 != 0).any())


def _number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return float("nan")


def _note(text: str) -> None:
    print(f"note: {text}", file=sys.stderr)
