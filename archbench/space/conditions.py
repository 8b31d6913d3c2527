"""Which axes are active, in which order are they asked, and which of their values are the same?

An axis is active when a choice of it changes the network. What it sets may be missing (its layer
lies beyond the depth that is chosen, the chosen part has no such field), it may do nothing (the
stride of a projection that does not stride), or its ``when`` may be false.

Two values can come to one network: heads may be given by number or by width, a ramp of one layer
is its first value. The first of them then stands for all.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

from archbench.errors import ArchbenchError
from archbench.models.part import Grid, Role, Site, part_fields, part_of
from archbench.models.path import Index, Path, set_value
from archbench.models.spec import IMAGE_CHANNELS
from archbench.space.axis import (
    MAX_DEPTH,
    Axis,
    Choices,
    Document,
    axes_read,
    check_reads,
    part_path,
)
from archbench.space.candidate import Candidate

_Part = Mapping[str, Any]

# Derived values depend on widths, never on the grid, which only has to be large enough here.
_GRID = Grid(256, 256)
_MAX_SITES = 64


@dataclass(frozen=True)
class _Gate:
    """With which values of an axis a target is there; ``base``: whether without that axis."""

    axis: str
    open: frozenset[int]
    base: bool


_Gates = tuple[_Gate, ...]
_CLOSED = _Gate("", frozenset(), base=False)


class Wiring:
    """The axes of a space over its base and how they depend on each other, from ``expand_axes``.

    Axes that decide come before those they decide about, and else as the file has them. The
    ``controllers`` of an axis decide whether it is active and which of its values are the same.

    Raises:
        SpaceError: Conditions read what no candidate has, or go in a circle.
    """

    def __init__(self, base: Document, axes: Sequence[Axis], variants: Sequence[Document]) -> None:
        self._base = base
        self._owners = {str(target): axis for axis in axes for target in axis.targets}
        self._in_part: dict[str | None, list[tuple[Path, Axis]]] = defaultdict(list)
        for axis in axes:
            for target in axis.targets:
                self._in_part[part_path(target)].append((target, axis))
        self._presence: dict[str, list[tuple[Path, _Gates]]] = {}
        self._effects: dict[str, tuple[_Gates, ...]] = {}
        self._ambiguous: dict[str, frozenset[str]] = {}
        self._standing: dict[tuple[str, tuple[int | None, ...]], tuple[int, ...]] = {}
        self.controllers: dict[str, frozenset[str]] = {}
        for axis in axes:
            self._presence[axis.name] = [(t, self._gates(t)) for t in axis.targets]
            effects = self._effects[axis.name] = self._effects_of(axis)
            if self._is_ambiguous(axis):
                self._ambiguous[axis.name] = self._resolving(axis)
            deciding = frozenset(gate.axis for group in effects for gate in group) - {""}
            same = self._ambiguous.get(axis.name, frozenset())
            if axis.when is not None:
                check_reads(axis.when, variants)
            self.controllers[axis.name] = deciding | same | axes_read(axis, axes)
        self.axes = _sorted(axes, self.controllers)

    def document(self, choices: Choices) -> dict[str, Any]:
        """The base with choices applied: whole parts, then fields, then layers cut to the depth.

        Nothing of the base is changed; what the choices leave alone is shared with it.
        """
        document = dict(self._base)
        chosen = [
            (axis, axis.values[choices[axis.name]]) for axis in self.axes if axis.name in choices
        ]
        for axis, value in chosen:
            for target in axis.targets if axis.is_part else ():
                document = set_value(document, target, value)
                if target.role == "block":  # layers name fields of the block that is replaced
                    document["stages"][target.stage].pop("layers", None)
        for axis, value in chosen:
            if not axis.is_part:
                for target, gates in self._presence[axis.name]:
                    if _are_open(gates, choices):
                        document = set_value(document, target, value)
        document["stages"] = [_cut(stage) for stage in document["stages"]]
        return document

    def standing(self, axis: Axis, choices: Choices) -> tuple[int, ...]:
        """For each value, the value that stands for it; empty where the axis is inactive."""
        key = (axis.name, tuple(map(choices.get, sorted(self.controllers[axis.name]))))
        if key not in self._standing:
            is_active = any(_are_open(group, choices) for group in self._effects[axis.name])
            if is_active and axis.when is not None:
                is_active = axis.when.holds(Candidate(self.document(choices)))
            self._standing[key] = tuple(self._representatives(axis, choices)) if is_active else ()
        return self._standing[key]

    # What is chosen or may be chosen for a stage.

    def _stage_axis(self, stage: Any, name: str) -> Axis | None:
        return self._owners.get(f"stages[{stage}].{name}")

    def _part_axis(self, target: Path) -> Axis | None:
        """The axis that chooses the part in which a target lies."""
        return self._owners.get(part_path(target) or "")

    def _value(self, stage: Any, name: str, choices: Choices) -> Any:
        if stage < 0:
            return IMAGE_CHANNELS  # of the image before the first stage
        written = self._base["stages"][stage].get(name)
        return _chosen(self._stage_axis(stage, name), choices, written=written)

    def _offered(self, stage: Any, name: str) -> list[int]:
        axis = self._stage_axis(stage, name)
        values = axis.values if axis else (self._base["stages"][stage].get(name, 0),)
        return [value for value in values if type(value) is int]

    def _sites(self, target: Path) -> list[tuple[int, int]]:
        """Pairs of widths that may enter and leave a part, not all where there are many."""
        number = int(target.stage or 0)
        after = self._offered(number, "dim")
        if target.role == "block":
            return [(dim, dim) for dim in after[:_MAX_SITES]]
        before = self._offered(number - 1, "dim") if number else [IMAGE_CHANNELS]
        return list(product(before, after))[:_MAX_SITES]

    def _written(self, target: Path) -> _Part:
        return self._base["stages"][target.stage].get(target.role) or {}

    # Where a target exists, and where it changes the network.

    def _gates(self, target: Path) -> _Gates:
        """The gates behind which a target exists."""
        return (*self._depth_gate(target, target.layer), *self._part_gate(target))

    def _depth_gate(self, target: Path, layer: Any) -> _Gates:
        """A block is missing at depth 0, a layer at its number and below."""
        if len(target.segments) < 2 or target.segments[1].name not in ("block", "layers"):
            return ()
        number = layer if isinstance(layer, int) else 0
        depth = self._stage_axis(target.stage, "depth")
        if depth is None:
            return ()
        return _gate(depth, lambda value: not isinstance(value, int) or value > number, base=False)

    def _part_gate(self, target: Path) -> _Gates:
        """A field is missing where the chosen part has none of its name."""
        part = self._part_axis(target)
        if part is None:
            return ()
        role, name = target.role, target.segments[-1].name
        written = self._written(target)
        in_base = bool(written) and name in part_fields(role, written["kind"])
        return _gate(part, lambda value: name in part_fields(role, value["kind"]), base=in_base)

    def _effects_of(self, axis: Axis) -> tuple[_Gates, ...]:
        """Groups of gates: an axis changes the network where all gates of a group are open."""
        found = [group for target in axis.targets for group in self._groups(target, axis)]
        groups = [group for group in found if _CLOSED not in group]
        if not groups:
            return ((_CLOSED,),)
        return ((),) if () in groups else tuple(dict.fromkeys(groups))

    def _groups(self, target: Path, axis: Axis) -> Iterator[_Gates]:
        if part_path(target) is None:
            yield self._gates(target) if target.is_part else ()
            return
        inert = self._inert_gates(target, axis)
        whole = [gate for layer, gate in inert if layer is None or layer == target.layer]
        part = (*self._part_gate(target), *whole)
        layers = {layer for layer, _ in inert if layer is not None}
        if isinstance(target.layer, int) or not layers:
            yield (*self._depth_gate(target, target.layer), *part)
            return
        depth = max(self._offered(target.stage, "depth"), default=0)
        for layer in range(min(MAX_DEPTH, depth)):  # it may do nothing in some layers alone
            own = [gate for number, gate in inert if number == layer]
            yield (*self._depth_gate(target, layer), *part, *own)

    def _inert_gates(self, target: Path, axis: Axis) -> list[tuple[Index, _Gate]]:
        """By layer (None for the whole part), the choices with which a field does nothing."""
        role, name = target.role, target.segments[-1].name
        owner, sites = self._part_axis(target), self._sites(target)
        others = self._in_part[part_path(target)]
        given = {t.segments[-1].name: axis.values[0] for t, axis in others}
        written = owner.values if owner else (self._written(target),)
        having = [part for part in written if name in part_fields(role, part["kind"])]
        parts = [_filled(role, part, given) for part in having]
        matters = partial(_matters, role=role, name=name, values=axis.values, sites=sites)
        working = [part for part, filled in zip(having, parts, strict=True) if matters(filled)]
        found = []
        for other, decider in others:
            field = other.segments[-1].name
            meets = None in (target.layer, other.layer) or target.layer == other.layer
            if decider is axis or not meets:
                continue
            if any(field not in part_fields(role, part["kind"]) for part in parts):
                continue  # some part works without that field, so it does not decide
            acting = frozenset(
                index
                for index, value in enumerate(decider.values)
                if any(matters({**part, field: value}) for part in parts)
            )
            if 0 < len(acting) < len(decider.values):
                found.append((other.layer, _Gate(decider.name, acting, bool(working))))
        if found or len(working) == len(parts):
            return found
        gates = _gate(owner, working.__contains__, base=False) if owner else (_CLOSED,)
        return [(None, gate) for gate in gates]

    # Which values of an axis are one and the same choice.

    def _is_ambiguous(self, axis: Axis) -> bool:
        first = axis.targets[0]
        if first.segments[-1].name == "drop_path":
            return any(isinstance(value, list) for value in axis.values)
        if first.is_part:
            kinds = [value["kind"] for value in axis.values]
            return len(set(kinds)) < len(kinds) and any(
                self._meets(target, axis.values) for target in axis.targets
            )
        return part_path(first) is not None and None in axis.values

    def _meets(self, target: Path, parts: Sequence[_Part]) -> bool:
        """Whether two part choices are the same at some widths."""
        for before, after in self._sites(target):
            found = [_resolved(target.role, part, before=before, after=after) for part in parts]
            legal = [part for part in found if part is not None]
            if any(part in legal[:number] for number, part in enumerate(legal)):
                return True
        return False

    def _resolving(self, axis: Axis) -> frozenset[str]:
        """The axes on which the resolved values of an ambiguous axis depend."""
        found: list[Axis | None] = []
        for target in axis.targets:
            stage = int(target.stage or 0)
            if target.segments[-1].name == "drop_path":
                found.append(self._stage_axis(stage, "depth"))
                continue
            found.append(self._stage_axis(stage, "dim"))
            if target.role == "embed":
                found.append(self._stage_axis(stage - 1, "dim"))
            if not target.is_part:
                found.append(self._part_axis(target))
        return frozenset(other.name for other in found if other is not None)

    def _representatives(self, axis: Axis, choices: Choices) -> Sequence[int]:
        """For each value, the first one that is the same choice."""
        if axis.name not in self._ambiguous:
            return range(len(axis.values))
        keys = [[self._key(t, value, choices) for t in axis.targets] for value in axis.values]
        return [keys.index(key) for key in keys]

    def _key(self, target: Path, value: Any, choices: Choices) -> Any:
        """What a value comes to at one target, given the choices before."""
        number, name = int(target.stage or 0), target.segments[-1].name
        if name == "drop_path":
            first, last = value if isinstance(value, list) else (value, value)
            has_ramp = self._value(number, "depth", choices) > 1
            return (float(first), float(last if has_ramp else first))
        role = target.role
        part = value
        if not target.is_part:
            written = self._written(target)
            written = _chosen(self._part_axis(target), choices, written=written)
            if "kind" not in written or name not in part_fields(role, written["kind"]):
                return None  # the field is missing here, whatever its value
            part = {**written, name: value}
        after = self._value(number, "dim", choices)
        before = self._value(number - 1, "dim", choices) if role == "embed" else after
        resolved = _resolved(role, part, before=before, after=after)
        return repr(value) if resolved is None else resolved


def _are_open(gates: _Gates, choices: Choices) -> bool:
    chosen = ((gate, choices.get(gate.axis)) for gate in gates)
    return all(gate.base if index is None else index in gate.open for gate, index in chosen)


def _chosen(axis: Axis | None, choices: Choices, *, written: Any) -> Any:
    """The value of an axis, or what is written where there is none or it is not active."""
    index = choices.get(axis.name) if axis else None
    return written if axis is None or index is None else axis.values[index]


def _cut(stage: _Part) -> _Part:
    """A stage without what it says of layers beyond its depth."""
    layers, depth = stage.get("layers"), stage.get("depth", 0)
    if not layers:
        return stage
    return {**stage, "layers": {n: layers[n] for n in sorted(layers) if n < depth}}


def _resolved(role: Role, part: _Part, *, before: int, after: int) -> Any:
    """A part with derived values at its widths; None where it is illegal there."""
    try:
        spec = part_of(role, part, place="")
        return spec.resolved(Site(grid=_GRID, incoming_dim=before, dim=after))
    except (ArchbenchError, TypeError):
        return None


def _matters(
    part: _Part, *, role: Role, name: str, values: Sequence[Any], sites: Sequence[tuple[int, int]]
) -> bool:
    """Whether some of a field's values make different parts; yes, where none are known."""
    for before, after in sites:
        made = [_resolved(role, {**part, name: v}, before=before, after=after) for v in values]
        legal = [spec for spec in made if spec is not None]
        if len(legal) > 1:
            return any(spec != legal[0] for spec in legal)
    return True


