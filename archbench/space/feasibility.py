"""How many candidates are feasible, what excludes the others, and which values are dead?"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import sqrt
from typing import Any

from archbench.space.axis import Axis, Choices
from archbench.space.selection import Selection

_Z = 1.959963984540054  # 95 % of a normal distribution lie within this many deviations


@dataclass(frozen=True, kw_only=True)
class Share:
    """The share of feasible candidates.

    Attributes:
        value: The share, or its estimate.
        low: Lower end of the interval of 95 % (Wilson 1927), the share itself where exact.
        high: Upper end.
        is_exact: Whether every candidate was looked at.
        samples: Candidates that were looked at.
        feasible: How many of them are feasible.
        excluded: What excludes candidates and how many of those looked at, most first; one
            candidate may be excluded by several.
    """

    value: float
    low: float
    high: float
    is_exact: bool
    samples: int
    feasible: int
    excluded: tuple[tuple[str, int], ...]


@dataclass(frozen=True, kw_only=True)
class DeadChoice:
    """A value that no feasible candidate has.

    Attributes:
        axis: Name of the axis.
        value: The value's label.
        index: The value's number.
        is_certain: Whether every candidate with it was looked at; else only ``samples`` random
            ones were.
        samples: Candidates with this value that were looked at.
    """

    axis: str
    value: Any
    index: int
    is_certain: bool
    samples: int


def feasible_share(
    selection: Selection,
    excluded_by: Callable[[Choices], list[str]],
    *,
    samples: int,
    rng: random.Random,
) -> Share:
    """The share of feasible candidates, exact where there are no more than ``samples``."""
    is_exact = selection.size <= samples
    excluded: Counter[str] = Counter()
    seen = feasible = 0
    for choices in _candidates(selection, is_exact, samples, rng):
        found = excluded_by(choices)
        excluded.update(found)
        seen += 1
        feasible += not found
    low, high = (feasible / seen,) * 2 if is_exact else wilson(feasible, seen)
    return Share(
        value=feasible / seen,
        low=low,
        high=high,
        is_exact=is_exact,
        samples=seen,
        feasible=feasible,
        excluded=tuple(sorted(excluded.items(), key=lambda item: (-item[1], item[0]))),
    )


def wilson(hits: int, samples: int) -> tuple[float, float]:
    """The interval of 95 % for a share of which ``hits`` of ``samples`` were seen.

    Source: Wilson 1927, "Probable inference, the law of succession, and statistical inference".

    >>> [round(end, 3) for end in wilson(0, 100)]
    [0.0, 0.037]
    """
    share = hits / samples
    scale = 1 + _Z**2 / samples
    centre = (share + _Z**2 / (2 * samples)) / scale
    half = _Z * sqrt(share * (1 - share) / samples + _Z**2 / (4 * samples**2)) / scale
    return max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half))


def dead_choices(
    selection: Selection,
    is_feasible: Callable[[Choices], bool],
    *,
    samples: int,
    rng: random.Random,
) -> tuple[DeadChoice, ...]:
    """The values that no feasible candidate has."""
    is_exact = selection.size <= samples
    wanted = {
        (axis.name, index): axis for axis in selection.axes for index in range(len(axis.values))
    }
    seen: Counter[tuple[str, int]] = Counter()
    for choices in _candidates(selection, is_exact, min(samples, 200), rng):
        seen.update(choices.items())
        if wanted.keys() & choices.items() and is_feasible(choices):
            for choice in choices.items():
                wanted.pop(choice, None)
    dead = []
    for (name, index), axis in wanted.items():
        certain, looked = is_exact, seen[name, index]
        if not is_exact:
            found, certain, looked = _search(selection, is_feasible, axis, index, samples, rng)
            if found:
                continue
        dead.append(
            DeadChoice(
                axis=name, value=axis.label(index), index=index, is_certain=certain, samples=looked
            )
        )
    return tuple(dead)


def _search(
    selection: Selection,
    is_feasible: Callable[[Choices], bool],
    axis: Axis,
    index: int,
    samples: int,
    rng: random.Random,
) -> tuple[bool, bool, int]:
    """Whether a value comes up in a feasible candidate, is certain not to, and after how many."""
    tries = max(1, samples // 10)
    for number in range(tries):
        choices = selection.sample(rng, given={axis.name: index})
        if choices is None:
            return False, True, 0
        if is_feasible(choices):
            return True, False, number + 1
    return False, False, tries


def _candidates(
    selection: Selection, is_exact: bool, samples: int, rng: random.Random
) -> Iterable[Choices]:
    if is_exact:
        return selection.enumerate()
    drawn = (selection.sample(rng) for _ in range(samples))
    return (choices for choices in drawn if choices is not None)
