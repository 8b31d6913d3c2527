"""What does a requirement say: a small language of comparisons over a candidate.

    comparison:  stages[0].dim <= stages[1].dim < 512      == != < <= > >= , chained
    logic:       A and B, A or B, not A, ( )
    arithmetic:  + - * / // %  and  sum() max() min()  over numbers and paths
    values:      numbers, "text", bare words, true, false, paths, and macs, params, activations

A field that the candidate does not have (its part has none of the name, its layer lies beyond the
depth) equals nothing: every comparison with it is false but ``!=``. So does a division by zero.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal, NoReturn, Protocol

from archbench.errors import ArchbenchError, SpaceError
from archbench.models.path import NETWORK_FIELDS, Path, parse_path
from archbench.space.yaml_document import is_number
from archbench.study.objective import costs

MAX_NESTING = 16


class Scope(Protocol):
    """What an expression may ask of a candidate."""

    def values(self, path: Path) -> Sequence[Any]:
        """The values at the places that a path selects; empty where there is none."""

    def quantity(self, name: str) -> int:
        """The candidate's ``macs``, ``params`` or ``activations``."""


@dataclass(frozen=True)
class Expression:
    """A condition that holds of a candidate or does not.

    Attributes:
        text: As written.
        paths: Every path that it reads.
        quantities: Every quantity that it reads.
    """

    text: str
    paths: tuple[Path, ...]
    quantities: tuple[str, ...]
    _evaluate: Callable[[Scope], bool]

    def holds(self, scope: Scope) -> bool:
        """Whether it is true of a candidate.

        Raises:
            SpaceError: It compares or reckons with values of which that cannot be done.
        """
        return self._evaluate(scope)


def parse_expression(text: str) -> Expression:
    """The condition that a text states.

    Raises:
        SpaceError: It is none, with the column at which it stops being one.
    """
    parser = _Parser(text)
    evaluate = parser.whole()
    return Expression(text, tuple(parser.paths), tuple(parser.quantities), evaluate)


_TOKEN = re.compile(
    r"\s*(?:"
    r"(?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?)(?![\w.])"
    r"|(?P<path>[A-Za-z_]\w*(?:\[\s*\w+\s*\])?(?:\.[A-Za-z_]\w*(?:\[\s*\w+\s*\])?)*)"
    r"|(?P<text>\"[^\"]*\"|'[^']*')"
    r"|(?P<sign><=|>=|==|!=|//|[-+*/%<>(),])"
    r")"
)
_WORDS: dict[str, Any] = {"true": True, "false": False, "null": None}
_HINTS = {"=": "compare with ==", "&": "write and", "|": "write or", "!": "write not or !="}
_RESERVED = ("and", "or", "not")
_ABSENT = object()
"""The value of a field that is not there."""

_COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
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
_LEVELS = (("+", "-"), ("*", "/", "//", "%"))
_FUNCTIONS: dict[str, Callable[[list[Any]], Any]] = {"sum": sum, "max": max, "min": min}

_Values = Callable[[Scope], Sequence[Any]]


@dataclass(frozen=True)
class _Term:
    """A part of an expression, of type ``value`` where only the candidate tells what it is."""

    evaluate: Callable[[Scope], Any]
    type: Literal["condition", "number", "text", "value"]
    text: str
    column: int


