"""What do the parts of an expression come to, given a candidate?"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from archbench.errors import SpaceError
from archbench.models.path import Path


class Scope(Protocol):
    """What an expression may ask of a candidate."""

    def values(self, path: Path) -> Sequence[Any]:
        """The values at the places that a path selects; empty where there is none."""

    def quantity(self, name: str) -> int:
        """The candidate's ``macs``, ``params`` or ``activations``."""


Evaluate = Callable[[Scope], Any]


class Absent:
    """The value of a field that is not there."""

    def __repr__(self) -> str:
        return "nothing"


ABSENT = Absent()

COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "<=": operator.le,
    "<": operator.lt,
    "==": operator.eq,
    "!=": operator.ne,
    ">=": operator.ge,
    ">": operator.gt,
}
_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
}
FUNCTIONS: dict[str, Callable[[list[Any]], Any]] = {"sum": sum, "max": max, "min": min}


@dataclass(frozen=True)
class Term:
    """A part of an expression.

    Attributes:
        evaluate: Its value, given a candidate.
        type: What it gives; ``value`` where only the candidate tells.
        text: How messages name it.
        column: Where it begins, from 1.
    """

    evaluate: Evaluate
    type: Literal["condition", "number", "text", "value"]
    text: str
    column: int


@dataclass(frozen=True)
class Read:
    """Reads a path of a candidate."""

    path: Path

    def values(self, scope: Scope) -> Sequence[Any]:
        """All that it selects."""
        return scope.values(self.path)

    def value(self, scope: Scope) -> Any:
        """The only one, or ``ABSENT``."""
        found = scope.values(self.path)
        return found[0] if found else ABSENT


def one(term: Term) -> Callable[[Scope], Sequence[Any]]:
    """A term as a list of one value, for functions over several."""
    return lambda scope: [term.evaluate(scope)]


def gathered(name: str, arguments: Sequence[Callable[[Scope], Sequence[Any]]]) -> Evaluate:
    """Sum, maximum or minimum of everything that the arguments give."""

    def evaluate(scope: Scope) -> Any:
        values = [value for argument in arguments for value in argument(scope)]
        if any(value is ABSENT for value in values) or (not values and name != "sum"):
            return ABSENT
        return FUNCTIONS[name]([_as_number(value, name) for value in values])

    return evaluate


def flag(term: Term) -> Callable[[Scope], bool]:
    """A term as a condition; absent is false."""

    def evaluate(scope: Scope) -> bool:
        value = term.evaluate(scope)
        if value is ABSENT:
            return False
        if not isinstance(value, bool):
            raise SpaceError(f"{term.text} is {value!r}, not true or false")
        return value

    return evaluate


def chain(signs: list[str], terms: list[Term]) -> Evaluate:
    """Comparisons one after the other, up to the first that is false."""
    steps = [(sign, COMPARISONS[sign]) for sign in signs]
    evaluations = [term.evaluate for term in terms]

    def evaluate(scope: Scope) -> bool:
        left = evaluations[0](scope)
        for (sign, compare), evaluation in zip(steps, evaluations[1:], strict=True):
            right = evaluation(scope)
            if not _compared(sign, compare, left, right):
                return False
            left = right
        return True

    return evaluate


def _compared(sign: str, compare: Callable[[Any, Any], Any], left: Any, right: Any) -> bool:
    if left is ABSENT or right is ABSENT:
        return sign == "!="
    if sign in ("==", "!="):
        # In Python True equals 1; in a space file a flag is no number.
        same = isinstance(left, bool) == isinstance(right, bool) and left == right
        return same == (sign == "==")
    return bool(compare(_as_number(left, sign), _as_number(right, sign)))


def reckoned(sign: str, left: Term, right: Term) -> Evaluate:
    """Two terms joined by an arithmetic sign; a division by zero is absent."""
    compute = _ARITHMETIC[sign]

    def evaluate(scope: Scope) -> Any:
        a, b = left.evaluate(scope), right.evaluate(scope)
        if a is ABSENT or b is ABSENT:
            return ABSENT
        try:
            return compute(_as_number(a, sign), _as_number(b, sign))
        except ZeroDivisionError:
            return ABSENT
        except OverflowError:
            raise SpaceError(f"{a} {sign} {b} is too large") from None

    return evaluate


def _as_number(value: Any, sign: str) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise SpaceError(f"{value!r} is no number, as {sign} needs")
    return value
