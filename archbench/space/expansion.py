"""Which axes does a space file write: paths expanded over the base, and conflicts refused."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from archbench.errors import ArchbenchError, SpaceError, SpecError
from archbench.models.path import Path, Segment, expand, set_value
from archbench.models.spec import ArchSpec
from archbench.space.axis import Axis, WrittenAxis, is_part, role_of
from archbench.space.expression import Expression, parse_expression
from archbench.space.yaml_document import Node, Place

Document = Mapping[str, Any]
Slot = tuple[str | int, ...]

MAX_AXES = 1000
MAX_DEPTH = 1024  # more is refused as a value, but must not be expanded before


@dataclass(frozen=True)
class Expansion:
    """The axes over a base, each with the concrete places that it sets.

    Attributes:
        base: The document that the axes change, with what is fixed from outside.
        variants: Documents in which, together, every place occurs that a candidate can have.
        axes: As the file has them.
    """

    base: Document
    variants: tuple[Document, ...]
    axes: tuple[Axis, ...]


def expand_axes(
    base: Document, written: Sequence[WrittenAxis], fixed: Sequence[tuple[Path, Node]]
) -> Expansion:
    """The axes of a space over its base.

    Args:
        base: A network's document.
        written: The axes as the file has them.
        fixed: Places that are set from outside; they take the place from any axis there.

    Raises:
        SpaceError: An axis selects nothing, two set one field, or a value cannot be fixed.
    """
    base, parts = _expanded(base, written, fixed, is_kind=is_part)
    base, depths = _expanded(base, written, fixed, is_kind=is_depth)
    variants = _variants(base, parts, depths)
    base, others = _expanded(
        base, written, fixed, is_kind=_is_other, variants=variants, parts=parts
    )
    order = {axis.place: number for number, axis in enumerate(written)}
    found = sorted([*parts, *depths, *others], key=lambda axis: order.get(axis.place, len(order)))
    _check_conflicts(found)
    if len(found) > MAX_AXES:
        raise SpaceError(
            f"{len(found):,} axes; at most {MAX_AXES:,}", place=str(found[MAX_AXES].place)
        )
    return Expansion(base, tuple(variants), tuple(found))


def check_reads(expression: Expression, variants: Sequence[Document]) -> None:
    """Refuses a condition that reads what no candidate has.

    Raises:
        SpaceError: A path selects nothing in any of the variants.
    """
    for path in expression.paths:
        _targets(path, variants, expression.place)


def axes_read(axis: Axis, expansion: Expansion) -> frozenset[str]:
    """The axes that set what the condition of an axis reads.

    Raises:
        SpaceError: The condition reads what no candidate has, or the axis itself.
    """
    if axis.when is None:
        return frozenset()
    check_reads(axis.when, expansion.variants)
    found = set()
    for path in axis.when.paths:
        numbers = (
            [path.stage] if isinstance(path.stage, int) else range(len(expansion.base["stages"]))
        )
        for other in expansion.axes:
            if any(_touches(path, target, numbers) for target in other.targets):
                found.add(other.name)
    if axis.name in found:
        raise SpaceError(f"{axis.name}: when reads the axis itself", place=str(axis.place))
    return frozenset(found)


def slot(target: Path) -> Slot:
    """What a target sets, so that two that set the same have the same slot."""
    match target.segments:
        case (Segment("stages", int(stage)), Segment("layers", int(layer)), Segment(name)):
            return ("layer", stage, layer, name)
        case (Segment("stages", int(stage)), Segment("embed" | "block" as role)):
            return ("part", stage, role)
        case (Segment("stages", int(stage)), Segment("embed" | "block" as role), Segment(name)):
            return ("field", stage, role, name)
        case _:
            return (str(target),)


def part_slot(target: Path) -> Slot | None:
    """The slot of the part in which a target lies, None outside parts."""
    if len(target.segments) != 3:
        return None
    return ("part", target.segments[0].index or 0, role_of(target))


def is_depth(path: Path) -> bool:
    """Whether a path names the depth of stages."""
    return path.segments[-1].name == "depth" and len(path.segments) == 2


def _touches(path: Path, target: Path, stages: Iterable[int | str | None]) -> bool:
    """Whether setting a target can change what a path reads."""
    if path.segments[0].name != "stages" or target.segments[0].name != "stages":
        return path.segments[0].name == target.segments[0].name and (
            path.segments[-1].name == target.segments[-1].name
        )
    if target.stage not in stages:
        return False
    if len(path.segments) < 3:
        return path.segments[-1].name == target.segments[1].name
    if is_depth(target):
        return path.segments[1].name == "layers"
    in_same_part = len(target.segments) > 1 and target.segments[1].name in (
        "embed",
        "block",
        "layers",
    )
    if not in_same_part or role_of(target) != role_of(path):
        return False
    return is_part(target) or target.segments[-1].name == path.segments[-1].name


def _is_other(path: Path) -> bool:
    return not is_part(path) and not is_depth(path)


def _expanded(
    base: Document,
    written: Sequence[WrittenAxis],
    fixed: Sequence[tuple[Path, Node]],
    *,
    is_kind: Callable[[Path], bool],
    variants: Sequence[Document] = (),
    parts: Sequence[Axis] = (),
) -> tuple[Document, list[Axis]]:
    """The axes of one kind, and the base with what is fixed of that kind.

    A field of a part that an axis chooses is fixed by an axis of one value.
    """
    axes: list[Axis] = []
    for axis in written:
        if is_kind(axis.path):
            axes += _concrete(axis, variants or [base])
    part_slots = {slot(target) for axis in parts for target in axis.targets}
    for path, node in fixed:
        if not is_kind(path):
            continue
        targets = _targets(path, variants or [base], node.place)
        left = [(axis, tuple(t for t in axis.targets if t not in targets)) for axis in axes]
        axes = [replace(axis, targets=rest) for axis, rest in left if rest]
        _check_layers(targets, axes, node)
        chosen = tuple(target for target in targets if part_slot(target) in part_slots)
        for target in targets:
            if target not in chosen:
                base = _set(base, target, node)
        if chosen:
            axes.append(_axis(str(path), (node,), chosen, None, node.place))
    return base, axes


def _axis(
    name: str,
    values: tuple[Node, ...],
    targets: tuple[Path, ...],
    when: Expression | None,
    place: Place,
) -> Axis:
    plain = tuple(node.plain() for node in values)
    return Axis(name, plain, targets, when, place, tuple(node.place for node in values))


def _set(base: Document, target: Path, node: Node) -> Document:
    changed = set_value(base, target, node.plain())
    try:
        ArchSpec.from_document(changed)
    except ArchbenchError as error:
        raise node.place.moved(error) from None
    return changed


def _variants(base: Document, parts: Sequence[Axis], depths: Sequence[Axis]) -> list[Document]:
    """Documents in which, together, every part that can be chosen occurs, at the largest depth."""
    for axis in depths:
        numbers = [value for value in axis.values if isinstance(value, int)]
        for target in axis.targets:
            base = set_value(base, target, min(max(numbers, default=0), MAX_DEPTH))
    found = [base]
    for number in range(max((len(axis.values) for axis in parts), default=0)):
        variant = base
        for axis in parts:
            for target in axis.targets:
                variant = set_value(variant, target, axis.values[min(number, len(axis.values) - 1)])
        found.append(variant)
    return found if not parts else found[1:] + found[:1]


def _concrete(axis: WrittenAxis, variants: Sequence[Document]) -> list[Axis]:
    """One axis for each place that ``each`` stands for."""
    targets = _targets(axis.path, variants, axis.place)
    groups: dict[str, list[Path]] = defaultdict(list)
    for target in targets:
        segments = zip(axis.path.segments, target.segments, strict=True)
        name = Path(tuple(w if w.index == "all" else found for w, found in segments))
        groups[str(name)].append(target)
    return [
        _axis(name, axis.values, tuple(group), _condition(axis, group[0]), axis.place)
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
    return sorted(found, key=_indices)


def _indices(path: Path) -> tuple[int, ...]:
    return tuple(segment.index for segment in path.segments if isinstance(segment.index, int))


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
        raise SpaceError(
            f"when cannot read {condition.quantities[0]}, which hangs on every axis",
            place=str(axis.when.place),
            help="state it under require",
        )
    return replace(condition, place=axis.place)


def _check_layers(targets: Sequence[Path], axes: Sequence[Axis], node: Node) -> None:
    """Refuses to fix a block's field where axes choose it layer by layer: it would do nothing."""
    fixed = {slot(target) for target in targets}
    for axis in axes:
        for target in axis.targets:
            place = slot(target)
            if place[0] == "layer" and ("field", place[1], "block", place[3]) in fixed:
                layers = f"stages[{place[1]}].layers[all].{place[3]}"
                node.fail(f"{axis.name} chooses it for a layer", help=f"set {layers}")


def _check_conflicts(axes: Sequence[Axis]) -> None:
    owners: dict[Slot, Axis] = {}
    for axis in axes:
        for target in axis.targets:
            other = owners.setdefault(slot(target), axis)
            if other is not axis:
                _conflict(axis, target, other)
    for axis in axes:
        for target in axis.targets:
            place = slot(target)
            if place[0] == "layer":
                whole = owners.get(("field", place[1], "block", place[3]))
                if whole is not None:
                    _conflict(axis, target, whole)
            part = owners.get(part_slot(target) or ())
            if part is not None and any(place[-1] in value for value in part.values):
                raise SpaceError(
                    f"{axis.name}: a choice of {part.name} (line {part.place.line}) sets "
                    f"{place[-1]} already",
                    place=str(axis.place),
                    help="set it in the choices or here, not in both",
                )


def _conflict(axis: Axis, target: Path, other: Axis) -> None:
    raise SpaceError(
        f"{axis.name}: {target} is also set by {other.name} in line {other.place.line}",
        place=str(axis.place),
        help="keep one of the two axes",
    )
