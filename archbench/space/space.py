"""What is searched: the candidates of a space, how many are feasible, and what excludes others."""

from __future__ import annotations

import copy
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from archbench.analysis.statistics import Estimate, wilson
from archbench.digest import sha256_of
from archbench.errors import ArchbenchError, SpaceError, wrong_type
from archbench.models import ArchSpec
from archbench.space.axis import Axis, Choices, check_reads, expand_axes
from archbench.space.candidate import Candidate, exclusions
from archbench.space.conditions import Wiring
from archbench.space.expression import InfeasibleError, parse_expression
from archbench.space.file import find
from archbench.space.known_network import KnownNetwork, known_network
from archbench.space.reading import (
    document_text,
    first_comment,
    read_axes,
    read_base,
    read_requirements,
    read_root,
    sets_more,
)
from archbench.space.resolution import sides_of, with_side
from archbench.space.sections import (
    AUTO,
    SECTIONS,
    Direction,
    ProxySection,
    SearchSection,
    TargetSection,
)
from archbench.space.selection import Selection
from archbench.study.objective import costs
from archbench.yaml_document import Node, Place, read_text, write_flow

_ALLOWED = "a file, the name of a shipped space, a document (a dict) or a SearchSpace"
_TRIES = 50
_FIRST = 20


@dataclass(frozen=True, kw_only=True)
class FeasibleShare(Estimate):
    """The share of feasible candidates with its interval, which is the share itself where exact.

    ``excluded`` is what excludes candidates and how many of the ``samples`` looked at, most first;
    one candidate may be excluded by several.
    """

    is_exact: bool
    samples: int
    feasible: int
    excluded: tuple[tuple[str, int], ...]


@dataclass(frozen=True, kw_only=True)
class DeadChoice:
    """A value that no feasible candidate has; only ``samples`` were looked at if not certain."""

    axis: str
    value: Any
    is_certain: bool
    samples: int


