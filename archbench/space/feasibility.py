"""How many candidates are feasible, what excludes the others, and which values are no use?"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from archbench.analysis.statistics import Estimate, wilson
from archbench.errors import SpaceError
from archbench.space.axis import Axis, Choices
from archbench.space.candidate import Candidate, exclusions
from archbench.space.expression import Expression, InfeasibleError
from archbench.space.selection import Selection

_TRIES = 50
_FIRST = 20


@dataclass(frozen=True, kw_only=True)
class FeasibleShare(Estimate):
    """The share of feasible candidates with its interval, which is the share itself where exact.

    Attributes:
        is_exact: Whether every candidate was looked at.
        samples: Candidates that were looked at.
        feasible: How many of them are feasible.
        excluded: What excludes candidates and how many of those looked at, most first; one
            candidate may be excluded by several.
    """

    is_exact: bool
    samples: int
    feasible: int
    excluded: tuple[tuple[str, int], ...]


@dataclass(frozen=True, kw_only=True)
class DeadChoice:
    """A value of an axis that no feasible candidate has.

    Attributes:
        is_certain: Whether every candidate with it was looked at; else only ``samples`` random
            ones were.
    """

    axis: str
    value: Any
    is_certain: bool
    samples: int


def feasible_share(
    selection: Selection,
    excluded_by: Callable[[Choices], list[str]],
    *,
    samples: int,
    rng: random.Random,
) -> FeasibleShare:
    """The share of feasible candidates, exact where there are no more than ``samples``."""
    is_exact = selection.size() <= samples
    excluded: Counter[str] = Counter()
    seen = feasible = 0
    for choices in _candidates(selection, samples, rng, is_exact=is_exact):
        found = excluded_by(choices)
        excluded.update(found)
        seen += 1
        feasible += not found
    share = feasible / seen
    exact = Estimate(value=share, low=share, high=share)
    return FeasibleShare(
        **asdict(exact if is_exact else wilson(feasible, seen)),
        is_exact=is_exact,
        samples=seen,
        feasible=feasible,
        excluded=tuple(sorted(excluded.items(), key=lambda item: (-item[1], item[0]))),
    )


def dead_choices(
    selection: Selection,
    is_feasible: Callable[[Choices], bool],
    *,
    samples: int,
    rng: random.Random,
) -> tuple[DeadChoice, ...]:
    """The values that no feasible candidate has."""
    is_exact = selection.size() <= samples
    wanted = _values(selection.axes)
    seen: Counter[tuple[str, int]] = Counter()
    for choices in _candidates(selection, min(samples, 200), rng, is_exact=is_exact):
        seen.update(choices.items())
        if wanted.keys() & choices.items() and is_feasible(choices):
            for choice in choices.items():
                wanted.pop(choice, None)
    dead = []
    for (name, index), axis in wanted.items():
        looked = seen[name, index] if is_exact else 0
        drawn = () if is_exact else _having(selection, axis, index, max(1, samples // 10), rng)
        for choices in drawn:
            looked += 1
            if is_feasible(choices):
                break
        else:
            certain = is_exact or not looked
            value = axis.label(index)
            dead.append(DeadChoice(axis=name, value=value, is_certain=certain, samples=looked))
    return tuple(dead)


def check_values(
    selection: Selection,
    candidate: Callable[[Choices], Candidate],
    requirements: Sequence[Expression],
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
    waiting = _values(_distinct(selection.axes))
    error = None
    for choices in _candidates(selection, _FIRST, rng):
        error = next(exclusions(candidate(choices), ()), None)
        failures.add(error.message if error else "")
        if error is None:
            list(exclusions(candidate(choices), requirements))  # those without a value say so now
            for choice in choices.items():
                waiting.pop(choice, None)
        if not waiting:
            break
    for (_, index), axis in waiting.items():
        drawn = map(candidate, _having(selection, axis, index, _TRIES, rng))
        found = _never_legal(drawn, axis)
        if found is not None and (_names(found, axis) or failures != {found.message}):
            axis.value_places[index].fail(
                f"{axis.name}: the value {axis.label(index)} is never legal: {found.message}",
                help=found.help or "take it out",
            )
    if error is not None and len(failures) == 1:
        raise SpaceError(
            f"no network of this space is legal: {error.message}", place=source, help=error.help
        )


def _never_legal(drawn: Iterable[Candidate], axis: Axis) -> InfeasibleError | None:
    """Why candidates with a value are never legal; None where one is, or for several reasons."""
    first = None
    for candidate in drawn:
        failure = next(exclusions(candidate, ()), None)
        if failure is None:
            return None
        first = first or failure
        if not _names(failure, axis) and failure.message != first.message:
            return None
    return first


def _names(error: InfeasibleError, axis: Axis) -> bool:
    return any(str(target) in error.message for target in axis.targets)


def _values(axes: Iterable[Axis]) -> dict[tuple[str, int], Axis]:
    """Every value of every axis, by name and number."""
    return {(axis.name, index): axis for axis in axes for index in range(len(axis.values))}


def _distinct(axes: Iterable[Axis]) -> Iterable[Axis]:
    """The axes without those that set in another layer what one of them sets in the first."""
    found: dict[tuple[object, ...], Axis] = {}
    for axis in axes:
        target = axis.targets[0]
        layer = None if target.layer is None else "any"
        found.setdefault((axis.place, target.stage, layer, target.segments[-1].name), axis)
    return found.values()


def _candidates(
    selection: Selection, samples: int, rng: random.Random, *, is_exact: bool = False
) -> Iterable[Choices]:
    """Every candidate, or so many random ones."""
    if is_exact:
        return selection.enumerate()
    return (selection.sample(rng) for _ in range(samples))


def _having(
    selection: Selection, axis: Axis, index: int, tries: int, rng: random.Random
) -> Iterator[Choices]:
    """So many random candidates that have a value; none where no candidate has it."""
    for _ in range(tries):
        choices = selection.sample_with({axis.name: index}, rng)
        if choices is None:
            return
        yield choices
