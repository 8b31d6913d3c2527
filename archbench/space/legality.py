"""Is every value of every axis legal somewhere? One that never is is a mistake in the file."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence

from archbench.errors import SpaceError
from archbench.space.axis import Axis, Choices
from archbench.space.candidate import Candidate, InfeasibleError, Requirement, exclusions
from archbench.space.selection import Selection

_TRIES = 50
_FIRST = 20


def check_values(
    selection: Selection,
    candidate: Callable[[Choices], Candidate],
    requirements: Sequence[Requirement],
    *,
    source: str,
) -> None:
    """Refuses a space with a value that no legal network has, requirements aside.

    Values that some random legal network has are done with. Any other counts as never legal when
    some tens of random candidates that have it are all illegal at the very field that it sets, or
    all for one and the same reason that other values do not give; what is illegal now for this
    reason and now for that is left to the count of dead choices.

    Raises:
        SpaceError: At the value's line and column, with what is allowed; or at that of a
            requirement that compares what cannot be compared.
    """
    rng = random.Random(0)
    failures: set[str] = set()
    waiting = {
        (axis.name, index): axis for axis in _distinct(selection.axes) for index in _all(axis)
    }
    error = None
    for _ in range(_FIRST):
        choices = selection.sample(rng)
        error = None if choices is None else _illegality(candidate(choices))
        failures.add(error.message if error else "")
        if choices is not None and error is None:
            list(exclusions(candidate(choices), requirements))  # those without a value say so now
        for choice in choices.items() if choices and not error else ():
            waiting.pop(choice, None)
        if not waiting:
            break
    for (_, index), axis in waiting.items():
        found = _never_legal(selection, candidate, axis, index, rng)
        if found is not None and (_names(found, axis) or failures != {found.message}):
            raise SpaceError(
                f"{axis.name}: the value {axis.label(index)} is never legal: {found.message}",
                place=str(axis.value_places[index]),
                help=found.help or "take it out",
            )
    if error is not None and len(failures) == 1:
        raise SpaceError(
            f"no network of this space is legal: {error.message}", place=source, help=error.help
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


def _illegality(candidate: Candidate) -> InfeasibleError | None:
    try:
        candidate.check_legal()
    except InfeasibleError as error:
        return error
    return None


def _never_legal(
    selection: Selection,
    candidate: Callable[[Choices], Candidate],
    axis: Axis,
    index: int,
    rng: random.Random,
) -> InfeasibleError | None:
    """Why a value is never legal; None where it is, or where it is not one reason alone."""
    first = None
    for _ in range(_TRIES):
        choices = selection.sample(rng, given={axis.name: index})
        if choices is None:
            return None
        failure = _illegality(candidate(choices))
        if failure is None:
            return None
        first = first or failure
        if not _names(failure, axis) and failure.message != first.message:
            return None
    return first


def _names(error: InfeasibleError, axis: Axis) -> bool:
    return any(str(target) in error.message for target in axis.targets)
