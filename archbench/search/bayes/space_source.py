"""Candidates of a search space, and what they cost before they are built.

Whether a candidate is legal and what it costs takes about a millisecond, so of the hundreds that
are looked at for one proposal only the most promising are counted exactly; the others' costs are
told by a model of some candidates that were counted once. So is a latency of which the block table
lacks a piece.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from archbench.search.bayes.candidates import varied
from archbench.search.bayes.encoding import Encoding, keys
from archbench.search.bayes.parameter import distribution, options
from archbench.search.bayes.surrogate import Surrogate
from archbench.space import Axis, Choices, InfeasibleError, SearchSpace
from archbench.study.objective import costs

if TYPE_CHECKING:
    from archbench.models import ArchSpec

Array = NDArray[np.float64]

_COUNTED = 128
_TRIES = 50
_MOST = 240
_FRESH = 1 / 3
_PASSES = 2


class SpaceSource:
    """A source of candidates: see ``archbench.search.bayes.candidates.CandidateSource``.

    Args:
        space: Where they come from.
        seed: Of the candidates that are counted for the model of costs.
        predict: The latency of a candidate in ms, or None where it cannot be told; by default
            latency is no fact.
    """

    is_exact = False

    def __init__(
        self,
        space: SearchSpace,
        *,
        seed: int,
        predict: Callable[[ArchSpec], float | None] | None = None,
    ) -> None:
        self._space = space
        self._seed = seed
        self._predict = predict
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
        """(m, D) published networks that lie in the space."""
        found = [self._code(choices) for choices in _published_in(self._space)]
        return np.array(found).reshape(-1, len(self.encoding))

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

    def settle(self, code: Array) -> Array | None:
        """(f,) the same, counted; None where the candidate is not feasible."""
        key = keys(code[None])[0]
        if key not in self._exact:
            counted = self._counted(self._choices(code))
            if counted is not None and np.isnan(counted).any():
                counted = np.where(np.isnan(counted), self.facts(code[None])[0], counted)
            self._exact[key] = counted
        return self._exact[key]

    @cached_property
    def _models(self) -> list[Surrogate]:
        """What the logarithm of each fact is, by some candidates."""
        rng = random.Random(self._seed)
        codes, facts = [], []
        for _ in range(_COUNTED):
            choices = self._space.sample_feasible(rng, tries=_TRIES)
            counted = None if choices is None else self._counted(choices)
            if choices is not None and counted is not None:
                codes.append(self._code(choices))
                facts.append(np.log(counted))
        found = np.array(facts).reshape(-1, self.num_facts)
        return [
            self._model(np.array(codes)[is_known], found[is_known, place], name=str(place))
            for place, is_known in enumerate(~np.isnan(found.T))
        ]

    def _model(self, codes: Array, values: Array, *, name: str) -> Surrogate:
        """What is believed of a fact; where nothing is known nothing is told apart."""
        if not len(codes):
            codes, values = np.full((1, len(self.encoding)), np.nan), np.zeros(1)
        return Surrogate(
            self.encoding,
            codes=codes,
            facts=np.zeros((len(codes), 0)),
            values=values,
            weights=np.ones(len(codes)),
            name=name,
            memory={},
        )

    def _counted(self, choices: Choices) -> Array | None:
        """(f,) NaN for a latency that cannot be told; None where it is not feasible."""
        from archbench.models import count

        try:
            spec = self._space.decode(choices)
        except InfeasibleError:
            return None
        counted = count(spec)
        facts = [float(getattr(counted, name)) for name in self._facts]
        if self._predict:
            facts.append(self._predict(spec) or math.nan)
        return np.array(facts)

    def _code(self, choices: Choices) -> Array:
        row = np.full(len(self.encoding), np.nan)
        for axis in self._axes:
            if axis.name in choices:
                row[self._column[axis.name]] = self._index[axis.name].index(choices[axis.name])
        return row

    def _choices(self, code: Array) -> Choices:
        return self._space.choose(lambda axis: self._chosen(axis, code) or 0)

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


def _published_in(space: SearchSpace) -> Iterator[Choices]:
    """The choices that name a published network.

    Axes are set one after the other to what makes the document most like the network's, and what
    comes of it is compared by digest: so a network of which the space holds another spelling may
    be missed, and none is found wrongly.
    """
    from archbench.models import as_spec, published_names

    num_stages, resolution = len(space.base["stages"]), space.base["resolution"]
    for name in published_names():
        spec = as_spec(name)
        wanted = spec.to_document()
        if len(wanted["stages"]) != num_stages or wanted["resolution"] != resolution:
            continue
        choices = _most_like(space, _settings(wanted))
        try:
            if space.decode(choices).digest == spec.digest:
                yield choices
        except InfeasibleError:
            continue


def _most_like(space: SearchSpace, wanted: set[tuple[str, str]]) -> Choices:
    held: Choices = {}
    for _ in range(_PASSES):
        for axis in space.axes:
            best = -1
            kept = held.get(axis.name, 0)
            for index in range(len(axis.values)):
                tried = {**held, axis.name: index}
                choices = _chosen(space, tried)
                alike = len(wanted & _settings(space.document(choices)))
                if alike > best:
                    best, kept = alike, index
            held[axis.name] = kept
    return _chosen(space, held)


def _chosen(space: SearchSpace, held: Choices) -> Choices:
    return space.choose(lambda axis: held.get(axis.name, 0))


def _settings(document: Mapping[str, Any]) -> set[tuple[str, str]]:
    """What is set where, each layer by itself, however the document shares it between layers."""
    stages = [
        {
            **{key: value for key, value in stage.items() if key not in ("block", "layers")},
            "layers": [
                {**stage.get("block", {}), **stage.get("layers", {}).get(layer, {})}
                for layer in range(stage.get("depth", 0))
            ],
        }
        for stage in document["stages"]
    ]
    return set(_leaves({**document, "stages": stages}))


def _leaves(document: Any, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(document, Mapping):
        for key, value in document.items():
            yield from _leaves(value, f"{path}.{key}")
    elif isinstance(document, (list, tuple)):
        for index, value in enumerate(document):
            yield from _leaves(value, f"{path}[{index}]")
    else:
        yield path, repr(document)
