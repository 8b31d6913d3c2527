"""How many candidates are there, which are they, and how is one drawn so that all are equal?

Axes that decide about each other form components, and components multiply. Within one, axes are
taken in order, and of those before only the choices that later ones depend on are remembered: so
layers under a depth are counted by multiplication, not by enumeration.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from math import prod

from archbench.space.axis import Axis, Choices
from archbench.space.conditions import Wiring

MAX_STATES = 200_000
_State = tuple[int | None, ...]


class Selection:
    """The choices of a space: activity, number, order, chance.

    Choices map the name of each active axis to the number of its value. Axes are in the order in
    which they are asked.
    """

    def __init__(self, wiring: Wiring) -> None:
        self.axes: tuple[Axis, ...] = wiring.axes
        self._wiring = wiring
        self._restricted: dict[frozenset[tuple[str, int]], _Component] = {}

    def choose(self, chooser: Callable[[Axis], int]) -> Choices:
        """Choices made axis by axis; only axes that are active, given those before, are asked.

        Of values that come to the same network the first is taken.

        Raises:
            ValueError: The chooser gives an index that the axis does not have.
        """
        choices: Choices = {}
        for axis in self.axes:
            standing = self._wiring.standing(axis, choices)
            if standing:
                index = chooser(axis)
                if not 0 <= index < len(standing):
                    raise ValueError(f"{axis.name} has no value number {index}")
                choices[axis.name] = standing[index]
        return choices

    def size(self) -> int:
        """The exact number of candidates, feasible or not.

        Inactive choices do not count, and choices that come to the same network count once.

        Raises:
            SpaceError: Axes are too entangled to be counted.
        """
        return prod(component.ways[0][()] for component in self._components)

    def sample(self, rng: random.Random) -> Choices:
        """A candidate, feasible or not, every one as likely as every other."""
        choices = self.sample_with({}, rng)
        assert choices is not None, "nothing was asked for, so there is always a candidate"
        return choices

    def sample_with(self, given: Mapping[str, int], rng: random.Random) -> Choices | None:
        """A random candidate that has some values, all equally likely; None where there is none."""
        found: Choices = {}
        for component in self._components:
            axes = component.axes if given else ()
            own = {axis.name: given[axis.name] for axis in axes if axis.name in given}
            key = frozenset(own.items())
            if own and key not in self._restricted:
                self._restricted[key] = self._component(axes, own)
            drawn = self._restricted.get(key, component).sample(rng)
            if drawn is None:
                return None
            found |= drawn
        return {axis.name: found[axis.name] for axis in self.axes if axis.name in found}

    def enumerate(
        self, *, among: Callable[[Axis], Sequence[int]] | None = None
    ) -> Iterator[Choices]:
        """Every candidate once, feasible or not, in the order of the axes and their values.

        ``among`` gives the values of an axis to which candidates are limited; all by default.
        """
        waiting: list[tuple[int, Choices]] = [(0, {})]
        while waiting:
            place, choices = waiting.pop()
            if place == len(self.axes):
                yield choices
                continue
            axis = self.axes[place]
            standing = self._wiring.standing(axis, choices)
            wanted = among(axis) if among and standing else range(len(standing))
            options = dict.fromkeys(standing[index] for index in wanted)
            waiting += [(place + 1, {**choices, axis.name: index}) for index in reversed(options)]
            if not standing:
                waiting.append((place + 1, choices))

    @cached_property
    def _components(self) -> tuple[_Component, ...]:
        """The axes in groups that depend on each other, each counted."""
        groups: dict[str, set[str]] = {axis.name: {axis.name} for axis in self.axes}
        for axis in self.axes:
            for other in self._wiring.controllers[axis.name]:
                if groups[other] is not groups[axis.name]:
                    joined = groups[axis.name] | groups[other]
                    groups |= dict.fromkeys(joined, joined)
        seen = {id(group): group for group in groups.values()}
        return tuple(
            self._component([axis for axis in self.axes if axis.name in group], {})
            for group in seen.values()
        )

    def _component(self, axes: Sequence[Axis], given: Mapping[str, int]) -> _Component:
        """A group with the number of ways to go on from every state that can be reached."""
        deciding = [self._wiring.controllers[axis.name] for axis in axes]
        live: list[tuple[str, ...]] = []
        for place in range(len(axes) + 1):
            needed = frozenset[str]().union(*deciding[place:])
            live.append(tuple(axis.name for axis in axes[:place] if axis.name in needed))
        steps: list[dict[_State, dict[int | None, _State]]] = []
        states: set[_State] = {()}
        for place, axis in enumerate(axes):
            step = {}
            for state in states:
                before = dict(zip(live[place], state, strict=True))
                chosen = {name: index for name, index in before.items() if index is not None}
                standing = self._wiring.standing(axis, chosen)
                options: Sequence[int | None] = sorted(set(standing)) or (None,)
                if axis.name in given:
                    options = [index for index in options if index == given[axis.name]]
                step[state] = {
                    index: tuple({**before, axis.name: index}[name] for name in live[place + 1])
                    for index in options
                }
            steps.append(step)
            states = {after for ways in step.values() for after in ways.values()}
            if len(states) > MAX_STATES:
                axis.place.fail(
                    f"{axis.name} and the axes before it hang together in more than "
                    f"{MAX_STATES:,} ways, too many to count",
                    help="let fewer axes depend on each other",
                )
        ways: list[dict[_State, int]] = [{(): 1}]
        for step in reversed(steps):
            after = ways[-1]
            ways.append(
                {state: sum(after[then] for then in on.values()) for state, on in step.items()}
            )
        return _Component(tuple(axes), steps, ways[::-1])


@dataclass(frozen=True)
class _Component:
    """Axes that depend on each other, in the order in which they are asked.

    ``steps`` has for each axis, from each state, each choice (None for none) and the state after
    it; ``ways``, before each axis, in each state, the number of ways to go on to the end.
    """

    axes: tuple[Axis, ...]
    steps: Sequence[Mapping[_State, Mapping[int | None, _State]]]
    ways: Sequence[Mapping[_State, int]]

    def sample(self, rng: random.Random) -> Choices | None:
        if not self.ways[0][()]:
            return None
        choices: Choices = {}
        state: _State = ()
        for place, axis in enumerate(self.axes):
            step = self.steps[place][state]
            weights = [self.ways[place + 1][after] for after in step.values()]
            number = rng.randrange(sum(weights))  # exact, however large, unlike floats
            drawn = bisect_right(list(accumulate(weights)), number)
            index, state = list(step.items())[drawn]
            if index is not None:
                choices[axis.name] = index
        return choices
