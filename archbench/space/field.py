"""Is a value of a space file what its key allows: the checks that every section shares."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from archbench.errors import unknown_name
from archbench.space.yaml_document import Node

_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_SAMPLER = re.compile(r"(optuna:|hub:)?[A-Za-z0-9][A-Za-z0-9_./-]{0,127}(:\w{1,64})?")
_AMOUNT = r"(\d{1,9}(?:\.\d{1,9})?)"
_DURATION = re.compile(f"(?:{_AMOUNT}h)?(?:{_AMOUNT}m)?(?:{_AMOUNT}s)?")


def entries(node: Node, *, noun: str, allowed: Iterable[str] | None = None) -> dict[str, Node]:
    """The members of a mapping, by key.

    Args:
        node: What should be a mapping.
        noun: What one key is called in messages.
        allowed: The keys that are known; None where any text may stand.

    Raises:
        SpaceError: It is no mapping, or a key is not known; the nearest are named.
    """
    if node.value is None:
        return {}
    if not isinstance(node.value, Mapping):
        node.fail(f"expected a mapping, got {node.kind}")
    known = None if allowed is None else tuple(allowed)
    found = {}
    for key, member in node.value.items():
        if known is not None and key not in known:
            error = unknown_name(noun, str(key), known, place=str(member.key_place))
            member.fail_at_key(error.message, help=error.help)
        found[str(key)] = member
    return found


def items(node: Node, *, noun: str) -> tuple[Node, ...]:
    """The members of a list.

    Raises:
        SpaceError: It is no list.
    """
    if not isinstance(node.value, tuple):
        node.fail(f"expected a list of {noun}, got {node.kind}")
    return node.value


def whole(node: Node, *, low: int = 1, high: int = 10**9) -> int:
    """A whole number between two bounds, both allowed.

    Raises:
        SpaceError: It is none.
    """
    value = node.value
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        node.fail(f"{shown(node)} is not a whole number from {low:,} to {high:,}")
    return value


def positive(node: Node) -> float:
    """A number above zero.

    Raises:
        SpaceError: It is none.
    """
    value = node.value
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        node.fail(f"{shown(node)} is not a number above 0")
    return value


def share(node: Node) -> float:
    """A number from 0 to 1.

    Raises:
        SpaceError: It is none.
    """
    value = node.value
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        node.fail(f"{shown(node)} is not a share from 0 to 1")
    return float(value)


def flag(node: Node) -> bool:
    """True or false.

    Raises:
        SpaceError: It is neither.
    """
    if not isinstance(node.value, bool):
        node.fail(f"{shown(node)} is neither true nor false")
    return node.value


def text(node: Node) -> str:
    """Any text that is not empty.

    Raises:
        SpaceError: It is none.
    """
    if not isinstance(node.value, str) or not node.value.strip():
        node.fail(f"{shown(node)} is not text")
    return node.value


def word(node: Node) -> str:
    """A name of letters, digits, ``_``, ``-`` and ``.``, of at most 64 characters.

    Raises:
        SpaceError: It is none; so is a name with a path in it.
    """
    if not isinstance(node.value, str) or not _WORD.fullmatch(node.value):
        node.fail(
            f"{shown(node)} is not a name",
            help="use up to 64 letters, digits, _, - and ., and begin with a letter or digit",
        )
    return node.value


def sampler_name(node: Node) -> str:
    """A name as ``word`` takes it, or one with ``optuna:`` or ``hub:`` in front.

    Raises:
        SpaceError: It is none.
    """
    has_prefix = isinstance(node.value, str) and node.value.startswith(("optuna:", "hub:"))
    if has_prefix and _SAMPLER.fullmatch(str(node.value)):
        return str(node.value)
    return word(node)


def one_of(node: Node, allowed: Iterable[str]) -> str:
    """One of some words.

    Raises:
        SpaceError: It is none of them.
    """
    names = tuple(allowed)
    if node.value not in names:
        node.fail(f"{shown(node)} is not one of {', '.join(names)}")
    return str(node.value)


def duration(node: Node) -> float:
    """Seconds, from a number or from text such as ``20m`` and ``1h30m``; the last unit may lack.

    Raises:
        SpaceError: It is no duration above zero.
    """
    if isinstance(node.value, str):
        seconds = parse_duration(node.value) or parse_duration(f"{node.value.strip()}s")
        if seconds is not None:
            return seconds
        node.fail(f"{shown(node)} is not a duration", help="write it like 90s, 20m or 1h30m")
    return positive(node)


def parse_duration(written: str) -> float | None:
    """Seconds of text such as ``90s``, ``20m``, ``1.5h`` and ``1h30m``.

    None where it is something else or no time at all, as ``0s``.

    >>> parse_duration("1h30m")
    5400.0
    """
    match = _DURATION.fullmatch(written.strip().lower())
    if match is None:
        return None
    hours, minutes, seconds = (float(group or 0) for group in match.groups())
    return hours * 3600 + minutes * 60 + seconds or None


def read(
    members: Mapping[str, Node], readers: Mapping[str, Callable[[Node], Any]]
) -> dict[str, Any]:
    """The values of the keys that are written, each through its reader."""
    return {key: readers[key](node) for key, node in members.items()}


def shown(node: Node) -> str:
    """A value as a message shows it."""
    if isinstance(node.value, tuple | Mapping):
        return node.kind
    return repr(node.value) if node.value is not None else "nothing"
