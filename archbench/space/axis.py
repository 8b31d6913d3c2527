"""What may be chosen: a file's paths expanded over the base as axes, and conflicts refused."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from archbench.errors import ArchbenchError, SpecError
from archbench.models.path import Path, expand, set_value
from archbench.models.spec import ArchSpec
from archbench.space.expression import Expression, parse_expression
from archbench.space.reading import WrittenAxis
from archbench.yaml_document import Node, Place, write_flow

Choices = dict[str, int]
Document = Mapping[str, Any]
MAX_AXES = 1000
MAX_DEPTH = 1024  # more is refused as a value, but must not be expanded before


@dataclass(frozen=True)
class Axis:
    """One choice of a space, active where ``when``, a further condition, allows it.

    ``name`` is the path that it sets; ``all`` stands in it where several places share the choice.
    ``targets`` are these places, some of which may be missing from a candidate.
    """

    name: str
    nodes: tuple[Node, ...]
    targets: tuple[Path, ...]
    when: Expression | None
    place: Place

    @cached_property
    def values(self) -> tuple[Any, ...]:
        """What may be chosen, as plain values."""
        return tuple(node.plain() for node in self.nodes)

    @property
    def is_part(self) -> bool:
        """Whether its values are whole embeds or blocks."""
        return self.targets[0].is_part

    def label(self, index: int) -> Any:
        """A value as tables show it: scalars as they are, anything else as one line of text."""
        value = self.values[index]
        if isinstance(value, Mapping):
            fields = (f"{key}={write_flow(v)}" for key, v in value.items() if key != "kind")
            inner = ", ".join(fields)
            return f"{value['kind']}({inner})" if inner else value["kind"]
        return write_flow(value) if isinstance(value, list) else value


def expand_axes(
    base: Document, written: Sequence[WrittenAxis], fixed: Sequence[tuple[Path, Node]]
) -> tuple[Document, list[Axis], Sequence[Document]]:
    """The axes of a space over its base, each with the concrete places that it sets.

    What is fixed from outside takes the place from any axis there.

    Returns:
        The base with what is fixed, the axes as the file has them, and documents in which,
        together, every place occurs that a candidate can have.

    Raises:
        SpaceError: An axis selects nothing, two set one field, or a value cannot be fixed.
    """
    found: list[Axis] = []
    variants: Sequence[Document] = ()
    for rank in range(3):  # parts, then depths: other fields depend on these
        if rank == 2:
            variants = _variants(base, found)
        axes = [
            each
            for axis in written
            if _rank(axis.path) == rank
            for each in _concrete(axis, variants or [base])
        ]
        parts = {str(target) for axis in found if axis.is_part for target in axis.targets}
        for path, node in fixed:
            if _rank(path) == rank:
                targets = _targets(path, variants or [base], node.place)
                axes = _freed(axes, targets, node)
                chosen = tuple(target for target in targets if part_path(target) in parts)
                for target in targets:
                    if target not in chosen:
                        base = _set(base, target, node)
                if chosen:  # by an axis of one value, since only some parts have the field
                    axes.append(Axis(str(path), (node,), chosen, None, node.place))
        found += axes
    order = {axis.place: number for number, axis in enumerate(written)}
    found.sort(key=lambda axis: order.get(axis.place, len(order)))
    _check_conflicts(found)
    if len(found) > MAX_AXES:
        found[MAX_AXES].place.fail(f"{len(found):,} axes; at most {MAX_AXES:,}")
    return base, found, variants


def check_reads(expression: Expression, variants: Sequence[Document]) -> None:
    """Refuses a condition that reads what no candidate has.

    Raises:
        SpaceError: A path selects nothing in any of the variants.
    """
    for path in expression.paths:
        _targets(path, variants, expression.place)


def axes_read(axis: Axis, axes: Sequence[Axis]) -> frozenset[str]:
    """The axes that set what the condition of an axis reads.

    Raises:
        SpaceError: The condition reads the axis itself.
    """
    if axis.when is None:
        return frozenset()
    found = {
        other.name
        for path in axis.when.paths
        for other in axes
        if any(_touches(path, target) for target in other.targets)
    }
    if axis.name in found:
        axis.place.fail(f"{axis.name}: when reads the axis itself")
    return frozenset(found)


def part_path(target: Path) -> str | None:
    """The path of the part in which a target lies, None outside parts."""
    in_part = len(target.segments) == 3
    return f"{target.segments[0]}.{target.role}" if in_part else None


def _is_depth(path: Path) -> bool:
    return path.segments[-1].name == "depth" and len(path.segments) == 2


def _rank(path: Path) -> int:
    if path.is_part:
        return 0
    return 1 if _is_depth(path) else 2


def _touches(path: Path, target: Path) -> bool:
    """Whether setting a target can change what a path reads."""
    read, written = path.segments, target.segments
    if read[0].name != written[0].name:
        return False
    if read[0].name != "stages":
        return read[-1].name == written[-1].name
    if isinstance(path.stage, int) and path.stage != target.stage:
        return False
    if len(read) < 3:
        return read[-1].name == written[1].name
    if _is_depth(target):
        return read[1].name == "layers"
    in_same_part = written[1].name in ("embed", "block", "layers")
    if not in_same_part or target.role != path.role:
        return False
    return target.is_part or written[-1].name == read[-1].name


def _set(base: Document, target: Path, node: Node) -> Document:
    changed = set_value(base, target, node.plain())
    try:
        ArchSpec.from_document(changed)
    except ArchbenchError as error:
        raise node.place.moved(error) from None
    return changed


def _variants(base: Document, axes: Sequence[Axis]) -> list[Document]:
    """Documents in which, together, every part that can be chosen occurs, at the largest depth."""
    parts = [axis for axis in axes if axis.is_part]
    for axis in axes:
        numbers = [value for value in axis.values if isinstance(value, int)]
        for target in axis.targets if not axis.is_part else ():
            base = set_value(base, target, min(max(numbers, default=0), MAX_DEPTH))
    found = []
    for number in range(max((len(axis.values) for axis in parts), default=0)):
        variant = base
        for axis in parts:
            for target in axis.targets:
                variant = set_value(variant, target, axis.values[min(number, len(axis.values) - 1)])
        found.append(variant)
    return [*found, base]


def _concrete(axis: WrittenAxis, variants: Sequence[Document]) -> list[Axis]:
    """One axis for each place that ``each`` stands for."""
    targets = _targets(axis.path, variants, axis.place)
    groups: dict[str, list[Path]] = defaultdict(list)
    for target in targets:
        segments = zip(axis.path.segments, target.segments, strict=True)
        name = Path(tuple(w if w.index == "all" else found for w, found in segments))
        groups[str(name)].append(target)
    return [
        Axis(name, axis.values, tuple(group), _condition(axis, group[0]), axis.place)
        for name, group in groups.items()
    ]


def _targets(path: Path, variants: Sequence[Document], place: Place) -> list[Path]:
    found: dict[Path, None] = {}
    failure: ArchbenchError | None = None
    for variant in variants:
        try:
            found |= dict.fromkeys(expand(variant, path))
        except SpecError as error:
            failure = failure or error
    if not found:
        assert failure is not None
        raise place.moved(failure)
    return sorted(found, key=lambda path: [s.index for s in path.segments if s.index is not None])


def _condition(axis: WrittenAxis, target: Path) -> Expression | None:
    """The condition of an axis; its ``each`` means the place of the axis."""
    if axis.when is None:
        return None
    text = axis.when.text()
    for written, found in zip(axis.path.segments, target.segments, strict=True):
        if written.index == "each":
            text = re.sub(rf"\b{written.name}\[\s*each\s*\]", str(found), text)
    condition = parse_expression(text, place=axis.when.place)
    if condition.quantities:
        axis.when.place.fail(
            f"when cannot read {condition.quantities[0]}, which hangs on every axis",
            help="state it under require",
        )
    return replace(condition, place=axis.place)


def _freed(axes: Sequence[Axis], targets: Sequence[Path], node: Node) -> list[Axis]:
    """The axes without fixed places; a field that axes choose layer by layer is not fixed."""
    left = [(axis, tuple(t for t in axis.targets if t not in targets)) for axis in axes]
    axes = [replace(axis, targets=rest) for axis, rest in left if rest]
    for axis in axes:
        for target in axis.targets:
            if target.layer is not None and _whole(target) in map(str, targets):
                layers = f"{target.segments[0]}.layers[all].{target.segments[-1]}"
                node.fail(f"{axis.name} chooses it for a layer", help=f"set {layers}")
    return axes


def _check_conflicts(axes: Sequence[Axis]) -> None:
    owners: dict[str, Axis] = {}
    for axis in axes:
        for target in axis.targets:
            other = owners.setdefault(str(target), axis)
            if other is not axis:
                _conflict(axis, target, other)
    for axis in axes:
        for target in axis.targets:
            if target.layer is not None and _whole(target) in owners:
                _conflict(axis, target, owners[_whole(target)])
            part, name = owners.get(part_path(target) or ""), target.segments[-1].name
            if part is not None and any(name in value for value in part.values):
                axis.place.fail(
                    f"{axis.name}: a choice of {part.name} (line {part.place.line}) sets {name} "
                    "already",
                    help="set it in the choices or here, not in both",
                )


def _whole(target: Path) -> str:
    """The path by which all layers of a block get the field of one."""
    return f"{part_path(target)}.{target.segments[-1]}"


def _conflict(axis: Axis, target: Path, other: Axis) -> None:
    axis.place.fail(
        f"{axis.name}: {target} is also set by {other.name} in line {other.place.line}",
        help="keep one of the two axes",
    )
