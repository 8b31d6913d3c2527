"""What is searched: every candidate of a space, and the spaces that come with the package."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import archbench
from archbench.errors import MissingError, SpaceError, unknown_name
from archbench.models import ArchSpec
from archbench.space.axis import Choices
from archbench.space.candidate import Candidate, exclusions
from archbench.space.conditions import Wiring
from archbench.space.expansion import check_reads, expand_axes
from archbench.space.expression import InfeasibleError, parse_expression
from archbench.space.feasibility import (
    DeadChoice,
    FeasibleShare,
    check_values,
    dead_choices,
    feasible_share,
)
from archbench.space.reading import read_axes, read_base, read_requirements, read_root
from archbench.space.sections import (
    SECTIONS,
    Direction,
    ProxySection,
    SearchSection,
    TargetSection,
)
from archbench.space.selection import Selection
from archbench.space.yaml_document import Node, Place, first_comment, read_text, write_flow
from archbench.study.objective import costs


class SearchSpace(Selection):
    """Networks to choose from, and the conditions under which they are compared.

    >>> text = '{base: levit_128s, axes: {"stages[0].dim": [96, 128]}}'
    >>> SearchSpace(text, source="small.yaml").size()
    2

    Args:
        text: YAML.
        source: Its file, for messages; its stem is the space's name where none is given.
        name: The space's name; candidates bear it, too.
        overrides: ``PATH=VALUE``: a section's key, a place of the base, or an axis.

    Attributes:
        question: The first comment of the file: which question the space answers.
        text: The file, with overrides written at its end; it makes this space again.
        base: The document of the network that the axes change.
        require: The requirements as written, and the limits that are arithmetic.
        target: On what the latency is measured.
        objectives: ``max`` or ``min`` by the name of what is optimised.
        limits: Upper limits of costs, which are hard.
        proxy: On what the accuracy is measured.
        search: How candidates are proposed, and how many.

    Raises:
        SpaceError: The space cannot be searched as written, with file, line and column.
    """

    target: TargetSection
    objectives: Mapping[str, Direction]
    limits: Mapping[str, float]
    proxy: ProxySection
    search: SearchSection

    def __init__(
        self, text: str, *, source: str, name: str | None = None, overrides: Sequence[str] = ()
    ) -> None:
        root, settings, self.text = read_root(text, source=source, overrides=overrides)
        members = root.entries(noun="key")
        self._source = source
        stem = Path(source).name.removesuffix(".yaml").removesuffix(".yml")
        self.name = name or members.get("name", Node(stem, Place(source, 1, 1))).word()
        self.question = first_comment(text)
        base = read_base(root)
        axes, fixed = read_axes(members, settings)
        required = read_requirements(members.get("require"))
        for section, read in SECTIONS.items():
            setattr(self, section, read(members.get(section)))
        self.base, expanded, variants = expand_axes(base, axes, fixed)
        super().__init__(Wiring(self.base, expanded, variants))
        for requirement in required:
            check_reads(requirement, variants)
        for cost, limit in self.limits.items():
            if cost in costs("arithmetic"):
                most = int(limit) if limit % 1 == 0 else limit
                required.append(parse_expression(f"{cost} <= {most}", place=Place(source, 1, 1)))
        # quantities cost most, so they come last
        self._requirements = sorted(required, key=lambda required: bool(required.quantities))
        self.require = tuple(requirement.text for requirement in self._requirements)
        check_values(self, self._candidate, self._requirements, source=source)

    @classmethod
    def load(cls, path_or_name: str | Path, *, overrides: Sequence[str] = ()) -> SearchSpace:
        """The space of a file, or of a name that the package ships.

        Raises:
            MissingError: There is neither such a file nor such a name.
            SpaceError: The space cannot be searched as written, with file, line and column.
        """
        path = find(path_or_name)
        return cls(read_text(path), source=str(path), overrides=overrides)

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

    def values(self, choices: Choices) -> dict[str, Any]:
        """The chosen values by axis, for tables; whole parts as a label."""
        return {
            axis.name: axis.label(choices[axis.name]) for axis in self.axes if axis.name in choices
        }

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

    def feasible(self, *, samples: int = 2000, seed: int = 0) -> FeasibleShare:
        """The share of candidates that are feasible, and what excludes the others.

        Exact where the space has no more candidates than ``samples``, else with an interval of
        95 % from as many random candidates. A candidate costs about a millisecond.
        """
        return feasible_share(self, self.excluded_by, samples=samples, rng=random.Random(seed))

    def dead_choices(self, *, samples: int = 2000, seed: int = 0) -> tuple[DeadChoice, ...]:
        """Values that no feasible candidate has; those found by chance alone say so.

        Exact where the space has no more candidates than ``samples``; else each value that does
        not come up is looked for in random candidates that have it.
        """
        return dead_choices(self, self.is_feasible, samples=samples, rng=random.Random(seed))

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

    def _candidate(self, choices: Choices) -> Candidate:
        return Candidate(self.document(choices), self.proxy)


def shipped() -> tuple[str, ...]:
    """The names of the spaces that come with the package, sorted."""
    return tuple(sorted(path.stem for path in _folder().glob("*.yaml")))


def find(path_or_name: str | Path) -> Path:
    """The file of a space.

    Anything that ends like a file or has a folder in it is a file; a bare word is a shipped name.

    Raises:
        MissingError: There is neither such a file nor such a name.
    """
    path = Path(path_or_name)
    if path.suffix in (".yaml", ".yml") or path.name != str(path_or_name) or path.is_file():
        if not path.exists():
            raise MissingError("no such file", place=str(path), help=_hint(path.stem))
        return path
    if str(path_or_name) not in shipped():
        raise MissingError(
            f"there is no space {str(path_or_name)[:80]!r}", help=_hint(str(path_or_name))
        )
    return _folder() / f"{path_or_name}.yaml"


def _hint(name: str) -> str:
    return f"give a file or a shipped space; {unknown_name('space', name[:80], shipped()).help}"


def _folder() -> Path:
    """In the wheel beside the modules, in a checkout beside the package."""
    package = Path(archbench.__file__).parent
    inside = package / "search_spaces"
    return inside if inside.is_dir() else package.parent / "search_spaces"
