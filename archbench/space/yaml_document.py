"""What does a YAML text say, and where: nodes with line and column, and nothing executed.

The parser's events are judged one by one before anything is built from them, so a hostile file
costs no more than reading it. Scalars resolve as YAML 1.2's core schema does: ``400e6`` and
``1e-3`` are numbers, ``no`` and ``on`` are words.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import yaml

from archbench.errors import ArchbenchError, MissingError, SpaceError, unknown_name

MAX_BYTES = 1 << 20
MAX_DEPTH = 32
MAX_NODES = 20_000
MAX_SCALAR = 256

_Scalar = str | int | float | bool | None
Key = str | int


@dataclass(frozen=True)
class Place:
    """Where something is written: line and column count from 1; 0 means the source alone."""

    source: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}" if self.line else self.source

    def moved(self, error: ArchbenchError) -> SpaceError:
        """An error from elsewhere, with what is written here as its cause."""
        message = f"{error.place}: {error.message}" if error.place else error.message
        return SpaceError(message, place=str(self), help=error.help)


@dataclass(frozen=True)
class Node:
    """A value of a document and where it stands.

    Attributes:
        value: A scalar, a tuple of nodes, or a mapping from key to node.
        place: Where the value begins.
        key_place: Where its key begins, for members of a mapping.
    """

    value: _Scalar | tuple[Node, ...] | Mapping[Key, Node]
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

    @property
    def shown(self) -> str:
        """The value as a message shows it."""
        has_members = isinstance(self.value, tuple | Mapping)
        return self.kind if has_members or self.value is None else repr(self.value)

    def entries(self, *, noun: str, allowed: Iterable[str] | None = None) -> dict[str, Node]:
        """The members of a mapping by key; none where nothing is written.

        Args:
            noun: What one key is called in messages.
            allowed: The keys that are known; None where any text may stand.

        Raises:
            SpaceError: It is no mapping, or a key is not known; the nearest are named.
        """
        if self.value is None:
            return {}
        if not isinstance(self.value, Mapping):
            self.fail(f"expected a mapping, got {self.kind}")
        known = tuple(self.value if allowed is None else allowed)
        for key, member in self.value.items():
            if key not in known:
                error = unknown_name(noun, str(key), map(str, known))
                member.fail(error.message, help=error.help, at_key=True)
        return {str(key): member for key, member in self.value.items()}

    def items(self, *, noun: str) -> tuple[Node, ...]:
        """The members of a list.

        Raises:
            SpaceError: It is no list.
        """
        if not isinstance(self.value, tuple):
            self.fail(f"expected a list of {noun}, got {self.kind}")
        return self.value

    def text(self) -> str:
        """Any text that is not empty.

        Raises:
            SpaceError: It is none.
        """
        if not isinstance(self.value, str) or not self.value.strip():
            self.fail(f"{self.shown} is not text")
        return self.value

    def word(self) -> str:
        """A name of letters, digits, ``_``, ``-`` and ``.``, of at most 64 characters.

        Raises:
            SpaceError: It is none; so is a name with a path in it.
        """
        if not isinstance(self.value, str) or not _NAME.fullmatch(self.value):
            self.fail(
                f"{self.shown} is not a name",
                help="use up to 64 letters, digits, _, - and ., and begin with a letter or digit",
            )
        return self.value

    @property
    def start(self) -> Place:
        """Where its key begins, or else the value."""
        return self.key_place or self.place

    def fail(self, message: str, *, help: str | None = None, at_key: bool = False) -> NoReturn:
        """Refuses the value, or the key under which it stands.

        Raises:
            SpaceError: Always.
        """
        _fail(self.start if at_key else self.place, message, help=help)


def is_number(value: Any) -> bool:
    """Whether a value is a number; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


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
    if len(text) > MAX_BYTES:
        raise SpaceError(f"is larger than {MAX_BYTES:,} characters", place=source)
    if found := _FORBIDDEN.search(text):
        place = Place(source, *_position(text[: found.start()]))
        _fail(place, f"the control character U+{ord(found.group()):04X} is not allowed")
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
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")
_INT = re.compile(r"([-+]?[0-9]+)|0o([0-7]+)|0x([0-9a-fA-F]+)")
_BASES = (0, 10, 8, 16)
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_WORDS: dict[str, _Scalar] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_BRACKETS = "a path with brackets within {...} or [...] needs quotes; or write one entry a line"
_LARGEST_INT = 2**63 - 1