def _filled(role: Role, part: _Part, given: Mapping[str, Any]) -> _Part:
    """A part that its kind accepts: as written, else with what other axes give it."""
    try:
        part_of(role, part, place="")
    except (ArchbenchError, TypeError):
        known = part_fields(role, str(part["kind"]))
        return {**{key: value for key, value in given.items() if key in known}, **part}
    return part


def _gate(axis: Axis, is_open: Callable[[Any], bool], *, base: bool) -> _Gates:
    """The gate of an axis, or none where every value leaves it open."""
    found = frozenset(index for index, value in enumerate(axis.values) if is_open(value))
    return () if len(found) == len(axis.values) else (_Gate(axis.name, found, base),)


def _sorted(axes: Sequence[Axis], controllers: Mapping[str, frozenset[str]]) -> tuple[Axis, ...]:
    """The axes as the file has them, but each behind those that decide about it."""
    waiting = list(axes)
    done: dict[str, Axis] = {}
    while waiting:
        ready = next((axis for axis in waiting if controllers[axis.name] <= done.keys()), None)
        if ready is None:
            names = ", ".join(axis.name for axis in waiting)
            waiting[0].place.fail(
                f"the conditions of these axes go in a circle: {names}",
                help="let one of them stand without when",
            )
        waiting.remove(ready)
        done[ready.name] = ready
    return tuple(done.values())
