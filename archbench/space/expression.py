"""What does a requirement say: a small language of comparisons over a candidate.

    comparison:  stages[0].dim <= stages[1].dim < 512      == != < <= > >= , chained
    logic:       A and B, A or B, not A, ( )
    arithmetic:  + - * / // %  and  sum() max() min()  over numbers and paths
    values:      numbers, "text", bare words, true, false, paths, and macs, params, activations

A field that the candidate does not have (its part has none of the name, its layer lies beyond the
depth) equals nothing: every comparison with it is false but ``!=``. So does a division by zero.
"""

import math
import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from typing import Any, Literal, NoReturn, Protocol

from archbench.bounds import is_number
from archbench.errors import ArchbenchError, SpaceError
from archbench.models.path import NETWORK_FIELDS, Path, parse_path
from archbench.study.objective import costs
from archbench.yaml_document import Place

MAX_NESTING = 16


class Scope(Protocol):
    """What an expression may ask of a candidate."""

    def values(self, path: Path) -> Sequence[Any]:
        """The values at the places that a path selects; empty where there is none."""

    def quantity(self, name: str) -> int:
        """The candidate's ``macs``, ``params`` or ``activations``."""


class InfeasibleError(SpaceError):
    """Choices that a requirement as written, or an illegal place, excludes: no candidate."""

    def __init__(self, message: str, *, requirement: str = "", **where: str | None) -> None:
        super().__init__(message, **where)
        self.requirement = requirement

    def __reduce__(self) -> tuple[object, ...]:
        made = partial(InfeasibleError, place=self.place, help=self.help)
        return partial(made, requirement=self.requirement), (self.message,)


@dataclass(frozen=True)
class Expression:
    """A condition that holds of a candidate or does not, and all that it reads."""

    text: str
    paths: tuple[Path, ...]
    quantities: tuple[str, ...]
    place: Place
    _evaluate: Callable[[Scope], bool]

    def holds(self, scope: Scope) -> bool:
        """Whether it is true of a candidate.

        Raises:
            InfeasibleError: It asks for quantities of an illegal network.
            SpaceError: It compares or computes with values of which that cannot be done.
        """
        try:
            return self._evaluate(scope)
        except InfeasibleError:
            raise
        except SpaceError as error:
            raise self.place.moved(error) from None


def parse_expression(text: str, *, place: Place) -> Expression:
    """The condition that a text states.

    Raises:
        SpaceError: It is none, with the column at which it stops being one.
    """
    parser = _Parser(text, place)
    evaluate = parser.whole()
    return Expression(text, tuple(parser.paths), tuple(parser.quantities), place, evaluate)


_TOKEN = re.compile(
    r"\s*(?:"
    r"(?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?)(?![\w.])"
    r"|(?P<path>[A-Za-z_]\w*(?:\[\s*\w+\s*\])?(?:\.[A-Za-z_]\w*(?:\[\s*\w+\s*\])?)*)"
    r"|(?P<text>\"[^\"]*\"|'[^']*')"
    r"|(?P<sign><=|>=|==|!=|//|[-+*/%<>(),])"
    r")"
)
_WORDS: dict[str, Any] = {"true": True, "false": False, "null": None}
_SCALED = re.compile(r"(\d+(?:\.\d+)?)([kKmMgG])\b")
_SCALES = {"k": 3, "m": 6, "g": 9}
_HINTS = {"=": "compare with ==", "&": "write and", "|": "write or", "!": "write not or !="}
_RESERVED = ("and", "or", "not")
_ABSENT = math.nan  # of a field that is not there: equal to nothing, as is all that it enters

