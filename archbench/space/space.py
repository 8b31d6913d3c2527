"""What is searched: every candidate of a space, and the spaces that come with the package."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import archbench
from archbench.errors import MissingError, unknown_name
from archbench.space.axis import Choices
from archbench.space.conditions import Wiring
from archbench.space.expansion import check_reads, expand_axes
from archbench.space.expression import parse_expression
from archbench.space.feasibility import NetworkSelection
from archbench.space.reading import read_axes, read_base, read_requirements, read_root
from archbench.space.sections import (
    SECTIONS,
    Direction,
    ProxySection,
    SearchSection,
    TargetSection,
)
from archbench.space.yaml_document import Node, Place, first_comment, read_text, write_flow
from archbench.study.objective import costs


class SearchSpace(NetworkSelection):
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
        stem = Path(source).name.removesuffix(".yaml").removesuffix(".yml")
        name = name or members.get("name", Node(stem, Place(source, 1, 1))).word()
        self.question = first_comment(text)
        base = read_base(root)
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
        super().__init__(wiring, name=name, proxy=self.proxy, requirements=required, source=source)

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

    def values(self, choices: Choices) -> dict[str, Any]:
        """The chosen values by axis, for tables; whole parts as a label."""
        return {
            axis.name: axis.label(choices[axis.name]) for axis in self.axes if axis.name in choices
        }


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
