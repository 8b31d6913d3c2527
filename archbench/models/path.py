"""Where in a network is a field: the grammar of paths such as ``stages[1].block.kv_stride``.

A path names a place in the *written* document of a network, the one that ``archbench models show``
prints. ``[each]`` and ``[all]`` both select the parts that have the field; what differs is what a
space makes of them (one choice for each part, or one choice for all).
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from archbench.errors import SpecError, unknown_name
from archbench.models.part import Role, field_names, part_fields
from archbench.models.spec import ArchSpec, HeadSpec, StageSpec

Index = int | Literal["each", "all"] | None

NETWORK_FIELDS = field_names(ArchSpec)
STAGE_FIELDS = field_names(StageSpec)
HEAD_FIELDS = field_names(HeadSpec)

_SEGMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?:\[\s*([A-Za-z]+|[0-9]{1,6})\s*\])?")
_EXAMPLE = "write it like stages[1].block.kv_stride, stages[all].dim or head.pool"


@dataclass(frozen=True)
class Segment:
    """One step of a path: a field and, where that is a list, which member of it, from 0.

    ``each`` or ``all`` stands for every member that has the field.
    """

    name: str
    index: Index = None

    def __str__(self) -> str:
        return self.name if self.index is None else f"{self.name}[{self.index}]"


@dataclass(frozen=True)
class Path:
    """A place in the document of a network.

    >>> str(parse_path("stages[1].layers[each].attention_ratio"))
    'stages[1].layers[each].attention_ratio'
    """

    segments: tuple[Segment, ...]

    def __str__(self) -> str:
        return ".".join(map(str, self.segments))

    @property
    def is_concrete(self) -> bool:
        """Whether the path names one place, without ``each`` or ``all``."""
        return not any(isinstance(segment.index, str) for segment in self.segments)

    @property
    def stage(self) -> Index:
        """The index behind ``stages``, None for fields of the network and of the head."""
        return self.segments[0].index if self.segments[0].name == "stages" else None

    @property
    def layer(self) -> Index:
        """The index behind ``layers``, None where the path names no layer."""
        layers = [segment.index for segment in self.segments if segment.name == "layers"]
        return layers[0] if layers else None

    @property
    def role(self) -> Role:
        """Whether the path leads into an embed or a block; a layer's field is a block's."""
        return "embed" if self.segments[1].name == "embed" else "block"

    @property
    def is_part(self) -> bool:
        """Whether the path names a whole embed or block."""
        return len(self.segments) == 2 and self.segments[1].name in ("embed", "block")


def parse_path(text: str) -> Path:
    """The path that a text names.

    Only the form is judged here; whether a network has the field is known to ``expand``.

    Raises:
        SpecError: The text is no path, with the column at which it stops being one.
    """
    segments: list[Segment] = []
    place = 0
    while not segments or place < len(text):
        if segments:
            if text[place] != ".":
                raise _malformed(text, place, "'.' or the end")
            place += 1
        match = _SEGMENT.match(text, place)
        if match is None:
            raise _malformed(text, place, "a name")
        name, word = match.groups()
        index: Any = int(word) if word and word.isdigit() else word
        if isinstance(index, str) and index not in ("each", "all"):
            raise _malformed(text, match.start(2), "a number, each or all")
        segments.append(Segment(name, index))
        place = match.end()
    _check_form(text, segments)
    return Path(tuple(segments))


def expand(document: Mapping[str, Any], path: Path) -> list[Path]:
    """The concrete paths that a path selects in a document, in the order of the document.

    A layer exists up to the stage's depth; a part has a field when its kind knows it, written or
    not. ``each`` and ``all`` pass over the depth and the block of a stage that has no block.

    Raises:
        SpecError: The document has no such place, or no part of it has the field.
    """
    name, candidates = path.segments[-1].name, _candidates(document, path)
    found = [place for place in candidates if name in _fields(document, place)]
    if not path.is_concrete and len(path.segments) == 2 and name in ("depth", "block"):
        found = [place for place in found if _stage(document, place).get("block")]
    if found:
        return found
    known = sorted({field for place in candidates for field in _fields(document, place)})
    if name in known:
        raise SpecError("no part that it selects has this field", place=str(path))
    owner = str(Path(path.segments[:-1])) or "the network"
    if not known:
        raise SpecError(f"{owner} has no field {name}", place=str(path), help=_EXAMPLE)
    error = unknown_name(f"field of {owner}", name, known)
    raise SpecError(error.message, place=str(path), help=error.help)


def get(document: Mapping[str, Any], path: Path) -> Any:
    """The value written at a concrete path; a layer falls back on the block of its stage.

    Raises:
        SpecError: The document has no such place, or nothing is written there.
    """
    if not path.is_concrete:
        raise SpecError("one place is needed here, not each or all", place=str(path))
    (concrete,) = expand(document, path)
    value = _written(document, concrete.segments)
    if value is _NOTHING and concrete.layer is not None:
        block = (concrete.segments[0], Segment("block"), *concrete.segments[2:])
        value = _written(document, block)
    if value is _NOTHING:
        raise SpecError(
            "nothing is written there, so the value is the default or derived", place=str(path)
        )
    return value


def override(document: Mapping[str, Any], path: Path, value: Any) -> dict[str, Any]:
    """A new document with a value set wherever the path selects; the old one stays as it is.

    Only the branches on the way are copied, so the two documents share the rest.

    Raises:
        SpecError: The document has no such place, or no part of it has the field.
    """
    for concrete in expand(document, path):
        document = set_value(document, concrete, value)
    return dict(document)


def set_value(document: Mapping[str, Any], path: Path, value: Any) -> dict[str, Any]:
    """Like ``override`` at a concrete path that is known to be there: nothing is checked."""
    result: dict[str, Any] = _with(document, path.segments, value)
    return result


_NOTHING = object()


def _check_form(text: str, segments: list[Segment]) -> None:
    first, *rest = segments
    if first.name not in NETWORK_FIELDS:
        error = unknown_name("field of a network", first.name, NETWORK_FIELDS)
        raise SpecError(error.message, place=text, help=error.help)
    for segment in segments:
        if segment.index is not None and segment.name not in ("stages", "layers"):
            raise SpecError(f"{segment.name} is not a list and takes no [...]", place=text)
    if first == Segment("stages") and rest:
        raise SpecError(
            "say which stage: a number in brackets, each or all", place=text, help=_EXAMPLE
        )
    layers = [place for place, segment in enumerate(segments) if segment.name == "layers"]
    if layers and (layers != [1] or len(rest) != 2 or rest[0].index is None):
        raise SpecError(
            "a layer's field is written stages[1].layers[0].field, [each] or [all] for every layer",
            place=text,
        )


def _malformed(text: str, place: int, expected: str) -> SpecError:
    got = repr(text[place]) if place < len(text) else "the end"
    shown = text if len(text) <= 80 else f"{text[:77]}..."
    return SpecError(
        f"{shown!r} is not a path: expected {expected} at column {place + 1}, got {got}",
        help=_EXAMPLE,
    )


def _candidates(document: Mapping[str, Any], path: Path) -> list[Path]:
    """Concrete paths by the indices alone, whether or not the part has the field."""
    first, rest = path.segments[0], path.segments[1:]
    if first.name != "stages" or first.index is None:
        return [path]
    found = []
    for number in _selected(first, len(document.get("stages", ())), path):
        stage = Segment("stages", number)
        if not rest or rest[0].name != "layers":
            found.append(Path((stage, *rest)))
            continue
        depth = document["stages"][number].get("depth", 0)
        if isinstance(first.index, str) and isinstance(rest[0].index, int):
            # stages[each].layers[3]: the stages that are deep enough
            layers = [rest[0].index] if rest[0].index < depth else []
        else:
            layers = _selected(rest[0], depth, path, owner=str(stage))
        found += [Path((stage, Segment("layers", layer), *rest[1:])) for layer in layers]
    return found


def _selected(segment: Segment, count: int, path: Path, *, owner: str = "the network") -> list[int]:
    if not isinstance(segment.index, int):
        return list(range(count))
    if segment.index < count:
        return [segment.index]
    raise SpecError(
        f"{owner} has {count} {segment.name}, {segment.index} is not among them",
        place=str(path),
        help=f"allowed: {f'0 to {count - 1}' if count else 'none'}",
    )


def _fields(document: Mapping[str, Any], path: Path) -> Iterable[str]:
    """The names that may stand last in a concrete path, given what stands before."""
    names = [segment.name for segment in path.segments]
    match names:
        case [_]:
            return NETWORK_FIELDS
        case ["head", _]:
            return HEAD_FIELDS
        case ["stages", _] if path.segments[0].index is not None:
            return STAGE_FIELDS
        case ["stages", "embed" | "block" as part, _]:
            return _part_fields(_stage(document, path), part)
        case ["stages", "layers", _]:
            return _part_fields(_stage(document, path), "block") - {"kind"}
        case _:
            return ()


def _part_fields(stage: Mapping[str, Any], part: str) -> frozenset[str]:
    kind = (stage.get(part) or {}).get("kind")
    if kind is None:
        return frozenset()
    return part_fields("embed" if part == "embed" else "block", kind) | {"kind"}


def _stage(document: Mapping[str, Any], path: Path) -> Mapping[str, Any]:
    stage: Mapping[str, Any] = document["stages"][path.segments[0].index]
    return stage


def _written(document: Any, segments: tuple[Segment, ...]) -> Any:
    for segment in segments:
        document, index = (document or {}).get(segment.name, _NOTHING), segment.index
        if document is not _NOTHING and index is not None:
            is_list = segment.name == "stages"
            document = document[index] if is_list else document.get(index, _NOTHING)
        if document is _NOTHING:
            return _NOTHING
    return document


def _with(document: Any, segments: tuple[Segment, ...], value: Any) -> Any:
    if not segments:
        return value
    segment, rest = segments[0], segments[1:]
    inner = (document or {}).get(segment.name)
    changed: Any
    if segment.index is None:
        changed = _with(inner, rest, value)
    else:
        is_list = segment.name == "stages"
        changed = list(inner or ()) if is_list else dict(inner or {})
        before = changed[segment.index] if is_list else changed.get(segment.index)
        changed[segment.index] = _with(before, rest, value)
    return {**(document or {}), segment.name: changed}
