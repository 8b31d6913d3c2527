"""In which order are the axes of a space asked, and what makes one inactive?

An axis is active when a choice of it changes the network. What it sets may be missing (its layer
lies beyond the depth that is chosen, the chosen part has no such field), it may do nothing (the
stride of a projection that does not stride), or its ``when`` may be false.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from archbench.errors import SpaceError
from archbench.models.path import Path
from archbench.models.spec import part_fields
from archbench.space.alias import Aliases
from archbench.space.axis import Axis, Choices, is_part, role_of
from archbench.space.expansion import (
    Expansion,
    Slot,
    check_reads,
    is_depth,
    part_slot,
    slot,
)
from archbench.space.inertness import Dims, filled, matters, site_dims


@dataclass(frozen=True)
class Gate:
    """A choice on which a target hangs: it is missing unless one of some values is chosen.

    Attributes:
        axis: Name of the axis that decides.
        open: The values with which the target is there.
        base: Whether it is there when that axis is inactive.
    """

    axis: str
    open: frozenset[int]
    base: bool

    def is_open(self, choices: Choices) -> bool:
        """Whether the target is there, as far as this gate is concerned."""
        chosen = choices.get(self.axis)
        return self.base if chosen is None else chosen in self.open


Gates = tuple[Gate, ...]
CLOSED = Gate("", frozenset(), base=False)


@dataclass(frozen=True)
class Wiring:
    """The axes of a space and how they hang together.

    Attributes:
        axes: In the order in which they are asked: those that decide come before those they
            decide about, and else as the file has them.
        presence: For each axis, for each of its targets, the gates that must all be open for the
            target to exist.
        effects: For each axis, groups of gates: it changes the network where all gates of a group
            are open.
        controllers: For each axis, the axes that decide whether it is active.
    """

    axes: tuple[Axis, ...]
    presence: Mapping[str, tuple[Gates, ...]]
    effects: Mapping[str, tuple[Gates, ...]]
    controllers: Mapping[str, frozenset[str]]

    def has_effect(self, axis: Axis, choices: Choices) -> bool:
        """Whether a choice of the axis changes the network, its ``when`` aside."""
        groups = self.effects[axis.name]
        return any(all(gate.is_open(choices) for gate in group) for group in groups)

    def targets(self, axis: Axis, choices: Choices) -> list[Path]:
        """The places of the axis that exist."""
        return [
            target
            for target, gates in zip(axis.targets, self.presence[axis.name], strict=True)
            if all(gate.is_open(choices) for gate in gates)
        ]


def wire(expansion: Expansion, aliases: Aliases) -> Wiring:
    """How the axes of a space hang together.

    Raises:
        SpaceError: Conditions read what no candidate has, or go in a circle.
    """
    axes = expansion.axes
    wires = _Wires(expansion)
    presence, effects, controllers = {}, {}, {}
    for axis in axes:
        if axis.when is not None:
            check_reads(axis.when, expansion.variants, place=axis.place)
        presence[axis.name] = tuple(wires.presence(target) for target in axis.targets)
        effects[axis.name] = wires.effects(axis)
        deciding = {gate.axis for group in effects[axis.name] for gate in group} - {""}
        reading = _read_axes(axis, axes, len(expansion.base["stages"]))
        controllers[axis.name] = aliases.controllers(axis) | deciding | reading
    return Wiring(_sorted(axes, controllers), presence, effects, controllers)


class _Wires:
    """Looks up which axis sets what while the gates are made."""

    def __init__(self, expansion: Expansion) -> None:
        self.base = expansion.base
        self.owners = {slot(t): axis for axis in expansion.axes for t in axis.targets}
        self.in_part: dict[Slot, list[tuple[Path, Axis]]] = defaultdict(list)
        for axis in expansion.axes:
            for target in axis.targets:
                place = part_slot(target)
                if place is not None:
                    self.in_part[place].append((target, axis))

    def presence(self, target: Path) -> Gates:
        """The gates behind which a target exists."""
        return (*self._depth_gate(target, target.layer), *self._part_gate(target))

    def effects(self, axis: Axis) -> tuple[Gates, ...]:
        """Groups of gates, one group for each place where the axis may change the network."""
        found = [group for target in axis.targets for group in self._groups(target, axis)]
        groups = [group for group in found if CLOSED not in group]
        if not groups:
            return ((CLOSED,),)
        return ((),) if () in groups else tuple(dict.fromkeys(groups))

    def _groups(self, target: Path, axis: Axis) -> Iterator[Gates]:
        place = part_slot(target)
        if place is None:
            yield self.presence(target) if is_part(target) else ()
            return
        inert = self._inert_gates(target, axis, place)
        part = self._part_gate(target)
        whole = [gate for layer, gate in inert if layer is None or layer == target.layer]
        layers = {layer for layer, _ in inert if layer is not None}
        if isinstance(target.layer, int) or not layers:
            yield (*self._depth_gate(target, target.layer), *part, *whole)
            return
        for layer in range(self._max_depth(place[1])):  # it may do nothing in some layers alone
            own = [gate for number, gate in inert if number == layer]
            yield (*self._depth_gate(target, layer), *part, *whole, *own)

    def _depth_gate(self, target: Path, layer: Any) -> Gates:
        """A block is missing at depth 0, a layer at its number and below."""
        if len(target.segments) < 2 or target.segments[1].name not in ("block", "layers"):
            return ()
        number = layer if isinstance(layer, int) else 0
        depth = self.owners.get((f"stages[{target.stage}].depth",))
        if depth is None:
            return ()
        return _gate(depth, lambda value: not isinstance(value, int) or value > number, base=False)

    def _part_gate(self, target: Path) -> Gates:
        """A field is missing where the chosen part has none of its name."""
        place = part_slot(target)
        part = self.owners.get(place) if place else None
        if part is None:
            return ()
        role, name = role_of(target), target.segments[-1].name
        written = self._written(target)
        in_base = bool(written) and name in part_fields(role, written["kind"])
        return _gate(part, lambda value: name in part_fields(role, value["kind"]), base=in_base)

    def _inert_gates(self, target: Path, axis: Axis, place: Slot) -> list[tuple[int | None, Gate]]:
        """The gates of the choices in the same part with which a field does nothing.

        Each with the layer for which it decides, None for the whole part.
        """
        role, name = role_of(target), target.segments[-1].name
        dims = site_dims(self.base, self.owners, place)
        parts = self.parts(target)
        found: list[tuple[int | None, Gate]] = []
        for other, decider in self.in_part[place]:
            if decider is axis or not _meet(target, other):
                continue
            field = other.segments[-1].name
            having = [part for part in parts if field in part_fields(role, part["kind"])]
            if len(having) < len(parts):
                continue  # some part works without that field, so it does not decide
            working = frozenset(
                index
                for index, value in enumerate(decider.values)
                if any(matters(role, {**p, field: value}, name, axis.values, dims) for p in having)
            )
            if 0 < len(working) < len(decider.values):
                base = any(matters(role, part, name, axis.values, dims) for part in having)
                number = other.layer if isinstance(other.layer, int) else None
                found.append((number, Gate(decider.name, working, base)))
        return found or self._inert_parts(target, axis, parts, dims)

    def _inert_parts(
        self, target: Path, axis: Axis, parts: Sequence[Mapping[str, Any]], dims: Dims
    ) -> list[tuple[int | None, Gate]]:
        """The gate of the part choices, or of the base, that leave a field without effect."""
        role, name = role_of(target), target.segments[-1].name
        if all(matters(role, part, name, axis.values, dims) for part in parts):
            return []
        place = part_slot(target) or ()
        owner = self.owners.get(place)
        if owner is None:
            return [(None, CLOSED)]

        def works(value: Mapping[str, Any]) -> bool:
            if name not in part_fields(role, value["kind"]):
                return False
            part = filled(role, value, self.given(place))
            return matters(role, part, name, axis.values, dims)

        return [(None, gate) for gate in _gate(owner, works, base=False)]

    def given(self, place: Slot) -> dict[str, Any]:
        """The first value of every axis on a field of a part."""
        return {t.segments[-1].name: axis.values[0] for t, axis in self.in_part[place]}

    def parts(self, target: Path) -> list[Mapping[str, Any]]:
        """The parts that may stand where a field lies and have it, each a legal start.

        What a part needs and another axis gives is filled in with that axis' first value.
        """
        place = part_slot(target)
        role, name = role_of(target), target.segments[-1].name
        owner = self.owners.get(place) if place else None
        written = owner.values if owner else (self._written(target),)
        parts = [part for part in written if name in part_fields(role, part["kind"])]
        return [filled(role, part, self.given(place or ())) for part in parts]

    def _written(self, target: Path) -> Mapping[str, Any]:
        part: Mapping[str, Any] = self.base["stages"][target.stage].get(role_of(target)) or {}
        return part

    def _max_depth(self, stage: Any) -> int:
        axis = self.owners.get((f"stages[{stage}].depth",))
        values = axis.values if axis else (self.base["stages"][stage].get("depth", 0),)
        return min(1024, max((v for v in values if isinstance(v, int)), default=0))


def _gate(axis: Axis, is_open: Callable[[Any], bool], *, base: bool) -> Gates:
    """The gate of an axis, or none where every value leaves it open."""
    found = frozenset(index for index, value in enumerate(axis.values) if is_open(value))
    return () if len(found) == len(axis.values) else (Gate(axis.name, found, base),)


def _meet(target: Path, other: Path) -> bool:
    """Whether two fields of a part can meet in one layer."""
    return target.layer is None or other.layer is None or target.layer == other.layer


def _read_axes(axis: Axis, axes: Sequence[Axis], stages: int) -> set[str]:
    """The axes that set what the condition of an axis reads."""
    if axis.when is None:
        return set()
    found = set()
    for path in axis.when.paths:
        numbers = [path.stage] if isinstance(path.stage, int) else range(stages)
        for other in axes:
            if any(_touches(path, target, numbers) for target in other.targets):
                found.add(other.name)
    if axis.name in found:
        raise SpaceError(f"{axis.name}: when reads the axis itself", place=str(axis.place))
    return found


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


def _sorted(axes: Sequence[Axis], controllers: Mapping[str, frozenset[str]]) -> tuple[Axis, ...]:
    """The axes as the file has them, but each behind those that decide about it."""
    waiting = list(axes)
    done: dict[str, Axis] = {}
    while waiting:
        ready = next((axis for axis in waiting if controllers[axis.name] <= done.keys()), None)
        if ready is None:
            names = ", ".join(axis.name for axis in waiting)
            raise SpaceError(
                f"the conditions of these axes go in a circle: {names}",
                place=str(waiting[0].place),
                help="let one of them stand without when",
            )
        waiting.remove(ready)
        done[ready.name] = ready
    return tuple(done.values())