class _Parser:
    """Recursive descent over tokens; the nesting is bounded, so Python's stack is, too."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.paths: list[Path] = []
        self.quantities: list[str] = []
        self._tokens = list(self._scan())
        self._next = 0
        self._nesting = 0

    def whole(self) -> Callable[[Scope], bool]:
        """The condition, with nothing behind it."""
        term = self._or()
        if self._peek()[0] != "end":
            self._unexpected("a comparison, and, or, or the end")
        return self._condition(term)

    def _or(self) -> _Term:
        return self._joined("or", self._and, any)

    def _and(self) -> _Term:
        return self._joined("and", self._not, all)

    def _joined(
        self, word: str, operand: Callable[[], _Term], join: Callable[[Any], bool]
    ) -> _Term:
        terms = [operand()]
        while self._take(word):
            terms.append(operand())
        if len(terms) == 1:
            return terms[0]
        parts = [self._condition(term) for term in terms]
        column = terms[0].column
        return _Term(lambda scope: join(p(scope) for p in parts), "condition", self.text, column)

    def _not(self) -> _Term:
        column = self._peek()[2]
        negations = 0
        while self._take("not"):
            negations += 1
        term = self._comparison()
        if not negations:
            return term
        inner = self._condition(term)
        flips = negations % 2 == 1
        return _Term(lambda scope: inner(scope) is not flips, "condition", term.text, column)

    def _comparison(self) -> _Term:
        terms = [self._sum()]
        signs = []
        while (sign := self._take(*_COMPARISONS)) is not None:
            signs.append(sign)
            terms.append(self._sum())
        if not signs:
            return terms[0]
        for sign, left, right in zip(signs, terms, terms[1:], strict=False):
            self._check_comparison(sign, left, right)

        def evaluate(scope: Scope) -> bool:
            left = terms[0].evaluate(scope)
            for sign, term in zip(signs, terms[1:], strict=True):
                right = term.evaluate(scope)
                if not _compared(sign, left, right):
                    return False
                left = right
            return True

        return _Term(evaluate, "condition", self.text, terms[0].column)

    def _sum(self, *, level: int = 0) -> _Term:
        if level == len(_LEVELS):
            return self._signed()
        term = self._sum(level=level + 1)
        while (sign := self._take(*_LEVELS[level])) is not None:
            left, right = term, self._sum(level=level + 1)
            self._number(left)
            self._number(right)
            term = _Term(_reckoned(sign, left, right), "number", f"... {sign} ...", left.column)
        return term

    def _signed(self) -> _Term:
        column = self._peek()[2]
        signs = []
        while (sign := self._take("-", "+")) is not None:
            signs.append(sign)
        term = self._atom()
        if not signs:
            return term
        self._number(term)
        zero = _Term(lambda scope: 0, "number", "0", column)
        sign = "-" if signs.count("-") % 2 else "+"
        return _Term(_reckoned(sign, zero, term), "number", term.text, column)

    def _atom(self) -> _Term:
        kind, text, column = self._peek()
        if kind == "sign" and text == "(":
            self._enter()
            self._next += 1
            term = self._or()
            self._close()
            return term
        if kind in ("sign", "end") or text in _RESERVED:
            self._unexpected("a value")
        self._next += 1
        if kind == "number":
            number = float(text) if set(text) & set(".eE") else int(text)
            return _Term(lambda scope: number, "number", text, column)
        if kind == "text":
            return _Term(lambda scope: text[1:-1], "text", text, column)
        if text in _FUNCTIONS and self._take("("):
            return self._function(text, column)
        return self._name(text, column)

    def _function(self, name: str, column: int) -> _Term:
        self._enter()
        arguments = [self._argument()]
        while self._take(","):
            arguments.append(self._argument())
        self._close()

        def evaluate(scope: Scope) -> Any:
            values = [value for argument in arguments for value in argument(scope)]
            if any(value is _ABSENT for value in values) or (not values and name != "sum"):
                return _ABSENT
            return _FUNCTIONS[name]([_as_number(value, name) for value in values])

        return _Term(evaluate, "number", f"{name}(...)", column)

    def _argument(self) -> _Values:
        kind, text, column = self._peek()
        if kind == "path" and _is_wild(text):
            self._next += 1
            return self._read(text, column)
        term = self._number(self._sum())
        return lambda scope: [term.evaluate(scope)]

    def _name(self, text: str, column: int) -> _Term:
        if text in costs("arithmetic"):
            self.quantities.append(text)
            return _Term(lambda scope: scope.quantity(text), "number", text, column)
        if text in _WORDS:
            return _Term(lambda scope: _WORDS[text], "value", text, column)
        if not ("." in text or "[" in text or text in NETWORK_FIELDS):
            return _Term(lambda scope: text, "text", text, column)
        if _is_wild(text):
            help_ = "take its sum(), max() or min()"
            self._fail(f"{text} is more than one value", column, help=help_)
        read = self._read(text, column)
        return _Term(lambda scope: next(iter(read(scope)), _ABSENT), "value", text, column)

    def _read(self, text: str, column: int) -> _Values:
        try:
            path = parse_path(text)
        except ArchbenchError as error:
            self._fail(error.message, column, help=error.help)
        self.paths.append(path)
        return lambda scope: scope.values(path)

    def _condition(self, term: _Term) -> Callable[[Scope], bool]:
        if term.type not in ("condition", "value"):
            self._fail(f"{term.text} is no condition", term.column, help="compare it")

        def evaluate(scope: Scope) -> bool:
            value = term.evaluate(scope)
            if value is _ABSENT:
                return False
            if not isinstance(value, bool):
                raise SpaceError(f"{term.text} is {value!r}, not true or false")
            return value

        return evaluate

    def _number(self, term: _Term) -> _Term:
        if term.type not in ("number", "value"):
            near = get_close_matches(term.text, costs("arithmetic"), n=1)
            help_ = f"did you mean {near[0]}?" if near else None
            self._fail(f"{term.text} is no number", term.column, help=help_)
        return term

    def _check_comparison(self, sign: str, left: _Term, right: _Term) -> None:
        for term in (left, right):
            if term.type == "condition":
                self._fail("a comparison cannot be compared", term.column, help="use and, or, ()")
        if sign not in ("==", "!=") or {left.type, right.type} == {"number", "text"}:
            self._number(left)
            self._number(right)

    def _enter(self) -> None:
        self._nesting += 1
        if self._nesting > MAX_NESTING:
            self._fail(f"is nested deeper than {MAX_NESTING} levels", self._peek()[2])

    def _close(self) -> None:
        self._nesting -= 1
        if not self._take(")"):
            self._unexpected("')'")

    def _peek(self) -> tuple[str, str, int]:
        return self._tokens[self._next]

    def _take(self, *texts: str) -> str | None:
        kind, text, _ = self._peek()
        if kind == "text" or text not in texts:
            return None
        self._next += 1
        return text

    def _scan(self) -> list[tuple[str, str, int]]:
        tokens = []
        place = 0
        end = len(self.text.rstrip())
        while place < end:
            match = _TOKEN.match(self.text, place)
            if match is None or match.lastgroup is None:
                rest = self.text[place:].lstrip()
                column = len(self.text) - len(rest) + 1
                self._fail(f"{rest[:1]!r} means nothing here", column, help=_HINTS.get(rest[:1]))
            start = match.start(match.lastgroup)
            tokens.append((match.lastgroup, match.group(match.lastgroup), start + 1))
            place = match.end()
        return [*tokens, ("end", "", len(self.text) + 1)]

    def _unexpected(self, expected: str) -> NoReturn:
        kind, text, column = self._peek()
        got = "the end" if kind == "end" else repr(text)
        self._fail(f"expected {expected}, got {got}", column)

    def _fail(self, message: str, column: int, *, help: str | None = None) -> NoReturn:
        raise SpaceError(f"{self.text!r}, column {column}: {message}", help=help)


def _compared(sign: str, left: Any, right: Any) -> bool:
    if left is _ABSENT or right is _ABSENT:
        return sign == "!="
    if sign in ("==", "!="):
        # In Python True equals 1; in a space file a flag is no number.
        same = isinstance(left, bool) == isinstance(right, bool) and left == right
        return same == (sign == "==")
    return bool(_COMPARISONS[sign](_as_number(left, sign), _as_number(right, sign)))


def _reckoned(sign: str, left: _Term, right: _Term) -> Callable[[Scope], Any]:
    """Two terms joined by an arithmetic sign; a division by zero is absent."""

    def evaluate(scope: Scope) -> Any:
        a, b = left.evaluate(scope), right.evaluate(scope)
        if a is _ABSENT or b is _ABSENT:
            return _ABSENT
        try:
            return _ARITHMETIC[sign](_as_number(a, sign), _as_number(b, sign))
        except ZeroDivisionError:
            return _ABSENT
        except OverflowError:
            raise SpaceError(f"{a} {sign} {b} is too large") from None

    return evaluate


def _as_number(value: Any, sign: str) -> Any:
    if not is_number(value):
        raise SpaceError(f"{value!r} is no number, as {sign} needs")
    return value


def _is_wild(text: str) -> bool:
    return re.search(r"\[\s*(each|all)\s*\]", text) is not None
