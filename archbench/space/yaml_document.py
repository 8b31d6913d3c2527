"""What does a YAML text say, and where: nodes with line and column, and nothing executed.

The parser's events are judged one by one before anything is built from them, so a hostile file
costs no more than reading it. Scalars resolve as YAML 1.2's core schema does: ``400e6`` and
``1e-3`` are numbers, ``no`` and ``on`` are words.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import yaml

from archbench.errors import MissingError, SpaceError

MAX_BYTES = 1 << 20
MAX_DEPTH = 32
MAX_NODES = 20_000
MAX_SCALAR = 256

Scalar = str | int | float | bool | None
Key = str | int


@dataclass(frozen=True)
class Place:
    """Where something is written: line and column count from 1."""

    source: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}"


@dataclass(frozen=True)
class Node:
    """A value of a document and where it stands.

    Attributes:
        value: A scalar, a tuple of nodes, or a mapping from key to node.
        place: Where the value begins.
        key_place: Where its key begins, for members of a mapping.
    """

    value: Scalar | tuple[Node, ...] | Mapping[Key, Node]
    place: Place
    key_place: Place | None = None

    def plain(self) -> Any:
        """The value as plain dicts, lists and scalars."""
        if isinstance(self.value, tuple):
            return [node.plain() for node in self.value]
        if isinstance(self.value, Mapping):
            return {key: node.plain() for key, node in self.value.items()}
        return self.value

    @property
    def kind(self) -> str:
        """What it is, in the words of a message."""
        match self.value:
            case tuple():
                return "a list"
            case Mapping():
                return "a mapping"
            case None:
                return "nothing"
            case bool():
                return "true or false"
            case int() | float():
                return "a number"
            case str():
                return "text"

    def fail(self, message: str, *, help: str | None = None) -> NoReturn:
        """Refuses the value at its place.

        Raises:
            SpaceError: Always.
        """
        raise SpaceError(message, place=str(self.place), help=help)

    def fail_at_key(self, message: str, *, help: str | None = None) -> NoReturn:
        """Refuses the key under which the value stands.

        Raises:
            SpaceError: Always.
        """
        raise SpaceError(message, place=str(self.key_place or self.place), help=help)


def read_text(path: Path) -> str:
    """The text of a file, read no further than the largest size that is allowed.

    Raises:
        MissingError: There is no such file.
        SpaceError: It cannot be read, is too large, or is not UTF-8.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise MissingError("no such file", place=str(path)) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SpaceError(f"cannot be read: {reason}", place=str(path)) from None
    if len(content) > MAX_BYTES:
        raise SpaceError(f"is larger than {MAX_BYTES:,} bytes", place=str(path))
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        place = Place(str(path), *_position(content[: error.start]))
        raise SpaceError("is not UTF-8 text", place=str(place)) from None


