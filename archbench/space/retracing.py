"""Which choices of a space make a network that is known from elsewhere?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any

from archbench.errors import SpecError
from archbench.models import ArchSpec
from archbench.models.path import get
from archbench.space.axis import Axis, Choices
from archbench.space.candidate import InfeasibleError
from archbench.space.space import SearchSpace

_WALKS = 64


def choices_for(
    space: SearchSpace, spec: ArchSpec, *, known: Mapping[str, Any] | None = None
) -> Choices | None:
    """The choices that come to the very network, to the digest; None where none were found.

    An axis takes the value that is known of it, else what the network has written there. Where
    neither says it, as for derived values, its values are tried in turn, at most 64 combinations;
    so a candidate of an unlike space may be missed, and never is a wrong one given.

    Takes about as long as decoding a candidate where every axis is known.

    Args:
        space: Where it is looked for.
        spec: The network.
        known: Axis to value as tables show it, from a space whose axes bear the same names.
    """
    document = spec.to_document()

    def options(axis: Axis) -> Sequence[int]:
        return _options(axis, document=document, known=known or {})

    for choices in islice(_walks(space, options), _WALKS):
        try:
            if space.decode(choices).digest == spec.digest:
                return choices
        except InfeasibleError:
            continue
    return None


class _NoValueError(Exception):
    """An axis that lacks the network's value."""


def _options(axis: Axis, *, document: Mapping[str, Any], known: Mapping[str, Any]) -> Sequence[int]:
    """Which values of an axis the network may have; none where it has another one."""
    every = range(len(axis.values))
    if axis.name in known:
        value = known[axis.name]
        found = [index for index in every if _equal(axis.label(index), value)]
        if found or not _is_composed(axis):
            return found
    for target in axis.targets:
        try:
            written = get(document, target)
        except SpecError:
            continue  # not in this network, or derived there
        return [index for index in every if _may_be(axis.values[index], written)]
    return every


def _is_composed(axis: Axis) -> bool:
    """Whether a value may be written in several ways, as parts and lists can."""
    return axis.is_part or any(isinstance(value, list | Mapping) for value in axis.values)


def _may_be(value: Any, written: Any) -> bool:
    """Whether a value may have become what is written; no other axis sets a part's own fields."""
    if isinstance(value, Mapping) and isinstance(written, Mapping):
        return all(_equal(written.get(key, inner), inner) for key, inner in value.items())
    return isinstance(value, list) or _equal(value, written)


def _equal(one: Any, other: Any) -> bool:
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def _walks(space: SearchSpace, options: Any) -> Iterator[Choices]:
    """Every way through the options, those of the last axes changing first."""
    script: list[int] = []
    while True:
        asked: list[int] = []
        with suppress(_NoValueError):
            yield space.choose(_chooser(options, script=script, asked=asked))
        script += [0] * (len(asked) - len(script))
        while script and script[-1] + 1 >= asked[len(script) - 1]:
            script.pop()
        if not script:
            return
        script[-1] += 1


def _chooser(options: Any, *, script: Sequence[int], asked: list[int]) -> Any:
    def choose(axis: Axis) -> int:
        found = options(axis)
        asked.append(len(found))
        if not found:
            raise _NoValueError
        place = len(asked) - 1
        return int(found[script[place] if place < len(script) else 0])

    return choose