_NOT, _COMPARING, _PLUS, _TIMES = 3, 4, 5, 6
_SIGNS: dict[str, tuple[int, Callable[[Any, Any], Any]]] = {
    "<=": (_COMPARING, operator.le),
    "<": (_COMPARING, operator.lt),
    "==": (_COMPARING, operator.eq),
    "!=": (_COMPARING, operator.ne),
    ">=": (_COMPARING, operator.ge),
    ">": (_COMPARING, operator.gt),
    "+": (_PLUS, operator.add),
    "-": (_PLUS, operator.sub),
    "*": (_TIMES, operator.mul),
    "/": (_TIMES, operator.truediv),
    "//": (_TIMES, operator.floordiv),
    "%": (_TIMES, operator.mod),
}
_POWERS = {"or": 1, "and": 2, **{sign: power for sign, (power, _) in _SIGNS.items()}}
"""How tightly what stands between two terms binds them."""
_FUNCTIONS: dict[str, Callable[[list[Any]], Any]] = {
    "sum": sum,
    "max": partial(max, default=_ABSENT),
    "min": partial(min, default=_ABSENT),
}


@dataclass(frozen=True)
class _Term:
    """A part of an expression, of type ``value`` where only the candidate tells what it is."""

    evaluate: Callable[[Scope], Any]
    type: Literal["condition", "number", "text", "value"]
    text: str
    column: int


