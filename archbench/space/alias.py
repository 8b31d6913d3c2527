"""Which values of an axis are one and the same choice, given the choices before?

Heads may be given by number or by width, a ramp of one layer is its first value: two values can
resolve to one network. The first of them then stands for all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from archbench.models.path import Path
from archbench.models.resolved import IMAGE_CHANNELS
from archbench.models.spec import part_fields
from archbench.space.axis import Axis, Choices, is_part, role_of
from archbench.space.expansion import Document, Expansion, Slot, part_slot, slot
from archbench.space.inertness import resolved_part, site_dims


class Aliases:
    """Knows the axes of which two values can be the same choice."""

    def __init__(self, expansion: Expansion) -> None:
        self._base: Document = expansion.base
        self._owners = {slot(target): axis for axis in expansion.axes for target in axis.targets}
        self._deciders = {
            axis.name: self._read(axis) for axis in expansion.axes if self._is_ambiguous(axis)
        }

    def controllers(self, axis: Axis) -> frozenset[str]:
        """The axes that decide which of its values are the same."""
        return self._deciders.get(axis.name, frozenset())

    def representatives(self, axis: Axis, choices: Choices) -> Sequence[int]:
        """For each value, the first one that is the same choice."""
        if axis.name not in self._deciders:
            return range(len(axis.values))
        keys = [self._key(axis, value, choices) for value in axis.values]
        return [keys.index(key) for key in keys]

    def _key(self, axis: Axis, value: Any, choices: Choices) -> list[Any]:
        return [self._place_key(target, value, choices) for target in axis.targets]

    def _place_key(self, target: Path, value: Any, choices: Choices) -> Any:
        if target.segments[-1].name == "drop_path":
            depth = self._value(f"stages[{target.stage}].depth", "depth", target, choices)
            first, last = value if isinstance(value, list) else (value, value)
            return (float(first), float(last if depth > 1 else first))
        role = role_of(target)
        part = value
        if not is_part(target):
            owner = self._owners.get(part_slot(target) or ())
            index = choices.get(owner.name) if owner else None
            written = (
                owner.values[index]
                if owner is not None and index is not None
                else self._base["stages"][target.stage].get(role) or {}
            )
            name = target.segments[-1].name
            if "kind" not in written or name not in part_fields(role, written["kind"]):
                return None  # the field is missing here, whatever its value
            part = {**written, name: value}
        number = int(target.stage or 0)
        after = self._value(f"stages[{number}].dim", "dim", target, choices)
        before = self._before(number, choices) if role == "embed" else after
        resolved = resolved_part(role, part, before=before, after=after)
        return repr(value) if resolved is None else resolved

    def _before(self, number: int, choices: Choices) -> int:
        if number == 0:
            return IMAGE_CHANNELS
        axis = self._owners.get((f"stages[{number - 1}].dim",))
        index = choices.get(axis.name) if axis else None
        if axis is not None and index is not None:
            return int(axis.values[index])
        return int(self._base["stages"][number - 1]["dim"])

    def _value(self, place: str, name: str, target: Path, choices: Choices) -> Any:
        axis = self._owners.get((place,))
        index = choices.get(axis.name) if axis else None
        if axis is not None and index is not None:
            return axis.values[index]
        return self._base["stages"][target.stage][name]

    def _is_ambiguous(self, axis: Axis) -> bool:
        first = axis.targets[0]
        if first.segments[-1].name == "drop_path":
            return any(isinstance(value, list) for value in axis.values)
        if is_part(first):
            kinds = [value["kind"] for value in axis.values]
            return len(set(kinds)) < len(kinds) and any(
                self._meets(target, axis.values) for target in axis.targets
            )
        return part_slot(first) is not None and None in axis.values

    def _meets(self, target: Path, parts: Sequence[Mapping[str, Any]]) -> bool:
        """Whether two part choices are the same at some widths."""
        role = role_of(target)
        for before, after in site_dims(self._base, self._owners, slot(target)):
            found = [resolved_part(role, part, before=before, after=after) for part in parts]
            legal = [part for part in found if part is not None]
            if any(part in legal[:number] for number, part in enumerate(legal)):
                return True
        return False

    def _read(self, axis: Axis) -> frozenset[str]:
        """The axes on which the resolved values of an ambiguous axis hang."""
        places: list[Slot] = []
        for target in axis.targets:
            if target.segments[-1].name == "drop_path":
                places.append((f"stages[{target.stage}].depth",))
                continue
            number = int(target.stage or 0)
            places.append((f"stages[{number}].dim",))
            if role_of(target) == "embed":
                places.append((f"stages[{number - 1}].dim",))
            if not is_part(target):
                places.append(part_slot(target) or ())
        return frozenset(self._owners[place].name for place in places if place in self._owners)
