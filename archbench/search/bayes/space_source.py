"""Candidates of a search space, and what they cost before they are built.

Whether a candidate is legal and what it costs takes about a millisecond, so of the hundreds that
are looked at for one proposal only the most promising are counted exactly; a model of some
candidates that were counted once predicts the others' costs, and a latency of which the block table
lacks a piece.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from archbench.search.bayes.candidates import varied
from archbench.search.bayes.encoding import Encoding, keys
from archbench.search.bayes.parameter import distribution, options
from archbench.search.bayes.surrogate import Surrogate
from archbench.space import Axis, Choices, InfeasibleError, SearchSpace, choices_for
from archbench.study.objective import costs

if TYPE_CHECKING:
    from archbench.models import ArchSpec

Array = NDArray[np.float64]

_COUNTED = 128
_TRIES = 50
_MOST = 240
_FRESH = 1 / 3


class SpaceSource:
    """A ``CandidateSource`` of a space; the seed is of those counted for the model of costs.

    A latency in ms is a fact where ``predict`` is given, which answers None where it cannot tell.
    """

    is_exact = False

    def __init__(
        self,
        space: SearchSpace,
        *,
        seed: int,
        predict: Callable[[ArchSpec], float | None] | None = None,
    ) -> None:
        self._space, self._seed, self._predict = space, seed, predict
        self._facts = costs("arithmetic")  # behind them the latency that is predicted, if any
        self.num_facts = len(self._facts) + (predict is not None)
        self._axes = [axis for axis in space.axes if len(axis.values) > 1]
        self.encoding = Encoding({axis.name: distribution(axis) for axis in self._axes})
        self._column = {axis.name: column for column, axis in enumerate(self.encoding.axes)}
        self._index = {
            axis.name: [options(axis).index(value) for value in coded.levels or ()]
            for axis, coded in zip(self._axes, self.encoding.axes, strict=True)
        }
        self._exact: dict[bytes, Array | None] = {}

    @cached_property
    def known(self) -> Array:
        """(m, D) published networks that lie in the space; one spelled otherwise may be missed."""
        from archbench.models import as_spec, published_names

        base, specs = self._space.base, [as_spec(name) for name in published_names()]
        alike = [spec for spec in specs if _form(spec.to_document()) == _form(base)]
        found = [choices_for(self._space, spec) for spec in alike]
        codes = [self._code(choices) for choices in found if choices is not None]
        return np.array(codes).reshape(-1, len(self.encoding))

    def pool(self, parents: Array, count: int, *, rng: np.random.Generator) -> Array:
        """Children of the parents and random candidates, all with active axes alone."""
        count = min(count, _MOST)
        chance = random.Random(int(rng.integers(2**32)))
        num_fresh = int(count * _FRESH) if len(parents) else count
        fresh = [self._code(self._space.sample(chance)) for _ in range(num_fresh)]
        if not len(parents):
            return np.array(fresh).reshape(-1, len(self.encoding))
        children = varied(parents, count - num_fresh, encoding=self.encoding, rng=rng)
        return np.array([self._tidied(child, chance) for child in children] + fresh)

    def facts(self, codes: Array) -> Array:
        """(m, f) expected MACs, parameters and activations, and latency where it is predicted."""
        none = np.zeros((len(codes), 0))
        if not len(codes):
            return np.zeros((0, self.num_facts))
        return np.exp(np.stack([model.expected(codes, none) for model in self._models], axis=1))

    def exact_facts(
        self, code: Array, *, arithmetic: Sequence[float] | None = None
    ) -> Array | None:
        """(f,) the same, counted; None where the candidate is not feasible."""
        if arithmetic is not None and not self._predict:
            return np.array(arithmetic, dtype=float)
        key = keys(code[None])[0]
        if key not in self._exact:
            self._exact[key] = self._facts_of(code, arithmetic)
        return self._exact[key]

    def _facts_of(self, code: Array, arithmetic: Sequence[float] | None) -> Array | None:
        from archbench.models import ArchSpec

        choices = self._space.choose(lambda axis: self._chosen(axis, code) or 0)
        if arithmetic is not None:  # it is feasible: most of the time is for that
            spec = ArchSpec.from_document(self._space.document(choices))
        else:
            try:
                spec = self._space.decode(choices)
            except InfeasibleError:
                return None
        counted = self._counted(spec, arithmetic)
        is_lacking = np.isnan(counted)
        expected = self.facts(code[None])[0] if is_lacking.any() else counted
        return np.where(is_lacking, expected, counted)

    @cached_property
    def _models(self) -> list[Surrogate]:
        """What the logarithm of each fact is, by some candidates; 0 where it is of none."""
        rng = random.Random(self._seed)
        sampled = [self._space.sample_feasible(rng, tries=_TRIES) for _ in range(_COUNTED)]
        some = [choices for choices in sampled if choices is not None]
        every = np.array([self._code(choices) for choices in some])
        counted = [self._counted(self._space.decode(choices)) for choices in some]
        logs = np.log(counted).reshape(-1, self.num_facts)
        models = []
        for place, is_known in enumerate(~np.isnan(logs.T)):
            codes, values = every[is_known], logs[is_known, place]
            if not len(codes):
                codes, values = np.full((1, len(self.encoding)), np.nan), np.zeros(1)
            models.append(
                Surrogate(
                    self.encoding,
                    codes=codes,
                    facts=np.zeros((len(codes), 0)),
                    values=values,
                    name=str(place),
                    memory={},
                )
            )
        return models

    def _counted(self, spec: ArchSpec, arithmetic: Sequence[float] | None = None) -> Array:
        """(f,) NaN for a latency that cannot be told; what is on record is not counted again."""
        from archbench.models import count

        if arithmetic is None:
            counted = count(spec)
            arithmetic = [float(getattr(counted, name)) for name in self._facts]
        facts = [*arithmetic]
        if self._predict:
            facts.append(self._predict(spec) or math.nan)
        return np.array(facts)

    def _code(self, choices: Choices) -> Array:
        row = np.full(len(self.encoding), np.nan)
        for axis in self._axes:
            if axis.name in choices:
                row[self._column[axis.name]] = self._index[axis.name].index(choices[axis.name])
        return row

    def _tidied(self, code: Array, chance: random.Random) -> Array:
        """The code of what it names: axes that become active are chosen by chance."""

        def choose(axis: Axis) -> int:
            chosen = self._chosen(axis, code)
            return chance.randrange(len(axis.values)) if chosen is None else chosen

        return self._code(self._space.choose(choose))

    def _chosen(self, axis: Axis, code: Array) -> int | None:
        if axis.name not in self._column:
            return 0
        number = code[self._column[axis.name]]
        return None if math.isnan(number) else self._index[axis.name][int(number)]


def _form(network: Mapping[str, Any]) -> tuple[int, Any]:
    return len(network["stages"]), network["resolution"]
