"""Has a value the shape that those who read it expect: a number, a word, a document?

A study may come from a stranger. What passes is of the kinds that ``contents`` tells; whether it is
true nobody can tell.
"""

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self, get_args

from archbench.bounds import is_number
from archbench.errors import StorageError

PUT_BACK = "put back a copy of study.db, or begin a new study with another --name"
"""What to do where a study is not whole."""

NUMBERED = "int:"
"""Before a key that is a whole number, which no JSON has."""

MOST = 2**63 - 1
_FAR = 1e300  # from here on sums and powers have no number
_MOST_NESTED = 64  # a network has 6 levels


@dataclass(frozen=True)
class Number:
    """A finite number in a range; for a whole one no fraction is taken."""

    low: float = -_FAR
    high: float = _FAR
    is_whole: bool = False

    def holds(self, value: Any) -> bool:
        """Whether a value is one."""
        return is_number(value, is_whole=self.is_whole) and self.low <= value <= self.high

    def __str__(self) -> str:
        """For example ``a number from 0 to 1``."""
        kind = "a whole number" if self.is_whole else "a number"
        bounds = [f"from {self.low:g}"] if self.low > -_FAR else []
        bounds += [f"to {self.high:g}"] if self.high < MOST else []
        return " ".join([kind, *bounds])


@dataclass(frozen=True)
class Word:
    """A text that is one of some, or like them: what matches the whole of a pattern."""

    pattern: str

    @classmethod
    def of(cls, literal: object) -> Self:
        """One of the texts of a ``Literal``."""
        return cls("|".join(get_args(literal)))

    def holds(self, value: Any) -> bool:
        """Whether a value is one."""
        return isinstance(value, str) and re.fullmatch(self.pattern, value) is not None

    def __str__(self) -> str:
        """For example ``min|max``."""
        return self.pattern


@dataclass(frozen=True)
class Fields:
    """A document of which a class is made: its fields, of these shapes, and no other key."""

    of: type
    shapes: Mapping[str, Any]


def require_entries(header: Mapping[str, Any], names: Iterable[str], *, place: Path) -> None:
    """Nothing, when a header says all that somebody needs.

    Raises:
        StorageError: An entry is missing.
    """
    if missing := [name for name in names if name not in header]:
        raise StorageError(
            f"the study's header has no entry {', '.join(missing)}",
            place=str(place),
            help=f"it is not whole: {PUT_BACK}",
        )


def document_of(text: str, shape: Any = object, *, place: str = "a document") -> Any:
    """The document of a JSON text, all of whose numbers are finite, in a shape.

    Raises:
        ValueError: It is no JSON, is nested too deep, holds too large a number, or is in another
            shape; the message begins with the place.
    """
    try:
        found = json.loads(text, parse_float=_finite, parse_constant=_finite)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{place} cannot be read: {error}") from error
    if text.count("[") + text.count("{") > _MOST_NESTED and _is_deep(found):
        raise ValueError(f"{place} is nested more than {_MOST_NESTED} deep")
    found = _unkeyed(found) if f'"{NUMBERED}' in text else found
    require(found, shape, place=place)
    return found


def require(value: Any, shape: Any, *, place: str) -> None:
    """Nothing, when a value has a shape.

    A shape is a ``Number``, a ``Word``, a type, ``Fields``; alternatives as a tuple; a list with
    the shape of its entries; or a mapping with that of the entries under each key, of which one
    that ends with a question mark may be missing and ``str`` stands for any text.

    Raises:
        ValueError: It has another one; the message begins with where.
    """
    match shape:
        case Number() | Word():
            is_right = shape.holds(value)
        case type():
            is_right = isinstance(value, shape)
        case tuple():
            _require_one(value, shape, place=place)
            return
        case [inner]:
            is_right = isinstance(value, list | tuple)
            for number, entry in enumerate(value if is_right else ()):
                require(entry, inner, place=f"{place}[{number}]")
        case _:
            is_right = isinstance(value, Mapping)
            if is_right:
                _require_keys(value, shape, place=place)
    if not is_right:
        raise ValueError(f"{place} is {value!r:.60}, and not {_in_words(shape)}")


def _require_one(value: Any, shapes: tuple[Any, ...], *, place: str) -> None:
    faults = []
    for shape in shapes:
        try:
            require(value, shape, place=place)
        except ValueError as error:
            faults.append(error)
        else:
            return
    raise faults[0]


def _require_keys(value: Mapping[Any, Any], shape: Any, *, place: str) -> None:
    if isinstance(shape, Fields):
        known = {field.name for field in fields(shape.of)}
        if value.keys() != known:
            odd = ", ".join(sorted(map(str, value.keys() ^ known)))
            raise ValueError(f"{place} has too many entries or too few: {odd:.60}")
        shape = shape.shapes
    if str in shape:
        for key, entry in value.items():
            if not isinstance(key, str):
                raise ValueError(f"{place} has the key {key!r:.40}, and not a text")
            require(entry, shape[str], place=f"{place}.{key:.40}")
        return
    for key, inner in shape.items():
        name = key.removesuffix("?")
        if name in value:
            require(value[name], inner, place=f"{place}.{name}")
        elif name == key:
            raise ValueError(f"{place} has no entry {name}")


def _is_deep(document: Any) -> bool:
    """Whether something lies deeper in a document than one may be nested."""
    level = [document]
    for _ in range(_MOST_NESTED):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
    return bool(level)


def _unkeyed(value: Any) -> Any:
    if isinstance(value, list):
        return [_unkeyed(entry) for entry in value]
    if not isinstance(value, dict):
        return value
    start = len(NUMBERED)
    return {
        int(key[start:]) if key.startswith(NUMBERED) else key: _unkeyed(entry)
        for key, entry in value.items()
    }


def _in_words(shape: Any) -> str:
    if isinstance(shape, Number | Word):
        return str(shape)
    if isinstance(shape, type):
        return {str: "a text", bool: "true or false"}.get(shape, shape.__name__)
    return "a list" if isinstance(shape, list) else "a document"


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text:.20} is not finite")
    return value
