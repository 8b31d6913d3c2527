"""In what does one space differ from another, in words, place by place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from archbench.space.axis import Axis
from archbench.space.space import SearchSpace
from archbench.space.yaml_document import write_flow

_LONGEST = 60


@dataclass(frozen=True, kw_only=True)
class Change:
    """One place of a space file that is other than it was.

    Attributes:
        place: For example ``axes.stages[0].dim`` or ``proxy.rungs``.
        before: What stood there.
        after: What stands there now.
        is_loss: Whether candidates are gone for certain.
    """

    place: str
    before: str
    after: str
    is_loss: bool = False

    def __str__(self) -> str:
        return f"{self.place} was {self.before} and is {self.after}"


def candidate_changes(before: SearchSpace, after: SearchSpace) -> list[Change]:
    """What makes other candidates: axes, the base where no axis sets it, and requirements."""
    return [*_axes(before, after), *_base(before, after), *_require(before, after)]


def condition_changes(before: SearchSpace, after: SearchSpace) -> list[Change]:
    """What makes other numbers: target, objectives, limits and proxy."""
    sections = [
        ("target", asdict(before.target), asdict(after.target)),
        ("objectives", before.objectives, after.objectives),
        ("limits", before.limits, after.limits),
        ("proxy", asdict(before.proxy), asdict(after.proxy)),
    ]
    return [change for name, old, new in sections for change in _entries(name, old, new)]


def _axes(before: SearchSpace, after: SearchSpace) -> Iterator[Change]:
    old, new = ({axis.name: axis for axis in space.axes} for space in (before, after))
    for name in dict.fromkeys([*old, *new]):
        one, other = old.get(name), new.get(name)
        gone = [v for v in one.values if not _has(other, v)] if one else []
        come = [v for v in other.values if not _has(one, v)] if other else []
        if gone or come or one is None or other is None:
            yield Change(
                place=f"axes.{name}",
                before=_values(one),
                after=_values(other),
                is_loss=other is not None and any(not isinstance(v, list | dict) for v in gone),
            )
        elif str(one.when and one.when.text) != str(other.when and other.when.text):
            yield Change(place=f"axes.{name}.when", before=_when(one), after=_when(other))


def _has(axis: Axis | None, value: Any) -> bool:
    return axis is not None and any(
        value == other and isinstance(value, bool) == isinstance(other, bool)
        for other in axis.values
    )


def _base(before: SearchSpace, after: SearchSpace) -> Iterator[Change]:
    old, new = dict(_flat(before.base)), dict(_flat(after.base))
    chosen = [str(target) for s in (before, after) for axis in s.axes for target in axis.targets]
    for place in dict.fromkeys([*old, *new]):
        is_chosen = any(place == c or place.startswith((f"{c}.", f"{c}[")) for c in chosen)
        if place != "name" and not is_chosen and old.get(place) != new.get(place):
            yield Change(place=place, before=_shown(old, place), after=_shown(new, place))


def _require(before: SearchSpace, after: SearchSpace) -> Iterator[Change]:
    gone = [text for text in before.require if text not in after.require]
    come = [text for text in after.require if text not in before.require]
    if gone or come:
        yield Change(
            place="require",
            before=_short(", ".join(gone)) or "without it",
            after=_short(", ".join(come)) or "without it",
        )


def _entries(name: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Change]:
    old, new = _plain(before), _plain(after)
    for key in dict.fromkeys([*old, *new]):
        if old.get(key) != new.get(key):
            place = f"{name}.{key}"
            yield Change(place=place, before=_shown(old, key), after=_shown(new, key))


def _plain(section: Mapping[str, Any]) -> dict[str, Any]:
    return {k: list(v) if isinstance(v, tuple) else v for k, v in section.items()}


def _flat(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(inner, f"{place}.{key}" if place else str(key))
    elif isinstance(value, list) and any(isinstance(inner, Mapping) for inner in value):
        for number, inner in enumerate(value):
            yield from _flat(inner, f"{place}[{number}]")
    else:
        yield place, value


def _values(axis: Axis | None) -> str:
    if axis is None:
        return "no axis"
    return _short(", ".join(write_flow(value) for value in axis.values))


def _when(axis: Axis) -> str:
    return axis.when.text if axis.when else "always"


def _shown(entries: Mapping[str, Any], key: str) -> str:
    return _short(write_flow(entries[key])) if key in entries else "nothing"


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
