"""What may be chosen: an axis, its values and the places that it sets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from archbench.errors import ArchbenchError
from archbench.models.part import KINDS, Role, part_fields
from archbench.models.path import Path, parse_path
from archbench.space.expression import Expression
from archbench.space.yaml_document import Node, Place, write_flow

MAX_VALUES = 1000

Choices = dict[str, int]


@dataclass(frozen=True)
class Axis:
    """One choice of a space.

    Attributes:
        name: The path that it sets; ``all`` stands in it where several places share the choice.
        values: What may be chosen, as written.
        targets: Every place that it may set, some of which may be missing from a candidate.
        when: A further condition for it to be active, or None.
    """

    name: str
    values: tuple[Any, ...]
    targets: tuple[Path, ...]
    when: Expression | None
    place: Place
    value_places: tuple[Place, ...]

    @property
    def is_part(self) -> bool:
        """Whether its values are whole embeds or blocks."""
        return is_part(self.targets[0])

    def label(self, index: int) -> Any:
        """A value as tables show it: scalars as they are, anything else as one line of text."""
        value = self.values[index]
        if isinstance(value, Mapping):
            fields = (f"{key}={write_flow(v)}" for key, v in value.items() if key != "kind")
            inner = ", ".join(fields)
            return f"{value['kind']}({inner})" if inner else value["kind"]
        return write_flow(value) if isinstance(value, list) else value


@dataclass(frozen=True)
class WrittenAxis:
    """An axis as the file has it, before its path is expanded."""

    path: Path
    values: tuple[Node, ...]
    when: Node | None
    place: Place


def read_axis(key: str, node: Node) -> WrittenAxis:
    """The axis that stands under a path.

    Raises:
        SpaceError: The path, the values or the condition are malformed, with line and column.
    """
    place = node.start
    path = read_path(key, place=place)
    _check_target(path, node)
    values, when = _read_values(node)
    if not values:
        node.fail(f"{path}: no values to choose from")
    _check_values(path, values)
    if when is not None:
        when.text()
    return WrittenAxis(path, values, when, place)


def is_choice(node: Node) -> bool:
    """Whether a value lists several, rather than being one."""
    if isinstance(node.value, Mapping):
        return "kind" not in node.value
    return isinstance(node.value, tuple)


def is_part(path: Path) -> bool:
    """Whether a path names a whole embed or block."""
    return len(path.segments) == 2 and path.segments[1].name in ("embed", "block")


def role_of(path: Path) -> Role:
    """Whether a path leads into an embed or a block; a layer's field is a block's."""
    return "embed" if path.segments[1].name == "embed" else "block"


def read_path(text: str, *, place: Place) -> Path:
    """The path that a text names.

    Raises:
        SpaceError: It names none, at the place of the text.
    """
    try:
        return parse_path(text)
    except ArchbenchError as error:
        raise place.moved(error) from None


def _check_target(path: Path, node: Node) -> None:
    match path.segments[-1].name:
        case "kind":
            fault = "a kind is chosen with its fields"
            part = Path(path.segments[:-1])
            help_ = (
                f"write whole parts as values of {part}, for example {{kind: cvt, head_dim: 64}}"
            )
        case "resolution" | "num_classes":
            fault = "cannot be an axis, since a study compares networks for one kind of image"
            help_ = "write it under set, and search one space for each"
        case "name" | "stages" | "layers" | "head":
            fault, help_ = "cannot be an axis", "choose a field, an embed or a block"
        case _:
            return
    node.fail(f"{path}: {fault}", help=help_, at_key=True)


def _read_values(node: Node) -> tuple[tuple[Node, ...], Node | None]:
    if isinstance(node.value, tuple):
        return node.value, None
    if not isinstance(node.value, Mapping) or not {"values", "from", "to"} & set(node.value):
        node.fail(
            f"expected values to choose from, got {node.kind}",
            help="write [1, 2], {from: 1, to: 4} or {values: [...], when: ...}; to fix a field, "
            "write it under set",
        )
    if "values" not in node.value:
        keys = ("from", "to", "step", "when")
        members = node.entries(noun="key of an axis", allowed=keys)
        return _range(node, members), members.get("when")
    members = node.entries(noun="key of an axis", allowed=("values", "when"))
    values, when = _read_values(members["values"])
    if when is not None:
        when.fail("when stands beside values, not within them", at_key=True)
    return values, members.get("when")


def _range(node: Node, members: Mapping[str, Node]) -> tuple[Node, ...]:
    bounds = []
    for key, default in (("from", None), ("to", None), ("step", 1)):
        value = members[key].value if key in members else default
        if isinstance(value, bool) or not isinstance(value, int | float):
            node.fail(f"{key} is not a number", help="write {from: 1, to: 4} or add step: 2")
        bounds.append(value)
    first, last, step = bounds
    if step <= 0 or last < first:
        node.fail(f"no values from {first} to {last} in steps of {step}")
    count = int((last - first) / step + 1e-9) + 1
    if count > MAX_VALUES:
        node.fail(f"{count:,} values from {first} to {last}; at most {MAX_VALUES:,}")
    numbers = (first + number * step for number in range(count))
    return tuple(Node(n if isinstance(n, int) else round(n, 12), node.place) for n in numbers)


def _check_values(path: Path, values: tuple[Node, ...]) -> None:
    if len(values) > MAX_VALUES:
        values[MAX_VALUES].fail(f"{path}: {len(values):,} values; at most {MAX_VALUES:,}")
    seen: list[tuple[bool, Any]] = []
    for node in values:
        if is_part(path):
            _check_part(path, node)
        elif isinstance(node.value, Mapping):
            node.fail(f"{path}: expected a single value, got a mapping")
        elif isinstance(node.value, tuple) and any(
            isinstance(item.value, tuple | Mapping) for item in node.value
        ):
            node.fail(f"{path}: expected a single value or a list of numbers")
        # In Python True equals 1; here they are two values.
        value = (isinstance(node.value, bool), node.plain())
        if value in seen:
            node.fail(f"{path}: the value {write_flow(node.plain())} stands here twice")
        seen.append(value)


def _check_part(path: Path, node: Node) -> None:
    if not isinstance(node.value, Mapping) or "kind" not in node.value:
        names = KINDS[role_of(path)].names
        node.fail(
            f"{path}: expected a part with a kind, got {node.kind}",
            help=f"write {{kind: {names[0]}, ...}}; kinds: {', '.join(names)}",
        )
    kind = node.value["kind"]
    try:
        fields = part_fields(role_of(path), str(kind.value))
    except ArchbenchError as error:
        kind.fail(f"{path}: {error.message}", help=error.help)
    node.entries(noun=f"field of {kind.value}", allowed=("kind", *sorted(fields)))