def load_yaml(text: str, *, source: str) -> Node:
    """The one document that a text holds.

    Args:
        text: YAML without anchors, aliases, merge keys and tags.
        source: The name of the text in messages, usually its file.

    Raises:
        SpaceError: It is no YAML, holds what is not allowed, or is larger than the limits; with
            line and column.
    """
    _check_characters(text, source)
    builder = _Builder(source)
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        for event in yaml.parse(text, Loader=loader):
            builder.take(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(source, mark.line + 1, mark.column + 1) if mark else Place(source, 1, 1)
        reason = error.problem or error.context or "it cannot be parsed"
        help_ = _BRACKETS if reason.startswith("did not find expected ','") else None
        raise SpaceError(f"is no YAML: {reason}", place=str(place), help=help_) from None
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        raise SpaceError(f"is no YAML: {error}", place=f"{source}:1:1") from None
    if builder.root is None:
        raise SpaceError("is empty", place=f"{source}:1:1")
    return builder.root


def first_comment(text: str) -> str:
    """The first paragraph of comment at the top of a text, as one line."""
    lines = []
    for line in text.removeprefix("\ufeff").splitlines():
        stripped = line.strip()
        if stripped.startswith("#") and stripped.strip("# "):
            lines.append(stripped.lstrip("#").strip())
        elif lines or stripped.strip("# "):
            break
    return " ".join(lines)


def write_flow(value: Any) -> str:
    """A plain value as YAML on one line, which ``load_yaml`` reads back as it was.

    >>> write_flow({"kind": "cvt", "rates": [0, 0.1], "note": "no, 1"})
    '{kind: cvt, rates: [0, 0.1], note: "no, 1"}'
    """
    match value:
        case Mapping():
            return f"{{{', '.join(f'{write_flow(k)}: {write_flow(v)}' for k, v in value.items())}}}"
        case str():
            is_plain = _WORD.fullmatch(value) is not None and isinstance(_resolved(value), str)
            return value if is_plain else json.dumps(value, ensure_ascii=False)
        case Sequence():
            return f"[{', '.join(map(write_flow, value))}]"
        case _:
            return json.dumps(value)


_FORBIDDEN = re.compile(
    "[^\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")
_INT = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEX = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_WORDS: dict[str, Scalar] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_BRACKETS = "a path with brackets within {...} or [...] needs quotes; or write one entry a line"
_LARGEST_INT = 2**63 - 1


class _Builder:
    """Builds nodes from events with a stack of its own: depth costs no recursion."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.root: Node | None = None
        self._open: list[_Collection] = []
        self._count = 0

    def take(self, event: yaml.Event) -> None:
        match event:
            case yaml.AliasEvent():
                self._fail(event, "aliases are not allowed", help="write the value out")
            case yaml.DocumentStartEvent():
                if self.root is not None:
                    self._fail(event, "holds more than one document")
                if event.tags:
                    self._fail(event, "tags are not allowed")
            case yaml.ScalarEvent():
                self._check(event)
                self._add(event, self._scalar(event))
            case yaml.SequenceStartEvent() | yaml.MappingStartEvent():
                self._check(event)
                if len(self._open) == MAX_DEPTH:
                    self._fail(event, f"is nested deeper than {MAX_DEPTH} levels")
                is_mapping = isinstance(event, yaml.MappingStartEvent)
                self._open.append(_Collection(self._place(event), is_mapping))
            case yaml.SequenceEndEvent() | yaml.MappingEndEvent():
                collection = self._open.pop()
                self._add(event, collection.value(), place=collection.place)
            case _:
                pass

    def _check(self, event: Any) -> None:
        if event.anchor is not None:
            self._fail(event, "anchors are not allowed", help="write the value out")
        if event.tag is not None:
            self._fail(event, "tags are not allowed", help="write the value without one")
        self._count += 1
        if self._count > MAX_NODES:
            self._fail(event, f"holds more than {MAX_NODES:,} values")

    def _scalar(self, event: yaml.ScalarEvent) -> Scalar:
        text: str = event.value
        if len(text) > MAX_SCALAR:
            self._fail(event, f"a value of {len(text):,} characters; at most {MAX_SCALAR}")
        if _FORBIDDEN.search(text) is not None:
            self._fail(event, "a control character in a value")
        if event.style:  # quoted or block: text, whatever it looks like
            return text
        try:
            return _resolved(text)
        except ValueError as error:
            self._fail(event, str(error))

    def _add(self, event: yaml.Event, value: Any, *, place: Place | None = None) -> None:
        place = place or self._place(event)
        if not self._open:
            self.root = Node(value, place)
            return
        collection = self._open[-1]
        if not collection.is_mapping:
            collection.items.append(Node(value, place))
        elif collection.key is None:
            collection.key = (self._key(value, event, collection, place), place)
        else:
            key, key_place = collection.key
            collection.entries[key] = Node(value, place, key_place)
            collection.key = None

    def _key(
        self, value: Any, event: yaml.Event, collection: _Collection, place: Place
    ) -> str | int:
        if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
            self._fail(event, "a key must be a word or a whole number", at=place)
        if value == "<<" and not getattr(event, "style", None):
            self._fail(event, "merge keys are not allowed", help="write the entries out")
        first = collection.keys.setdefault(str(value), place)
        if first is not place:
            shown = _shown(str(value))
            self._fail(
                event,
                f"the key {shown} is written twice, in lines {first.line} and {place.line}",
                help="keep one of the two",
                at=place,
            )
        return value

    def _place(self, event: Any) -> Place:
        mark = event.start_mark
        return Place(self.source, mark.line + 1, mark.column + 1)

    def _fail(
        self, event: yaml.Event, message: str, *, help: str | None = None, at: Place | None = None
    ) -> NoReturn:
        raise SpaceError(message, place=str(at or self._place(event)), help=help)


class _Collection:
    """A list or mapping whose end has not come yet."""

    def __init__(self, place: Place, is_mapping: bool) -> None:
        self.place = place
        self.is_mapping = is_mapping
        self.items: list[Node] = []
        self.entries: dict[Key, Node] = {}
        self.keys: dict[str, Place] = {}
        self.key: tuple[Key, Place] | None = None

    def value(self) -> tuple[Node, ...] | Mapping[Key, Node]:
        return self.entries if self.is_mapping else tuple(self.items)


def _resolved(text: str) -> Scalar:
    """The value of a plain scalar in YAML 1.2's core schema."""
    if text in _WORDS:
        return _WORDS[text]
    whole: int | None = None
    if _INT.fullmatch(text):
        whole = int(text)
    elif _OCTAL.fullmatch(text):
        whole = int(text[2:], 8)
    elif _HEX.fullmatch(text):
        whole = int(text[2:], 16)
    if whole is not None:
        if abs(whole) > _LARGEST_INT:
            raise ValueError(f"the number {_shown(text)} is too large")
        return whole
    if _NOT_FINITE.fullmatch(text):
        raise ValueError(f"the number {text} is not finite")
    if not _FLOAT.fullmatch(text):
        return text
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {_shown(text)} is too large")
    return number


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:37]}...")


def _check_characters(text: str, source: str) -> None:
    if len(text) > MAX_BYTES:
        raise SpaceError(f"is larger than {MAX_BYTES:,} characters", place=source)
    found = _FORBIDDEN.search(text)
    if found is not None:
        place = Place(source, *_position(text[: found.start()]))
        code = f"U+{ord(found.group()):04X}"
        raise SpaceError(f"the control character {code} is not allowed", place=str(place))


def _position(before: str | bytes) -> tuple[int, int]:
    """Line and column, from 1, of what comes after a text."""
    lines = before.split("\n") if isinstance(before, str) else before.split(b"\n")
    return len(lines), len(lines[-1]) + 1