class _Parser:
    """Precedence climbing over tokens; the nesting is bounded, so Python's stack is, too."""

    def __init__(self, text: str, place: Place) -> None:
        self.text, self.place = text, place
        self.paths: list[Path] = []
        self.quantities: list[str] = []
        self._tokens = list(self._scan())
        self._next = 0
        self._nesting = 0

    def whole(self) -> Callable[[Scope], bool]:
        """The condition, with nothing behind it."""
        term = self._expression()
        if self._peek()[0] != "end":
            self._unexpected("a comparison, and, or, or the end")
        return self._condition(term)

    def _expression(self, power: int = 0) -> _Term:
        """What stands here, up to the first sign that binds no tighter than ``power``."""
        left = self._prefixed(power)
        while (binding := _POWERS.get(self._peek()[1], 0)) > power:
            if binding == _COMPARING:
                left = self._comparison(left)
                continue
            sign = self._taken()
            right = self._expression(binding)
            if sign in ("and", "or"):
                left = _Term(self._either(sign, left, right), "condition", self.text, left.column)
            else:
                left = self._arithmetic(sign, left, right, text=f"... {sign} ...")
        return left

    def _prefixed(self, power: int) -> _Term:
        kind, text, column = self._peek()
        if text == "not" and power < _NOT:
            self._taken()
            term = self._expression(_NOT - 1)
            holds = self._condition(term)
            return _Term(lambda scope: not holds(scope), "condition", term.text, column)
        if text in ("-", "+"):
            self._taken()
            term = self._expression(_TIMES)
            zero = _Term(lambda scope: 0, "number", "0", column)
            return self._arithmetic(text, zero, term, text=term.text)
        if text == "(":
            self._enter()
            term = self._expression()
            self._close()
            return term
        if kind in ("sign", "end") or text in _RESERVED:
            self._unexpected("a value")
        self._taken()
        if kind == "number":
            number = float(text) if set(text) & set(".eE") else int(text)
            return _Term(lambda scope: number, "number", text, column)
        if kind == "text":
            return _Term(lambda scope: text[1:-1], "text", text, column)
        if text in _FUNCTIONS and self._peek()[1] == "(":
            return self._function(text, column)
        return self._name(text, column)

    def _either(self, word: str, left: _Term, right: _Term) -> Callable[[Scope], bool]:
        first, second = self._condition(left), self._condition(right)
        if word == "and":
            return lambda scope: first(scope) and second(scope)
        return lambda scope: first(scope) or second(scope)

    def _comparison(self, first: _Term) -> _Term:
        terms, signs = [first], []
        while _POWERS.get(self._peek()[1]) == _COMPARING:
            signs.append(self._taken())
            terms.append(self._expression(_COMPARING))
        for term in terms:
            if term.type == "condition":
                self._fail("a comparison cannot be compared", term.column, help="use and, or, ()")
        for sign, left, right in zip(signs, terms, terms[1:], strict=False):
            if sign not in ("==", "!=") or {left.type, right.type} == {"number", "text"}:
                self._number(left)
                self._number(right)

        def evaluate(scope: Scope) -> bool:
            left = first.evaluate(scope)
            for sign, term in zip(signs, terms[1:], strict=True):
                right = term.evaluate(scope)
                if not _compared(sign, left, right):
                    return False
                left = right
            return True

        return _Term(evaluate, "condition", self.text, first.column)

    def _arithmetic(self, sign: str, left: _Term, right: _Term, *, text: str) -> _Term:
        """Two terms joined by an arithmetic sign; a division by zero is absent."""
        self._number(left)
        self._number(right)

        def evaluate(scope: Scope) -> Any:
            a, b = (_as_number(term.evaluate(scope), sign) for term in (left, right))
            try:
                return _SIGNS[sign][1](a, b)
            except ZeroDivisionError:
                return _ABSENT
            except OverflowError:
                raise SpaceError(f"{a} {sign} {b} is too large") from None

        return _Term(evaluate, "number", text, left.column)

    def _function(self, name: str, column: int) -> _Term:
        self._enter()
        arguments = [self._argument()]
        while self._peek()[1] == ",":
            self._taken()
            arguments.append(self._argument())
        self._close()

        def evaluate(scope: Scope) -> Any:
            given = [value for argument in arguments for value in argument(scope)]
            values = [_as_number(value, name) for value in given]
            return _FUNCTIONS[name](values) if all(v == v for v in values) else _ABSENT

        return _Term(evaluate, "number", f"{name}(...)", column)

    def _argument(self) -> Callable[[Scope], Sequence[Any]]:
        _, text, column = self._peek()
        if _is_wild(text):
            self._taken()
            return self._read(text, column)
        term = self._number(self._expression(_COMPARING))
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

    def _read(self, text: str, column: int) -> Callable[[Scope], Sequence[Any]]:
        try:
            path = parse_path(text)
        except ArchbenchError as error:
            self._fail(error.message, column, help=error.help)
        self.paths.append(path)
        return lambda scope: scope.values(path)

    def _condition(self, term: _Term) -> Callable[[Scope], bool]:
        if term.type not in ("condition", "value"):
            self._fail(f"{term.text} is not a condition", term.column, help="compare it")

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
            self._fail(f"{term.text} is not a number", term.column, help=help_)
        return term

    def _enter(self) -> None:
        """Takes an opening bracket."""
        self._taken()
        self._nesting += 1
        if self._nesting > MAX_NESTING:
            self._fail(f"is nested deeper than {MAX_NESTING} levels", self._peek()[2])

    def _close(self) -> None:
        self._nesting -= 1
        if self._peek()[1] != ")":
            self._unexpected("')'")
        self._taken()

    def _peek(self) -> tuple[str, str, int]:
        """Kind, text and column of the next token."""
        return self._tokens[self._next]

    def _taken(self) -> str:
        text = self._peek()[1]
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
                if scaled := _SCALED.match(rest):
                    number, power = scaled[1], _SCALES[scaled[2].lower()]
                    self._fail(f"{scaled[0]} is not a number", column, help=f"{number}e{power} is")
                self._fail(f"{rest[:1]!r} means nothing here", column, help=_HINTS.get(rest[:1]))
            start = match.start(match.lastgroup)
            tokens.append((match.lastgroup, match.group(match.lastgroup), start + 1))
            place = match.end()
        return [*tokens, ("end", "", len(self.text) + 1)]

    def _unexpected(self, expected: str) -> NoReturn:
        _, text, column = self._peek()
        self._fail(f"expected {expected}, got {repr(text) if text else 'the end'}", column)

    def _fail(self, message: str, column: int, *, help: str | None = None) -> NoReturn:
        message = f"{self.text!r}, column {column}: {message}"
        raise SpaceError(message, place=str(self.place), help=help)


def _compared(sign: str, left: Any, right: Any) -> bool:
    if sign in ("==", "!="):
        # In Python True equals 1; in a space file a flag is no number.
        same = isinstance(left, bool) == isinstance(right, bool) and left == right
        return same == (sign == "==")
    return bool(_SIGNS[sign][1](_as_number(left, sign), _as_number(right, sign)))


def _as_number(value: Any, sign: str) -> Any:
    if not is_number(value):
        raise SpaceError(f"{value!r} is not a number, as {sign} needs")
    return value


def _is_wild(text: str) -> bool:
    return re.search(r"\[\s*(each|all)\s*\]", text) is not None
