"""Which candidates may be asked for, where parameters are inferred from earlier trials.

Candidates are codes, rows of numbers (see ``archbench.search.bayes.encoding``).
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from archbench.search.bayes.encoding import Encoding

Array = NDArray[np.float64]
Costs = Callable[[dict[str, Any]], Sequence[float]]

_ENUMERATED = 3000  # combinations that are all looked at
_CROSSED = 0.2
_BIG_STEP = 0.5
_CHANGES = (0.5, 0.8, 1.0)  # cumulated probability of one, two and three changed axes


class CandidateSource(Protocol):
    """Where candidates come from, and what is known of them before they are evaluated."""

    encoding: Encoding
    num_facts: int
    is_exact: bool
    """Whether ``facts`` are; else ``exact_facts`` gives those of a single candidate."""

    @property
    def known(self) -> Array:
        """(m, D) what is to be tried before anything else."""

    def pool(self, parents: Array, count: int, *, rng: np.random.Generator) -> Array:
        """(m, D) about so many candidates, near the parents and elsewhere; some may be seen."""

    def facts(self, codes: Array) -> Array:
        """(m, f) what is known of candidates, positive numbers; NaN where one is not feasible."""

    def exact_facts(
        self, code: Array, *, arithmetic: Sequence[float] | None = None
    ) -> Array | None:
        """(f,) the exact facts of a candidate; None where it is not feasible.

        Of a trial those by arithmetic may be on record: then it is feasible.
        """


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
        codes[:, column] = axis.random_codes(codes[:, column], rng=rng)
    return codes


def _changed(encoding: Encoding, column: int, old: Array, *, rng: np.random.Generator) -> Array:
    axis = encoding.axes[column]
    if axis.levels is None:
        near = np.clip(old + rng.normal(0.0, 0.1, size=len(old)), 0.0, 1.0)
        far = rng.random(len(old))
        is_far = np.isnan(old) | (rng.random(len(old)) < _BIG_STEP)
        return axis.snapped(np.where(is_far, far, near))
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

    A parameter that some trials lack is taken to hang on the one parameter whose value tells
    exactly when it is there; where there is none, it is taken to be always active, which costs
    only that candidates that differ in it alone may turn out to be the same. The codes of trials
    seen (n, D) are NaN where a parameter was not asked for; ``cost`` gives so many known costs of a
    candidate, None where nothing is known.
    """

    is_exact = True

    def __init__(
        self, encoding: Encoding, *, seen: Array, cost: Costs | None, num_costs: int
    ) -> None:
        self.encoding = encoding
        self.num_facts = num_costs if cost is not None else 0
        self.known = np.zeros((0, len(encoding)))
        self._cost = cost
        lacking = np.flatnonzero(np.isnan(seen).any(axis=0)).tolist()
        rules = {column: self._rule(seen, column) for column in lacking}
        self._rules = {column: rule for column, rule in rules.items() if rule}

    def pool(self, parents: Array, count: int, *, rng: np.random.Generator) -> Array:
        """See ``CandidateSource``; the whole space where it is small."""
        if self.encoding.size <= _ENUMERATED:
            axes = [np.arange(len(axis.levels or ()), dtype=float) for axis in self.encoding.axes]
            grid = np.meshgrid(*axes, indexing="ij")
            return self._only_active(np.stack([axis.ravel() for axis in grid], axis=1))
        num_fresh = count // 3 if len(parents) else count
        fresh = random_codes(num_fresh, encoding=self.encoding, rng=rng)
        if not len(parents):
            return self._only_active(fresh)
        children = varied(parents, count - num_fresh, encoding=self.encoding, rng=rng)
        chance = random_codes(len(children), encoding=self.encoding, rng=rng)
        filled = np.where(np.isnan(children), chance, children)
        return self._only_active(np.concatenate([filled, fresh]))

    def facts(self, codes: Array) -> Array:
        """See ``CandidateSource``."""
        if self._cost is None:
            return np.zeros((len(codes), 0))
        known = [self._cost(params) for params in self.encoding.each_params(codes)]
        return np.array(known, dtype=float).reshape(len(codes), self.num_facts)

    def exact_facts(
        self, code: Array, *, arithmetic: Sequence[float] | None = None
    ) -> Array | None:
        """See ``CandidateSource``."""
        return self.facts(code[None])[0]

    def _only_active(self, codes: Array) -> Array:
        """Codes with NaN for what is not active; so for rules that hang on others."""
        codes = codes.copy()
        for _ in self._rules:
            before = np.isnan(codes)
            for column, (parent, off) in self._rules.items():
                is_off = np.isin(codes[:, parent], off) | np.isnan(codes[:, parent])
                codes[is_off, column] = np.nan
            if (before == np.isnan(codes)).all():
                break
        return codes

    def _rule(self, seen: Array, column: int) -> tuple[int, list[float]] | None:
        """The parameter that a column hangs on, and its codes under which that is not there."""
        is_active = ~np.isnan(seen[:, column])
        for parent, axis in enumerate(self.encoding.axes):
            if parent == column or axis.levels is None:
                continue
            on, off = (set(seen[rows, parent].tolist()) for rows in (is_active, ~is_active))
            off = {value for value in off if not math.isnan(value)}
            if off and not on & off and not any(map(math.isnan, on)):
                return parent, list(off)
        return None
