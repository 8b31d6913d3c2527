"""What does a YAML text say, and where: nodes with line and column, and nothing executed.

The parser's events are judged one by one before anything is built from them, so a hostile file
costs no more than reading it. Scalars resolve as YAML 1.2's core schema does: ``400e6`` and
``1e-3`` are numbers, ``no`` and ``on`` are words.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
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

    def fail(self, message: str, *, help: str | None = None) -> NoReturn:
        """Refuses what is written here.

        Raises:
            SpaceError: Always.
        """
        raise SpaceError(message, place=str(self), help=help)

    def moved(self, error: ArchbenchError) -> SpaceError:
        """An error from elsewhere, with what is written here as its cause."""
        message = f"{error.place}: {error.message}" if error.place else error.message
        return SpaceError(message, place=str(self), help=error.help)


@dataclass(frozen=True)
class Node:
    """A scalar, a tuple of nodes, or a mapping from key to node, and the place where it begins.

    ``key_place`` is where its key begins, for members of a mapping.
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
        return next(words for kind, words in _KINDS if isinstance(self.value, kind))

    @property
    def shown(self) -> str:
        """The value as a message shows it."""
        has_members = isinstance(self.value, tuple | Mapping)
        return self.kind if has_members or self.value is None else repr(self.value)

    def entries(
        self,
        *,
        noun: str,
        allowed: Iterable[str] | None = None,
        meant: Mapping[str, str] | None = None,
    ) -> dict[str, Node]:
        """The members of a mapping by key, any key where none are ``allowed``.

        Of a key that is none but often ``meant``, the fault says what to write.

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
                help_ = (meant or {}).get(str(key), error.help)
                member.fail(error.message, help=help_, at_key=True)
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
        (self.start if at_key else self.place).fail(message, help=help)


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
    """The one document that a text holds, without anchors, aliases, merge keys and tags.

    ``source`` names the text in messages, usually by its file.

    Raises:
        SpaceError: It is not valid YAML, holds what is not allowed, or is larger than the limits;
            with line and column.
    """
    if len(text) > MAX_BYTES:
        raise SpaceError(f"is larger than {MAX_BYTES:,} characters", place=source)
    if found := _FORBIDDEN.search(text):
        place = Place(source, *_position(text[: found.start()]))
        place.fail(f"the control character U+{ord(found.group()):04X} is not allowed")
    try:
        root = _Reader(text, source).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(source, mark.line + 1, mark.column + 1) if mark else Place(source, 1, 1)
        reason = error.problem or error.context or "it cannot be parsed"
        line = "".join(text.split("\n")[mark.line : mark.line + 1]) if mark else ""
        if mark and line[mark.column : mark.column + 1] == "\t":
            place.fail("a tab stands here", help="indent with spaces")
        help_ = _BRACKETS if reason.startswith("did not find expected ','") else None
        raise SpaceError(f"is not valid YAML: {reason}", place=str(place), help=help_) from None
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        raise SpaceError(f"is not valid YAML: {error}", place=f"{source}:1:1") from None
    if root is None:
        raise SpaceError("is empty", place=f"{source}:1:1")
    return root


def read_setting(text: str) -> tuple[str, Node]:
    """Path and value of ``PATH=VALUE``, the value as YAML.

    Raises:
        SpaceError: There is no path or no value.
    """
    key, sign, value = text.partition("=")
    key = key.strip()
    if not sign or not key or not value.strip():
        raise SpaceError(
            f"{text[:80]!r} is not a setting", place="--set", help="write it like PATH=VALUE"
        )
    return key, load_yaml(value, source=f"--set {key}")


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


_KINDS: Sequence[tuple[type, str]] = (
    (tuple, "a list"),
    (Mapping, "a mapping"),
    (type(None), "nothing"),
    (bool, "true or false"),
    (int, "a number"),
    (float, "a number"),
    (str, "text"),
)
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


class _Reader:
    """Reads nodes from events; what is nested is bounded, so Python's stack is, too."""

    def __init__(self, text: str, source: str) -> None:
        loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        self._events: Iterator[Any] = yaml.parse(text, Loader=loader)
        self._source = source
        self._count = 0

    def document(self) -> Node | None:
        """The one document that there is, if there is one."""
        root = None
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                if root is not None:
                    self._place(event).fail("holds more than one document")
                if event.tags:
                    self._place(event).fail("tags are not allowed")
            elif isinstance(event, yaml.NodeEvent):
                root = self._node(event)
        return root

    def _place(self, event: Any) -> Place:
        return Place(self._source, event.start_mark.line + 1, event.start_mark.column + 1)

    def _node(self, event: Any, *, depth: int = 0, key_place: Place | None = None) -> Node:
        place = self._place(event)
        if isinstance(event, yaml.AliasEvent):
            place.fail("aliases are not allowed", help="write the value out")
        if event.anchor is not None:
            place.fail("anchors are not allowed", help="write the value out")
        if event.tag is not None:
            place.fail("tags are not allowed", help="write the value without one")
        self._count += 1
        if self._count > MAX_NODES:
            place.fail(f"holds more than {MAX_NODES:,} values")
        if isinstance(event, yaml.ScalarEvent):
            return Node(_scalar(event, place), place, key_place)
        if depth == MAX_DEPTH:
            place.fail(f"is nested deeper than {MAX_DEPTH} levels")
        is_list = isinstance(event, yaml.SequenceStartEvent)
        value = tuple(self._items(depth + 1)) if is_list else self._members(depth + 1)
        return Node(value, place, key_place)

    def _items(self, depth: int) -> Iterator[Node]:
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            yield self._node(event, depth=depth)

    def _members(self, depth: int) -> dict[Key, Node]:
        members: dict[Key, Node] = {}
        places: dict[str, Place] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            node = self._node(event, depth=depth)
            key, place = node.value, node.place
            if isinstance(key, bool) or not isinstance(key, str | int) or key == "":
                place.fail("a key must be a word or a whole number")
            if key == "<<" and not event.style:
                place.fail("merge keys are not allowed", help="write the entries out")
            first = places.setdefault(str(key), place)
            if first is not place:
                place.fail(
                    f"the key {_shown(str(key))} is written twice, in lines {first.line} and "
                    f"{place.line}",
                    help="keep one of the two",
                )
            members[key] = self._node(next(self._events), depth=depth, key_place=place)
        return members


def _scalar(event: Any, place: Place) -> _Scalar:
    text: str = event.value
    if len(text) > MAX_SCALAR:
        place.fail(f"a value of {len(text):,} characters; at most {MAX_SCALAR}")
    if _FORBIDDEN.search(text) is not None:
        place.fail("a control character in a value")
    if event.style:  # quoted or block: text, whatever it looks like
        return text
    try:
        return _resolved(text)
    except ValueError as error:
        place.fail(str(error))


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