@dataclass
class _Collection:
    """A list or mapping whose end has not come yet; ``key`` waits for its value."""

    place: Place
    members: list[Node] | dict[Key, Node]
    keys: dict[str, Place] = field(default_factory=dict)
    key: tuple[Key, Place] | None = None


class _Builder:
    """Builds nodes from events with a stack of its own: depth costs no recursion."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.root: Node | None = None
        self._open: list[_Collection] = []
        self._count = 0

    def take(self, event: Any) -> None:
        place = Place(self.source, event.start_mark.line + 1, event.start_mark.column + 1)
        match event:
            case yaml.AliasEvent():
                _fail(place, "aliases are not allowed", help="write the value out")
            case yaml.DocumentStartEvent():
                if self.root is not None:
                    _fail(place, "holds more than one document")
                if event.tags:
                    _fail(place, "tags are not allowed")
            case yaml.ScalarEvent():
                self._check(event, place)
                self._add(_scalar(event, place), place, is_plain=not event.style)
            case yaml.SequenceStartEvent() | yaml.MappingStartEvent():
                self._check(event, place)
                if len(self._open) == MAX_DEPTH:
                    _fail(place, f"is nested deeper than {MAX_DEPTH} levels")
                is_mapping = isinstance(event, yaml.MappingStartEvent)
                self._open.append(_Collection(place, {} if is_mapping else []))
            case yaml.SequenceEndEvent() | yaml.MappingEndEvent():
                ended = self._open.pop()
                is_list = isinstance(ended.members, list)
                self._add(tuple(ended.members) if is_list else ended.members, ended.place)

    def _check(self, event: Any, place: Place) -> None:
        if event.anchor is not None:
            _fail(place, "anchors are not allowed", help="write the value out")
        if event.tag is not None:
            _fail(place, "tags are not allowed", help="write the value without one")
        self._count += 1
        if self._count > MAX_NODES:
            _fail(place, f"holds more than {MAX_NODES:,} values")

    def _add(self, value: Any, place: Place, *, is_plain: bool = True) -> None:
        if not self._open:
            self.root = Node(value, place)
            return
        outer = self._open[-1]
        if isinstance(outer.members, list):
            outer.members.append(Node(value, place))
        elif outer.key is None:
            if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
                _fail(place, "a key must be a word or a whole number")
            if value == "<<" and is_plain:
                _fail(place, "merge keys are not allowed", help="write the entries out")
            first = outer.keys.setdefault(str(value), place)
            if first is not place:
                _fail(
                    place,
                    f"the key {_shown(str(value))} is written twice, in lines {first.line} and "
                    f"{place.line}",
                    help="keep one of the two",
                )
            outer.key = value, place
        else:
            key, key_place = outer.key
            outer.members[key] = Node(value, place, key_place)
            outer.key = None


def _fail(place: Place, message: str, *, help: str | None = None) -> NoReturn:
    raise SpaceError(message, place=str(place), help=help)


def _scalar(event: yaml.ScalarEvent, place: Place) -> _Scalar:
    text: str = event.value
    if len(text) > MAX_SCALAR:
        _fail(place, f"a value of {len(text):,} characters; at most {MAX_SCALAR}")
    if _FORBIDDEN.search(text) is not None:
        _fail(place, "a control character in a value")
    if event.style:  # quoted or block: text, whatever it looks like
        return text
    try:
        return _resolved(text)
    except ValueError as error:
        _fail(place, str(error))


def _resolved(text: str) -> _Scalar:
    """The value of a plain scalar in YAML 1.2's core schema."""
    if text in _WORDS:
        return _WORDS[text]
    if whole := _INT.fullmatch(text):
        number: int | float = int(whole[whole.lastindex or 1], _BASES[whole.lastindex or 1])
        if abs(number) > _LARGEST_INT:
            raise ValueError(f"the number {_shown(text)} is too large")
        return number
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


def _position(before: str | bytes) -> tuple[int, int]:
    """Line and column, from 1, of what comes after a text."""
    lines = before.split("\n") if isinstance(before, str) else before.split(b"\n")
    return len(lines), len(lines[-1]) + 1
