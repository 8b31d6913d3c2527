"""What is searched: every candidate of a space, by choices, by number and by chance."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from archbench.errors import SpaceError
from archbench.models import ArchSpec
from archbench.space.axis import Axis, Choices
from archbench.space.candidate import Candidate, InfeasibleError, Requirement, exclusions
from archbench.space.catalogue import find
from archbench.space.conditions import Wiring
from archbench.space.expansion import Expansion, check_reads, expand_axes
from archbench.space.expression import parse_expression
from archbench.space.feasibility import (
    DeadChoice,
    Share,
    check_values,
    dead_choices,
    feasible_share,
)
from archbench.space.reading import Reading, read_space
from archbench.space.sections import ProxySection, SearchSection, TargetSection
from archbench.space.selection import Selection
from archbench.space.yaml_document import Place, read_text, write_flow
from archbench.study.objective import costs


class SearchSpace:
    """Networks to choose from, and the conditions under which they are compared.

    Made by ``load`` and ``parse``. Choices map the name of each active axis to the number of its
    value; axes are asked in the order of ``axes``.

    >>> text = '{base: levit_128s, axes: {"stages[0].dim": [96, 128]}}'
    >>> SearchSpace.parse(text, source="small.yaml").size()
    2
    """

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._expansion: Expansion = expand_axes(reading.base, reading.axes, reading.fixed)
        self._wiring = Wiring(self._expansion)
        self._selection = Selection(self._wiring)
        self._requirements = self._required()
        check_values(self._selection, self._candidate, self._requirements, source=reading.source)

    @classmethod
    def load(cls, path_or_name: str | Path, *, overrides: Sequence[str] = ()) -> SearchSpace:
        """The space of a file, or of a name that the package ships.

        Args:
            path_or_name: A file, or the name of a shipped space.
            overrides: ``PATH=VALUE``: a section's key, a place of the base, or an axis.

        Raises:
            MissingError: There is neither such a file nor such a name.
            SpaceError: The space cannot be searched as written, with file, line and column.
        """
        path = find(path_or_name)
        return cls.parse(read_text(path), source=str(path), overrides=overrides)

    @classmethod
    def parse(
        cls, text: str, *, source: str, name: str | None = None, overrides: Sequence[str] = ()
    ) -> SearchSpace:
        """The space that a text describes.

        Args:
            text: YAML.
            source: Its file, for messages; its stem is the space's name where none is given.
            name: The space's name.
            overrides: As for ``load``.

        Raises:
            SpaceError: The space cannot be searched as written, with line and column.
        """
        return cls(read_space(text, source=source, name=name, overrides=overrides))

    @property
    def name(self) -> str:
        """The space's name; candidates bear it, too."""
        return self._reading.name

    @property
    def question(self) -> str:
        """The first comment of the file: which question the space answers."""
        return self._reading.question

    @property
    def text(self) -> str:
        """The file, with overrides written at its end; ``parse`` gives this space again."""
        return self._reading.text

    @property
    def base(self) -> Mapping[str, Any]:
        """The document of the network that the axes change."""
        return self._expansion.base

    @property
    def digest(self) -> str:
        """Identity of what is searched: base, axes and requirements, but no conditions."""
        base = {key: value for key, value in self.base.items() if key != "name"}
        axes = {
            axis.name: [*map(write_flow, axis.values), axis.when.text if axis.when else ""]
            for axis in self.axes
        }
        text = json.dumps([base, axes, sorted(self.require)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def axes(self) -> tuple[Axis, ...]:
        """In the order in which they are asked."""
        return self._selection.axes

    @property
    def require(self) -> tuple[str, ...]:
        """The requirements as written, and the limits that are arithmetic."""
        return tuple(requirement.expression.text for requirement in self._requirements)

    @property
    def target(self) -> TargetSection:
        """On what the latency is measured."""
        return self._reading.sections.target

    @property
    def objectives(self) -> Mapping[str, str]:
        """``max`` or ``min`` by the name of what is optimised."""
        return self._reading.sections.objectives

    @property
    def limits(self) -> Mapping[str, float]:
        """Upper limits of costs, which are hard."""
        return self._reading.sections.limits

    @property
    def proxy(self) -> ProxySection:
        """On what the accuracy is measured."""
        return self._reading.sections.proxy

    @property
    def search(self) -> SearchSection:
        """How candidates are proposed, and how many."""
        return self._reading.sections.search

    def choose(self, chooser: Callable[[Axis], int]) -> Choices:
        """Choices made axis by axis; only axes that are active, given those before, are asked.

        Of values that come to the same network the first is taken.

        Raises:
            ValueError: The chooser gives an index that the axis does not have.
        """
        return self._selection.choose(chooser)

    def document(self, choices: Choices) -> dict[str, Any]:
        """The network as plain values, legal or not."""
        return dict(self._candidate(choices).document)

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

    def values(self, choices: Choices) -> dict[str, Any]:
        """The chosen values by axis, for tables; whole parts as a label."""
        return {
            axis.name: axis.label(choices[axis.name]) for axis in self.axes if axis.name in choices
        }

    def size(self) -> int:
        """The exact number of candidates, feasible or not.

        Inactive choices do not count, and choices that come to the same network count once.
        """
        return self._selection.size

    def enumerate(self) -> Iterator[Choices]:
        """Every candidate once, feasible or not."""
        return self._selection.enumerate()

    def sample(self, rng: random.Random) -> Choices:
        """A candidate, feasible or not, every one as likely as every other."""
        choices = self._selection.sample(rng)
        assert choices is not None, "nothing was asked for, so there is always a candidate"
        return choices

    def sample_feasible(self, rng: random.Random, *, tries: int = 1000) -> Choices | None:
        """A feasible candidate, all equally likely; None where none was among some tries."""
        for _ in range(tries):
            choices = self.sample(rng)
            if self.is_feasible(choices):
                return choices
        return None

    def is_feasible(self, choices: Choices) -> bool:
        """Whether choices name a legal network that meets every requirement."""
        try:
            self.decode(choices)
        except InfeasibleError:
            return False
        return True

    def feasible(self, *, samples: int = 2000, seed: int = 0) -> Share:
        """The share of candidates that are feasible, and what excludes the others.

        Exact where the space has no more candidates than ``samples``, else with an interval of
        95 % from as many random candidates. A candidate costs about a millisecond.
        """
        return feasible_share(
            self._selection, self.excluded_by, samples=samples, rng=random.Random(seed)
        )

    def dead_choices(self, *, samples: int = 2000, seed: int = 0) -> tuple[DeadChoice, ...]:
        """Values that no feasible candidate has; those found by chance alone say so.

        Exact where the space has no more candidates than ``samples``; else each value that does
        not come up is looked for in random candidates that have it.
        """
        return dead_choices(
            self._selection, self.is_feasible, samples=samples, rng=random.Random(seed)
        )

    def infeasible(self, share: Share) -> SpaceError:
        """The error for a space in which no feasible candidate was found: what excludes them."""
        listed = [f"{reason} excludes {count:,}" for reason, count in share.excluded[:3]] or [
            "nothing is known of it"
        ]
        return SpaceError(
            f"no candidate is feasible: of {share.samples:,} "
            f"{'candidates' if share.is_exact else 'random candidates'} {'; '.join(listed)}",
            place=self._reading.source,
            help="loosen what excludes most, or widen the axes it reads",
        )

    def _candidate(self, choices: Choices) -> Candidate:
        document = {**self._wiring.document(choices), "name": self.name}
        return Candidate(document, self.proxy)

    def _required(self) -> tuple[Requirement, ...]:
        """Those written and arithmetic limits; quantities cost most, so they come last."""
        written = self._reading.require
        variants = self._expansion.variants
        for requirement in written:
            check_reads(requirement.expression, variants, place=requirement.place)
        limits = [
            Requirement(
                parse_expression(f"{name} <= {int(limit) if limit % 1 == 0 else limit}"),
                Place(self._reading.source, 1, 1),
            )
            for name, limit in self.limits.items()
            if name in costs("arithmetic")
        ]
        found = [*written, *limits]
        return tuple(sorted(found, key=lambda requirement: bool(requirement.expression.quantities)))
