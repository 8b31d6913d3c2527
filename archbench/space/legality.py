"""Is every value of every axis legal somewhere? One that never is is a mistake in the file."""

from __future__ import annotations

import random
from collections.abc import Callable

from archbench.errors import SpaceError
from archbench.space.axis import Axis, Choices
from archbench.space.candidate import Candidate, InfeasibleError, Rules
from archbench.space.selection import Selection

_TRIES = 50


def check_values(
    selection: Selection, candidate: Callable[[Choices], Candidate], rules: Rules
) -> None:
    """Refuses a space with a value that no legal network has, requirements aside.

    A value counts as never legal when all of its candidates, or some tens of random ones, are
    illegal at the very field that it sets; what is illegal for other reasons is left to the count
    of dead choices.

    Raises:
        SpaceError: At the value's line and column, with what is allowed.
    """
    rng = random.Random(0)
    for axis in selection.axes:
        for index in range(len(axis.values)):
            error = _never_legal(selection, candidate, rules, axis, index, rng)
            if error is not None:
                raise SpaceError(
                    f"{axis.name}: the value {axis.label(index)} is never legal: {error.message}",
                    place=str(axis.value_places[index]),
                    help=error.help or "take it out",
                )


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
        found = candidate(choices)
        try:
            _ = found.resolved
            found.check_proxy(rules.proxy)
        except InfeasibleError as error:
            if not any(str(target) in error.message for target in axis.targets):
                return None
            failure = error
        else:
            return None
    return failure
