"""How does one space differ from another, and which of its candidates is a network known before?"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from typing import Any

from archbench.errors import SpecError
from archbench.models import ArchSpec
from archbench.models.path import get
from archbench.space.axis import Axis, Choices
from archbench.space.expression import InfeasibleError
from archbench.space.space import SearchSpace
from archbench.yaml_document import write_flow

_LONGEST = 60
_MOST_TRIED = 64


@dataclass(frozen=True, kw_only=True)
class Change:
    """One place of a space file that is other than it was, such as ``axes.stages[0].dim``.

    ``is_loss`` says whether candidates are gone for certain.
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
    changes = [
        change
        for section in ("target", "objectives", "limits", "proxy")
        for change in _differing(_section(before, section), _section(after, section))
    ]
    return changes or list(_trained(before, after))


def choices_for(
    space: SearchSpace, spec: ArchSpec, *, known: Mapping[str, Any] | None = None
) -> Choices | None:
    """The choices that come to the very network, to the digest; None where none were found.

    An axis takes the value that is known of it, else what the network has written there. Where
    neither says it, as for derived values, its values are tried in turn, at most 64 combinations;
    so a candidate of an unlike space may be missed, and never is a wrong one given.

    Takes about as long as decoding a candidate where every axis is known: where ``known`` has its
    value as tables show it, from a space whose axes bear the same names.
    """
    options = partial(_options, document=spec.to_document(), known=known or {})
    for choices in islice(space.enumerate(among=options), _MOST_TRIED):
        try:
            if space.decode(choices).digest == spec.digest:
                return choices
        except InfeasibleError:
            continue
    return None


def _axes(before: SearchSpace, after: SearchSpace) -> Iterator[Change]:
    old, new = ({axis.name: axis for axis in space.axes} for space in (before, after))
    for name in dict.fromkeys([*old, *new]):
        one, other = old.get(name), new.get(name)
        gone, come = _values_without(one, other), _values_without(other, one)
        if gone or come or one is None or other is None:
            yield Change(
                place=f"axes.{name}",
                before=_values(one),
                after=_values(other),
                is_loss=other is not None and any(not isinstance(v, list | dict) for v in gone),
            )
        else:
            was, now = (axis.when.text if axis.when else "always" for axis in (one, other))
            if was != now:
                yield Change(place=f"axes.{name}.when", before=was, after=now)


def _base(before: SearchSpace, after: SearchSpace) -> Iterator[Change]:
    chosen = [str(target) for s in (before, after) for axis in s.axes for target in axis.targets]
    for change in _differing(dict(_flat(before.base)), dict(_flat(after.base))):
        inside = (change.place.startswith((f"{c}.", f"{c}[")) for c in chosen)
        if change.place not in ("name", *chosen) and not any(inside):
            yield change


def _require(before: SearchSpace, after: SearchSpace) -> Iterator[Change]:
    gone = [text for text in before.require if text not in after.require]
    come = [text for text in after.require if text not in before.require]
    if gone or come:
        yield Change(
            place="require",
            before=_short(", ".join(gone)) or "without it",
            after=_short(", ".join(come)) or "without it",
        )


def _trained(before: SearchSpace, after: SearchSpace) -> Iterator[Change]:
    """The resolutions of candidates of both spaces that are trained at another side."""
    for own, was in _sides(before).items():
        if (now := _sides(after).get(own, was)) != was:
            yield Change(
                place=f"proxy.resolution of candidates of {own} px", before=str(was), after=str(now)
            )


def _sides(space: SearchSpace) -> Mapping[str, int]:
    one = {write_flow(space.base["resolution"]): space.proxy.resolution}
    return {str(own): side for own, side in space.trained_sides.items()} or one


def _section(space: SearchSpace, name: str) -> dict[str, Any]:
    """A section's values by place."""
    found: Any = getattr(space, name)
    return dict(_flat(found if isinstance(found, Mapping) else asdict(found), name))


def _differing(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    for place in dict.fromkeys([*old, *new]):
        if old.get(place) != new.get(place):
            yield Change(place=place, before=_shown(old, place), after=_shown(new, place))


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


def _values_without(axis: Axis | None, other: Axis | None) -> list[Any]:
    """The values of one axis that another does not have."""
    others = other.values if other else ()
    return [v for v in (axis.values if axis else ()) if not any(_equal(v, o) for o in others)]


def _shown(entries: Mapping[str, Any], key: str) -> str:
    return _short(write_flow(entries[key])) if key in entries else "nothing"


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def _options(axis: Axis, *, document: Mapping[str, Any], known: Mapping[str, Any]) -> Sequence[int]:
    """Which values of an axis the network may have; none where it has another one."""
    every = range(len(axis.values))
    if axis.name in known:
        value = known[axis.name]
        found = [index for index in every if _equal(axis.label(index), value)]
        is_composed = any(isinstance(other, list | Mapping) for other in axis.values)
        if found or not is_composed:  # what is composed can be written in several ways
            return found
    for target in axis.targets:
        try:
            written = get(document, target)
        except SpecError:
            continue  # not in this network, or derived there
        return [index for index in every if _may_be(axis.values[index], written)]
    return every


def _may_be(value: Any, written: Any) -> bool:
    """Whether a value may have become what is written; no other axis sets a part's own fields."""
    if isinstance(value, Mapping) and isinstance(written, Mapping):
        return all(_equal(written.get(key, inner), inner) for key, inner in value.items())
    return isinstance(value, list) or _equal(value, written)


def _equal(one: Any, other: Any) -> bool:
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)
