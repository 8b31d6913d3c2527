"""archbench's sampler over the rows of a table, which need not hold every combination."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.samplers import BaseSampler
from sampler_table import Table

from archbench import CostAwareSampler
from archbench.search.bayes.candidates import varied
from archbench.search.bayes.encoding import Encoding, keys
from archbench.search.bayes.observations import Problem

Array = NDArray[np.float64]

_LISTED_WHOLE = 3000  # rows that are all looked at
_NEAR_PARENTS = 8


def cost_aware(table: Table, seed: int) -> BaseSampler:
    """The sampler, which knows which rows there are and what each costs."""
    problem = Problem(uncertain=0, signs=(-1.0, 1.0), known=(0,), limits=(math.inf,))
    return CostAwareSampler.over(Listed(table), problem=problem, seed=seed, memory={})


class Listed:
    """A source of candidates: see ``archbench.search.bayes.candidates.CandidateSource``."""

    is_exact = True
    num_facts = 1

    def __init__(self, table: Table) -> None:
        drawn: dict[str, BaseDistribution] = {
            axis.name: IntDistribution(0, len(axis.values) - 1)
            if axis.is_ordered
            else CategoricalDistribution(axis.values)
            for axis in sorted(table.axes, key=lambda axis: axis.name)
        }
        candidates = [
            {
                axis.name: int(index) if axis.is_ordered else axis.values[index]
                for axis, index in zip(table.axes, code, strict=True)
            }
            for code in table.codes
        ]
        self.encoding = Encoding(drawn)
        self.known = np.zeros((0, len(self.encoding)))
        self._codes = np.array([self.encoding.code(params) for params in candidates])
        self._columns = np.ascontiguousarray(self._codes.T)
        self._rows = {key: row for row, key in enumerate(keys(self._codes))}
        self._facts = np.asarray(table.cost, dtype=float).reshape(-1, 1)

    def pool(self, parents: Array, count: int, *, rng: np.random.Generator) -> Array:
        """The whole list where it is short, else rows near the parents and elsewhere."""
        if len(self._codes) <= _LISTED_WHOLE:
            return self._codes
        if not len(parents):
            return self._codes[rng.choice(len(self._codes), size=count, replace=False)]
        children = keys(varied(parents, count, encoding=self.encoding, rng=rng))
        rows = {self._rows[key] for key in children if key in self._rows}
        near = max(1, (count - len(rows)) // (2 * _NEAR_PARENTS))
        for parent in parents[rng.integers(len(parents), size=_NEAR_PARENTS)]:
            distance = rng.random(len(self._codes))
            for column, code in zip(self._columns, parent, strict=True):
                distance += column != code
            rows.update(np.argpartition(distance, near)[: near + 1].tolist())
        rows.update(rng.choice(len(self._codes), size=count // 3, replace=False).tolist())
        return self._codes[sorted(rows)]

    def facts(self, codes: Array) -> Array:
        """(m, 1) costs; NaN for what is no row."""
        rows = [self._rows.get(key, -1) for key in keys(codes)]
        found = self._facts[rows]
        found[np.array(rows) < 0] = np.nan
        return found

    def exact_facts(
        self, code: Array, *, arithmetic: Sequence[float] | None = None
    ) -> Array | None:
        """The same for one candidate."""
        row = self._rows.get(keys(code[None])[0])
        return None if row is None else self._facts[row]