class SearchSpace(Selection):
    """Networks to choose from, and the conditions under which they are compared.

    ``source`` is the file of the text, for messages; its stem is the name of the space, and of its
    candidates, where none is given. Overrides are texts ``PATH=VALUE``: a section's key, a place of
    the base, or an axis; they are written at the end of ``text``, which makes this space again.
    ``overridden`` are the keys of all that was set so. A resolution that is set to several leaves
    the base at the largest, where its own is none of them.
    ``question``, the first comment of the file, is the one that the space answers. ``require`` are
    the requirements as written and the limits that are arithmetic; ``limits`` of costs are hard.
    Where the resolution is an axis, ``sides`` say at which each candidate is trained. The
    ``baselines`` are names of known networks, None where they are chosen by their latency.

    Raises:
        SpaceError: The space cannot be searched as written, with file, line and column; so is a
            value that is never legal.

    Examples:
        >>> text = '{base: levit_128s, axes: {"stages[0].dim": [96, 128]}}'
        >>> SearchSpace(text, source="small.yaml").size()
        2
    """

    target: TargetSection
    objectives: Mapping[str, Direction]
    limits: Mapping[str, float]
    proxy: ProxySection
    search: SearchSection
    baselines: tuple[str, ...] | None

    def __init__(
        self, text: str, *, source: str, name: str | None = None, overrides: Sequence[str] = ()
    ) -> None:
        root, settings, self.text, self.overridden = read_root(
            text, source=source, overrides=overrides
        )
        self._members = members = root.entries(noun="key")
        stem = Path(source).name.removesuffix(".yaml").removesuffix(".yml")
        self._source = source
        self.name = name or members.get("name", Node(stem, Place(source, 1, 1))).word()
        self.question = first_comment(text)
        base = with_side(read_base(root), settings.get("resolution"))
        axes, fixed = read_axes(members, settings)
        required = read_requirements(members.get("require"))
        for section, read in SECTIONS.items():
            setattr(self, section, read(members.get(section)))
        self.base, expanded, variants = expand_axes(base, axes, fixed)
        wiring = Wiring(self.base, expanded, variants)
        for requirement in required:
            check_reads(requirement, variants)
        for cost, limit in self.limits.items():
            if cost in costs("arithmetic"):
                most = int(limit) if limit % 1 == 0 else limit
                required.append(parse_expression(f"{cost} <= {most}", place=Place(source, 1, 1)))
        required.sort(key=lambda required: bool(required.quantities))  # these cost most
        self.require = tuple(requirement.text for requirement in required)
        self._requirements = required
        super().__init__(wiring)
        self.sides = sides_of(self.axes, base=self.base, proxy=self.proxy)
        self._check_values()
        for name in self.baselines or ():
            try:
                self.known_network(name)
            except ArchbenchError as error:
                told = f"{name}: {error.message}"
                members["baselines"].fail(told, help=error.help or "take it out")

    @classmethod
    def load(
        cls, written: str | Path | Mapping[str, Any] | SearchSpace, *, overrides: Sequence[str] = ()
    ) -> SearchSpace:
        """The space of a file, of a name that the package ships, or of a plain document.

        A document is what a file holds, as a dict; its ``name`` is ``space`` where it has none. A
        space is itself, but for the overrides.

        Raises:
            MissingError: There is neither such a file nor such a name.
            SpaceError: The space cannot be searched as written, with file, line and column.
            UsageError: It is nothing of that kind.
        """
        if isinstance(written, SearchSpace):
            if not overrides:
                return written
            return cls(written.text, source=written.name, name=written.name, overrides=overrides)
        if isinstance(written, Mapping):
            return cls(document_text(written), source="space", overrides=overrides)
        if not isinstance(written, str | Path):
            raise wrong_type(written, place="space", allowed=_ALLOWED)
        path = find(written)
        return cls(read_text(path), source=str(path), overrides=overrides)

    def is_set_in(self, other: SearchSpace) -> bool:
        """Whether another space is this one, but for what else was set of it from outside."""
        return self.text == other.text or sets_more(other.text, self.text)

    def on(self, backend: str) -> SearchSpace:
        """The space with this backend where its target leaves that open; its text stays."""
        if self.target.backend != AUTO:
            return self
        settled = copy.copy(self)
        settled.target = replace(self.target, backend=backend)
        return settled

    @property
    def digest(self) -> str:
        """Identity of what is searched: base, axes and requirements, but no conditions."""
        base = {key: value for key, value in self.base.items() if key != "name"}
        axes = {
            axis.name: [*map(write_flow, axis.values), axis.when.text if axis.when else ""]
            for axis in self.axes
        }
        return sha256_of([base, axes, sorted(self.require)])[:16]

    def place_of(self, key: str) -> str:
        """Where the value of a section's key such as ``search.sampler`` is written.

        The key itself where the value is the default.
        """
        section, _, name = key.partition(".")
        node = self._members.get(section)
        entries = node.value if node and isinstance(node.value, Mapping) else {}
        return str(entries[name].place) if name in entries else key

    @property
    def trained_sides(self) -> dict[int, int]:
        """The resolutions that candidates may have, with those at which they are trained."""
        axes = (axis for axis in self.axes if axis.name == "resolution")
        return {own: self.sides.of(own) for axis in axes if self.sides for own in axis.values}

    def known_network(self, name: str) -> KnownNetwork:
        """A known network as candidates are timed and trained; see the function of this name."""
        return known_network(name, base=self.base, section=self.proxy)

    def values(self, choices: Choices) -> dict[str, Any]:
        """The chosen values by axis, for tables; whole parts as a label."""
        return {
            axis.name: axis.label(choices[axis.name]) for axis in self.axes if axis.name in choices
        }

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
        drawn = self._drawn(samples, random.Random(seed), is_exact=is_exact)
        reasons = [self.excluded_by(choices) for choices in drawn]
        excluded = Counter(chain.from_iterable(reasons))
        feasible = reasons.count([])
        share = feasible / len(reasons)
        exact = Estimate(value=share, low=share, high=share)
        return FeasibleShare(
            **asdict(exact if is_exact else wilson(feasible, len(reasons))),
            is_exact=is_exact,
            samples=len(reasons),
            feasible=feasible,
            excluded=tuple(sorted(excluded.items(), key=lambda item: (-item[1], item[0]))),
        )

    def infeasible(self, share: FeasibleShare) -> SpaceError:
        """The error for a space in which no feasible candidate was found: what excludes them."""
        listed = [f"{reason} excludes {count:,}" for reason, count in share.excluded[:3]]
        noun = "candidates" if share.is_exact else "random candidates"
        return SpaceError(
            f"no candidate is feasible: of {share.samples:,} {noun} {'; '.join(listed)}",
            place=self._source,
            help="loosen what excludes most, or widen the axes it reads",
        )

    def dead_choices(self, *, samples: int = 2000) -> tuple[DeadChoice, ...]:
        """Values that no feasible candidate has; those found by chance alone say so.

        Exact where the space has no more candidates than ``samples``; else each value that does
        not come up is looked for in random candidates that have it.
        """
        is_exact, rng = self.size() <= samples, random.Random(0)
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
                axis.nodes[index].fail(
                    f"{axis.name}: the value {axis.label(index)} is never legal: {found.message}",
                    help=found.help or "take it out",
                )
        if error is not None and len(failures) == 1:
            message = f"no network of this space is legal: {error.message}"
            raise SpaceError(message, place=self._source, help=error.help)

    def _candidate(self, choices: Choices) -> Candidate:
        return Candidate(self.document(choices), self.proxy, self.sides)

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
