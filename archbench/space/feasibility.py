"""How many candidates are feasible, what excludes the others, and which values are no use?"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from archbench.analysis.statistics import Estimate, wilson
from archbench.errors import SpaceError
from archbench.models import ArchSpec
from archbench.space.axis import Axis, Choices
from archbench.space.candidate import Candidate, exclusions
from archbench.space.conditions import Wiring
from archbench.space.expression import Expression, InfeasibleError
from archbench.space.sections import ProxySection
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


class NetworkSelection(Selection):
    """The choices of a space as networks: which of them are legal and meet its requirements.

    Args:
        wiring: The axes over their base.
        name: Of every candidate.
        proxy: How candidates are trained, where they must be legal, too.
        requirements: What they must meet, cheapest first.
        source: The file, for messages.

    Raises:
        SpaceError: A value is never legal, at its line and column with what is allowed; or a
            requirement compares what cannot be compared, at its own.
    """

    def __init__(
        self,
        wiring: Wiring,
        *,
        name: str,
        proxy: ProxySection,
        requirements: Sequence[Expression],
        source: str,
    ) -> None:
        super().__init__(wiring)
        self.name, self.proxy, self._source = name, proxy, source
        self._requirements = requirements
        self._check_values()

    def document(self, choices: Choices) -> dict[str, Any]:
        """The network as plain values, legal or not."""
        return {**self._wiring.document(choices), "name": self.name}

    def decode(self, choices: Choices) -> ArchSpec:
        """The network that choices name.

        Raises:
            InfeasibleError: It is illegal at the target or at the proxy, or a requirement is not
                met; ``requirement`` says which.
        """
        candidate = self._candidate(choices)
        for error in exclusions(candidate, self._requirements):
            raise error
        return candidate.spec

    def excluded_by(self, choices: Choices) -> list[str]:
        """Every requirement that choices do not meet, and why the network is illegal if it is."""
        found = exclusions(self._candidate(choices), self._requirements)
        return list(dict.fromkeys(error.requirement for error in found))

    def is_feasible(self, choices: Choices) -> bool:
        """Whether choices name a legal network that meets every requirement."""
        return next(exclusions(self._candidate(choices), self._requirements), None) is None

    def sample_feasible(self, rng: random.Random, *, tries: int = 1000) -> Choices | None:
        """A feasible candidate, all equally likely; None where none was among some tries."""
        drawn = (self.sample(rng) for _ in range(tries))
        return next(filter(self.is_feasible, drawn), None)

    def feasible(self, *, samples: int = 2000, seed: int = 0) -> FeasibleShare:
        """The share of candidates that are feasible, and what excludes the others.

        Exact where the space has no more candidates than ``samples``, else with an interval of
        95 % from as many random candidates. A candidate costs about a millisecond.
        """
        is_exact = self.size() <= samples
        excluded: Counter[str] = Counter()
        seen = feasible = 0
        for choices in self._drawn(samples, random.Random(seed), is_exact=is_exact):
            found = self.excluded_by(choices)
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

    def infeasible(self, share: FeasibleShare) -> SpaceError:
        """The error for a space in which no feasible candidate was found: what excludes them."""
        listed = [f"{reason} excludes {count:,}" for reason, count in share.excluded[:3]] or [
            "nothing is known of it"
        ]
        return SpaceError(
            f"no candidate is feasible: of {share.samples:,} "
            f"{'candidates' if share.is_exact else 'random candidates'} {'; '.join(listed)}",
            place=self._source,
            help="loosen what excludes most, or widen the axes it reads",
        )

    def dead_choices(self, *, samples: int = 2000, seed: int = 0) -> tuple[DeadChoice, ...]:
        """Values that no feasible candidate has; those found by chance alone say so.

        Exact where the space has no more candidates than ``samples``; else each value that does
        not come up is looked for in random candidates that have it.
        """
        is_exact, rng = self.size() <= samples, random.Random(seed)
        wanted = _values(self.axes)
        seen: Counter[tuple[str, int]] = Counter()
        for choices in self._drawn(min(samples, 200), rng, is_exact=is_exact):
            seen.update(choices.items())
            if wanted.keys() & choices.items() and self.is_feasible(choices):
                for choice in choices.items():
                    wanted.pop(choice, None)
        dead = []
        for (name, index), axis in wanted.items():
            looked = seen[name, index] if is_exact else 0
            for choices in () if is_exact else self._having(axis, index, samples // 10 or 1, rng):
                looked += 1
                if self.is_feasible(choices):
                    break
            else:
                certain = is_exact or not looked
                value = axis.label(index)
                dead.append(DeadChoice(axis=name, value=value, is_certain=certain, samples=looked))
        return tuple(dead)

    def _check_values(self) -> None:
        """Refuses a space with a value that no legal network has, requirements aside.

        Values that some random legal network has are done with. Any other counts as never legal
        when some tens of random candidates that have it are all illegal at the very field that it
        sets, or all for one and the same reason that other values do not give; what is illegal
        now for this reason and now for that is left to the count of dead choices.
        """
        rng = random.Random(0)
        failures: set[str] = set()
        waiting = _values(_distinct(self.axes))
        error = None
        for choices in self._drawn(_FIRST, rng):
            candidate = self._candidate(choices)
            error = next(exclusions(candidate, ()), None)
            failures.add(error.message if error else "")
            if error is None:
                list(exclusions(candidate, self._requirements))  # those without a value say so now
                for choice in choices.items():
                    waiting.pop(choice, None)
            if not waiting:
                break
        for (_, index), axis in waiting.items():
            found = _never_legal(map(self._candidate, self._having(axis, index, _TRIES, rng)), axis)
            if found is not None and (_names(found, axis) or failures != {found.message}):
                axis.value_places[index].fail(
                    f"{axis.name}: the value {axis.label(index)} is never legal: {found.message}",
                    help=found.help or "take it out",
                )
        if error is not None and len(failures) == 1:
            message = f"no network of this space is legal: {error.message}"
            raise SpaceError(message, place=self._source, help=error.help)

    def _candidate(self, choices: Choices) -> Candidate:
        return Candidate(self.document(choices), self.proxy)

    def _drawn(
        self, samples: int, rng: random.Random, *, is_exact: bool = False
    ) -> Iterable[Choices]:
        """Every candidate, or so many random ones."""
        return self.enumerate() if is_exact else (self.sample(rng) for _ in range(samples))

    def _having(self, axis: Axis, index: int, tries: int, rng: random.Random) -> Iterator[Choices]:
        """So many random candidates that have a value; none where no candidate has it."""
        for _ in range(tries):
            choices = self.sample_with({axis.name: index}, rng)
            if choices is None:
                return
            yield choices


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
