"""Is every value of every axis legal somewhere? One that never is is a mistake in the file."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable

from archbench.errors import SpaceError
from archbench.space.axis import Axis, Choices
from archbench.space.candidate import Candidate, InfeasibleError, Rules
from archbench.space.selection import Selection

_TRIES = 50
_FIRST = 20


def check_values(
    selection: Selection, candidate: Callable[[Choices], Candidate], rules: Rules
) -> None:
    """Refuses a space with a value that no legal network has, requirements aside.

    Values that some random legal network has are done with. Any other counts as never legal when
    some tens of random candidates that have it are all illegal at the very field that it sets;
    what is illegal for other reasons is left to the count of dead choices.

    Raises:
        SpaceError: At the value's line and column, with what is allowed.
    """
    rng = random.Random(0)
    waiting = {
        (axis.name, index): axis for axis in _distinct(selection.axes) for index in _all(axis)
    }
    for _ in range(_FIRST):
        choices = selection.sample(rng) if waiting else None
        if choices is None:
            break
        if _illegality(candidate(choices), rules) is None:
            for choice in choices.items():
                waiting.pop(choice, None)
    for (_, index), axis in waiting.items():
        error = _never_legal(selection, candidate, rules, axis, index, rng)
        if error is not None:
            raise SpaceError(
                f"{axis.name}: the value {axis.label(index)} is never legal: {error.message}",
                place=str(axis.value_places[index]),
                help=error.help or "take it out",
            )


def _distinct(axes: Iterable[Axis]) -> list[Axis]:
    """The axes without those that set in another layer what one of them sets in the first."""
    found: dict[tuple[object, ...], Axis] = {}
    for axis in axes:
        target = axis.targets[0]
        layer = None if target.layer is None else "any"
        found.setdefault((axis.place, target.stage, layer, target.segments[-1].name), axis)
    return list(found.values())


def _all(axis: Axis) -> range:
    return range(len(axis.values))


def _illegality(candidate: Candidate, rules: Rules) -> InfeasibleError | None:
    try:
        _ = candidate.resolved
        candidate.check_proxy(rules.proxy)
    except InfeasibleError as error:
        return error
    return None


def _never_legal(
    selection: Selection,
    candidate: Callable[[Choices], Candidate],
    rules: Rules,
    axis: Axis,
    index: int,
    rng: random.Random,
) -> InfeasibleError | None:
    failure = None
    for _ in range(_TRIES):
        choices = selection.sample(rng, given={axis.name: index})
        if choices is None:
            return None
        failure = _illegality(candidate(choices), rules)
        if failure is None or not any(str(t) in failure.message for t in axis.targets):
            return None
    return failure
