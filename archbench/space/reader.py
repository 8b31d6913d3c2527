"""What may the value of a key be: what reads it, and the JSON schema of what it takes?"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from archbench.bounds import BOUNDS, is_finite, is_number
from archbench.yaml_document import Node

PRECISIONS = ("fp32", "bf16", "fp16", "int8")
MOST_CONFIRMATION = 10.0
"""Times the search's own cost that a confirmation may be given at most."""

_DEVICE = re.compile(r"cpu|cuda(:\d{1,3})?|(?!cpu|cuda)[a-z][a-z0-9_-]{0,31}")
_FROM_OUTSIDE = re.compile(
    r"(optuna:|hub:|module:|object:)[A-Za-z0-9_][A-Za-z0-9_./-]{0,127}(:[\w.]{1,64})?"
)
_AMOUNT = r"(\d{1,9}(?:\.\d{1,9})?)"
_DURATION = re.compile(f"(?:{_AMOUNT}h)?(?:{_AMOUNT}m)?(?:{_AMOUNT}s)?")


def _same(value: Any) -> Any:
    return value


@dataclass(frozen=True)
class Reader:
    """What reads the value of a key, the JSON schema of what it takes, and how a file has it."""

    read: Callable[[Node], Any]
    schema: Mapping[str, Any]
    written: Callable[[Any], Any] = _same

    def __call__(self, node: Node) -> Any:
        """The value.

        Raises:
            SpaceError: It is not allowed.
        """
        return self.read(node)


def _reader(
    allows: Callable[[Any], bool],
    refusal: str,
    *,
    schema: Mapping[str, Any],
    help: str | None = None,
    form: Callable[[Any], Any] = _same,
    written: Callable[[Any], Any] = _same,
) -> Reader:
    """What reads a value that a check allows, and refuses any other in these words."""

    def read(node: Node) -> Any:
        if not allows(node.value):
            node.fail(f"{node.shown} {refusal}", help=help)
        return form(node.value)

    return Reader(read, schema, written)


def or_nothing(reader: Reader) -> Reader:
    """What reads ``null`` as that nothing is said."""

    def read(node: Node) -> Any:
        return None if node.value is None else reader(node)

    return Reader(read, {"anyOf": [reader.schema, {"type": "null"}]})


def is_countable(value: Any) -> bool:
    """Whether a value is a finite number."""
    return is_number(value) and is_finite(value)


def whole(name: str, *, least: int | None = None) -> Reader:
    """What reads a whole number within the bounds of what it counts."""
    low, high = BOUNDS[name]
    low = low if least is None else least
    return _reader(
        lambda value: is_countable(value) and value % 1 == 0 and low <= value <= high,
        f"is not a whole number from {low:,} to {high:,}",
        schema={"type": "integer", "minimum": low, "maximum": high},
        form=int,
    )


def one_of(*words: str) -> Reader:
    """What reads one of some words."""
    refusal = f"is not one of {', '.join(words)}"
    return _reader(words.__contains__, refusal, schema={"enum": list(words)})


device = _reader(
    lambda value: isinstance(value, str) and _DEVICE.fullmatch(value) is not None,
    "is not cpu, cuda, cuda:N or the name of another device",
    schema={"type": "string", "pattern": f"^({_DEVICE.pattern})$"},
)
positive = _reader(
    lambda value: is_countable(value) and value > 0,
    "is not a number above 0",
    schema={"type": "number", "exclusiveMinimum": 0},
)
share = _reader(
    lambda value: is_countable(value) and 0 <= value <= 1,
    "is not a share from 0 to 1",
    schema={"type": "number", "minimum": 0, "maximum": 1},
    form=float,
)
balance = _reader(
    lambda value: value == "auto" or isinstance(value, bool),
    "is none of auto, true and false",
    schema={"enum": ["auto", True, False]},
    form=lambda value: None if value == "auto" else value,
    written=lambda value: "auto" if value is None else value,
)
confirm = _reader(
    lambda value: (
        isinstance(value, bool) or (is_countable(value) and 0 <= value <= MOST_CONFIRMATION)
    ),
    f"is neither true, false nor a number from 0 to {MOST_CONFIRMATION:g}",
    schema={"type": ["boolean", "number"], "minimum": 0, "maximum": MOST_CONFIRMATION},
    help="0.2 spends up to a fifth of the search's time on further training",
    form=lambda value: value if isinstance(value, bool) else float(value),
)


def _read_entry(node: Node) -> str:
    """The name of an entry of ours or from outside."""
    is_outside = isinstance(node.value, str) and _FROM_OUTSIDE.fullmatch(node.value)
    return str(node.value) if is_outside else node.word()


def _read_duration(node: Node) -> Any:
    if not isinstance(node.value, str):
        return positive(node)
    seconds = parse_duration(node.value) or parse_duration(f"{node.value.strip()}s")
    if seconds is None:
        node.fail(f"{node.shown} is not a duration", help="write it like 90s, 20m or 1h30m")
    return seconds


def _read_precision(node: Node) -> str | tuple[str, ...]:
    """A precision, or two that every design has: one of floats, which comes first, and int8."""
    if not isinstance(node.value, tuple):
        return str(one_of(*PRECISIONS)(node))
    found = tuple(map(one_of(*PRECISIONS), node.value))
    if len(found) == 1:
        return str(found[0])
    if len(found) != 2 or len(set(found)) != 2 or "int8" not in found:
        node.fail(
            "a list of precisions is one of floats and int8", help="write it like [fp32, int8]"
        )
    return tuple(sorted(found, key="int8".__eq__))


def _read_batch(node: Node) -> int | tuple[int, ...]:
    """A batch, or several that every network is timed at."""
    if not isinstance(node.value, tuple):
        return int(_BATCH(node))
    found = tuple(map(_BATCH, node.value))
    if not found or len(set(found)) < len(found):
        node.fail("a list of batches has each once", help="write it like [1, 8, 32]")
    return found[0] if len(found) == 1 else found


def _read_rungs(node: Node) -> tuple[int, ...]:
    rungs = tuple(map(_EPOCHS, node.items(noun="epochs")))
    if not rungs or any(later <= earlier for earlier, later in pairwise(rungs)):
        node.fail("rungs are epochs trained in all, so they rise", help="write them like [3, 4, 8]")
    return rungs


_TEXT = {"type": "string", "minLength": 1}
_EPOCHS = whole("epochs")
text = Reader(Node.text, _TEXT)
entry = Reader(_read_entry, _TEXT)
duration = Reader(_read_duration, {"anyOf": [_TEXT, positive.schema]})
_ONE = {"enum": list(PRECISIONS)}
precision = Reader(_read_precision, {"anyOf": [_ONE, {"type": "array", "items": _ONE}]})
_BATCH = whole("batch")
_BATCHES = {"type": "array", "items": _BATCH.schema, "minItems": 1}
batch = Reader(_read_batch, {"anyOf": [_BATCH.schema, _BATCHES]})
rungs = Reader(_read_rungs, {"type": "array", "items": _EPOCHS.schema, "minItems": 1})


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
