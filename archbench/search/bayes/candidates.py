"""Which candidates may be asked for: those of inferred parameters, or those of a list.

Candidates are codes, rows of numbers (see ``archbench.search.bayes.encoding``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from archbench.search.bayes.encoding import Encoding, keys

Array = NDArray[np.float64]
Params = Mapping[str, Any]
Costs = Callable[[dict[str, Any]], Sequence[float]]

_LISTED_WHOLE = 3000  # candidates of a list that are all looked at
_ENUMERATED = 3000  # combinations that are all looked at
_CROSSED = 0.2
_BIG_STEP = 0.5
_CHANGES = (0.5, 0.8, 1.0)  # cumulated probability of one, two and three changed axes
_NEAR_PARENTS = 8


class CandidateSource(Protocol):
    """Where candidates come from, and what is known of them before they are evaluated."""

    encoding: Encoding
    num_facts: int

    @property
    def is_exact(self) -> bool:
        """Whether ``facts`` are; else ``settle`` gives those of a single candidate."""

    @property
    def known(self) -> Array:
        """(m, D) what is to be tried before anything else."""

    def pool(self, parents: Array, count: int, *, rng: np.random.Generator) -> Array:
        """(m, D) about so many candidates, near the parents and elsewhere; some may be seen."""

    def facts(self, codes: Array) -> Array:
        """(m, f) what is known of candidates, positive numbers; NaN where one is not feasible."""

    def settle(self, code: Array) -> Array | None:
        """(f,) the exact facts of a candidate; None where it is not feasible."""


def varied(parents: Array, count: int, *, encoding: Encoding, rng: np.random.Generator) -> Array:
    """(count, D) children: one to three axes changed, some crossed with another parent first."""
    children = parents[rng.integers(len(parents), size=count)].copy()
    partners = parents[rng.integers(len(parents), size=count)]
    is_crossed = rng.random(count) < _CROSSED
    takes = rng.random(children.shape) < 0.5
    children = np.where(is_crossed[:, None] & takes, partners, children)
    changes = 1 + np.searchsorted(_CHANGES, rng.random(count), side="right")
    ranks = np.argsort(np.argsort(rng.random(children.shape), axis=1), axis=1)
    is_changed = ranks < changes[:, None]
    for column in range(children.shape[1]):
        rows = np.flatnonzero(is_changed[:, column])
        old = children[rows, column]
        children[rows, column] = _changed(encoding, column, old, rng=rng)
    return children


def random_codes(count: int, *, encoding: Encoding, rng: np.random.Generator) -> Array:
    """(count, D) codes by chance, every axis active."""
    codes = rng.random((count, len(encoding)))
    for column, axis in enumerate(encoding.axes):
        if axis.levels is not None:
            codes[:, column] = rng.integers(len(axis.levels), size=count)
    return codes


def _changed(encoding: Encoding, column: int, old: Array, *, rng: np.random.Generator) -> Array:
    axis = encoding.axes[column]
    if axis.levels is None:
        near = np.clip(old + rng.normal(0.0, 0.1, size=len(old)), 0.0, 1.0)
        far = rng.random(len(old))
        return np.where(np.isnan(old) | (rng.random(len(old)) < _BIG_STEP), far, near)
    levels = len(axis.levels)
    start = np.where(np.isnan(old), 0.0, old)
    shift = rng.integers(1, levels, size=len(old)).astype(np.float64)
    other: Array = np.mod(start + shift, float(levels))
    if axis.is_categorical or levels == 2:
        return other
    up = start + rng.choice([-1.0, 1.0], size=len(old))
    near = np.where(up < 0, 1.0, np.where(up >= levels, levels - 2.0, up))
    return np.where(rng.random(len(old)) < _BIG_STEP, other, near)


class Inferred:
    """Candidates of parameters that earlier trials were seen to ask for.

    Args:
        encoding: Of all parameters.
        activity: What switches parameters on, as ``ActiveParameters`` learns it.
        cost: Known costs of a candidate; None where nothing is known.
        num_costs: How many ``cost`` gives.
    """

    is_exact = True

    def __init__(
        self, encoding: Encoding, *, activity: ActiveParameters, cost: Costs | None, num_costs: int
    ) -> None:
        self.encoding = encoding
        self.num_facts = num_costs if cost is not None else 0
        self._activity = activity
        self._cost = cost

    @property
    def known(self) -> Array:
        """See ``CandidateSource``."""
        return np.zeros((0, len(self.encoding)))

    def pool(self, parents: Array, count: int, *, rng: np.random.Generator) -> Array:
        """See ``CandidateSource``; the whole space where it is small."""
        if self.encoding.size <= _ENUMERATED:
            axes = [np.arange(len(axis.levels or ()), dtype=float) for axis in self.encoding.axes]
            grid = np.meshgrid(*axes, indexing="ij")
            return self._activity.applied(np.stack([axis.ravel() for axis in grid], axis=1))
        fresh = random_codes(
            count if not len(parents) else count // 3, encoding=self.encoding, rng=rng
        )
        if not len(parents):
            return self._activity.applied(fresh)
        children = varied(parents, count - len(fresh), encoding=self.encoding, rng=rng)
        filled = np.where(
            np.isnan(children),
            random_codes(len(children), encoding=self.encoding, rng=rng),
            children,
        )
        return self._activity.applied(np.concatenate([filled, fresh]))

    def facts(self, codes: Array) -> Array:
        """See ``CandidateSource``."""
        if self._cost is None:
            return np.zeros((len(codes), 0))
        known = [_known(self._cost, params) for params in self.encoding.each_params(codes)]
        return np.array(known).reshape(len(codes), self.num_facts)

    def settle(self, code: Array) -> Array | None:
        """See ``CandidateSource``."""
        return self.facts(code[None])[0]


class Listed:
    """Candidates of a list: no other combination exists.

    Args:
        encoding: Of all parameters.
        candidates: Every candidate.
        cost: Known costs of a candidate; None where nothing is known.
    """

    is_exact = True

    def __init__(
        self, encoding: Encoding, *, candidates: Sequence[Params], cost: Costs | None
    ) -> None:
        self.encoding = encoding
        self._codes = encoding.codes(candidates)
        self._columns = np.ascontiguousarray(self._codes.T)
        self._rows = {key: row for row, key in enumerate(keys(self._codes))}
        known = [[] if cost is None else _known(cost, dict(params)) for params in candidates]
        self._facts = np.array(known, dtype=float).reshape(len(candidates), -1)
        self.num_facts = self._facts.shape[1]

    @property
    def known(self) -> Array:
        """See ``CandidateSource``."""
        return self._codes[:0]

    def pool(self, parents: Array, count: int, *, rng: np.random.Generator) -> Array:
        """See ``CandidateSource``; the whole list where it is short."""
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
        """See ``CandidateSource``."""
        rows = [self._rows.get(key, -1) for key in keys(codes)]
        found = self._facts[rows]
        found[np.array(rows) < 0] = np.nan
        return found

    def settle(self, code: Array) -> Array | None:
        """See ``CandidateSource``."""
        row = self._rows.get(keys(code[None])[0])
        return None if row is None else self._facts[row]


class ActiveParameters:
    """Which parameters are active, learnt from trials.

    A parameter that some trials lack is taken to hang on the one parameter whose value tells
    exactly when it is there; where there is none, it is taken to be always active, which costs
    only that candidates that differ in it alone may turn out to be the same.

    Args:
        encoding: Of all parameters.
        codes: (n, D) of trials, NaN where a parameter was not asked for.
    """

    def __init__(self, encoding: Encoding, codes: Array) -> None:
        self._rules: list[tuple[int, int, frozenset[float]]] = []
        is_active = ~np.isnan(codes)
        for column in np.flatnonzero(~is_active.all(axis=0)):
            rule = self._rule(encoding, codes, is_active, int(column))
            if rule is not None:
                self._rules.append((int(column), *rule))

    def applied(self, codes: Array) -> Array:
        """Codes with NaN for what is not active; rules that hang on others are settled, too."""
        codes = codes.copy()
        for _ in range(len(self._rules)):
            before = np.isnan(codes)
            for column, parent, off in self._rules:
                is_off = np.isin(codes[:, parent], list(off)) | np.isnan(codes[:, parent])
                codes[is_off, column] = np.nan
            if (before == np.isnan(codes)).all():
                break
        return codes

    @staticmethod
    def _rule(
        encoding: Encoding, codes: Array, is_active: NDArray[np.bool_], column: int
    ) -> tuple[int, frozenset[float]] | None:
        for parent, axis in enumerate(encoding.axes):
            if parent == column or axis.levels is None:
                continue
            on = set(codes[is_active[:, column], parent].tolist())
            missing = codes[~is_active[:, column], parent]
            off = set(missing[~np.isnan(missing)].tolist())
            if off and not on & off and not any(np.isnan(value) for value in on):
                return parent, frozenset(off)
        return None


def _known(cost: Costs, params: dict[str, Any]) -> list[float]:
    return [float(value) for value in cost(params)]
