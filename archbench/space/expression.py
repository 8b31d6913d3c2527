"""What does a requirement say: a small language of comparisons over a candidate.

    comparison:  stages[0].dim <= stages[1].dim < 512      == != < <= > >= , chained
    logic:       A and B, A or B, not A, ( )
    arithmetic:  + - * / // %  and  sum() max() min()  over numbers and paths
    values:      numbers, "text", bare words, true, false, paths, and macs, params, activations

A field that the candidate does not have (its part has none of the name, its layer lies beyond the
depth) equals nothing: every comparison with it is false but ``!=``. So does a division by zero.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, NoReturn

from archbench.errors import ArchbenchError, SpaceError
from archbench.models.path import NETWORK_FIELDS, Path, parse_path
from archbench.space.term import (
    COMPARISONS,
    FUNCTIONS,
    Read,
    Scope,
    Term,
    chain,
    flag,
    gathered,
    one,
    reckoned,
)
from archbench.study.objective import costs

MAX_NESTING = 16


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
_RESERVED = ("and", "or", "not")


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
        if self._peek() is not None:
            self._unexpected("a comparison, and, or, or the end")
        return self._condition(term)

    def _or(self) -> Term:
        terms = [self._and()]
        while self._take("or"):
            terms.append(self._and())
        return self._logic(terms, any)

    def _and(self) -> Term:
        terms = [self._not()]
        while self._take("and"):
            terms.append(self._not())
        return self._logic(terms, all)

    def _not(self) -> Term:
        column = self._column()
        negations = 0
        while self._take("not"):
            negations += 1
        term = self._comparison()
        if not negations:
            return term
        inner = self._condition(term)
        flips = negations % 2 == 1
        return Term(lambda scope: inner(scope) is not flips, "condition", term.text, column)

    def _comparison(self) -> Term:
        terms = [self._sum()]
        signs = []
        while (sign := self._take(*COMPARISONS)) is not None:
            signs.append(sign)
            terms.append(self._sum())
        if not signs:
            return terms[0]
        for sign, left, right in zip(signs, terms, terms[1:], strict=False):
            self._check_comparison(sign, left, right)
        return Term(chain(signs, terms), "condition", self.text, terms[0].column)

    def _sum(self) -> Term:
        return self._left_to_right(self._product, ("+", "-"))

    def _product(self) -> Term:
        return self._left_to_right(self._signed, ("*", "/", "//", "%"))

    def _left_to_right(self, operand: Callable[[], Term], signs: tuple[str, ...]) -> Term:
        term = operand()
        while (sign := self._take(*signs)) is not None:
            right = operand()
            self._number(term)
            self._number(right)
            column = term.column
            term = Term(reckoned(sign, term, right), "number", f"... {sign} ...", column)
        return term

    def _signed(self) -> Term:
        column = self._column()
        signs = []
        while (sign := self._take("-", "+")) is not None:
            signs.append(sign)
        term = self._atom()
        if not signs:
            return term
        self._number(term)
        zero = Term(lambda scope: 0, "number", "0", column)
        sign = "-" if signs.count("-") % 2 else "+"
        return Term(reckoned(sign, zero, term), "number", term.text, column)

    def _atom(self) -> Term:
        token = self._peek()
        if token is None:
            self._unexpected("a value")
        kind, text, column = token
        if kind == "sign" and text == "(":
            return self._nested()
        if kind == "sign" or text in _RESERVED:
            self._unexpected("a value")
        self._next += 1
        if kind == "number":
            number = float(text) if set(text) & set(".eE") else int(text)
            return Term(lambda scope: number, "number", text, column)
        if kind == "text":
            return Term(lambda scope: text[1:-1], "text", text, column)
        if text in FUNCTIONS and self._take("("):
            return self._function(text, column)
        return self._name(text, column)

    def _nested(self) -> Term:
        self._enter()
        self._take("(")
        term = self._or()
        self._close()
        return term

    def _function(self, name: str, column: int) -> Term:
        self._enter()
        arguments: list[Callable[[Scope], Sequence[Any]]] = []
        while True:
            before = self._next
            kind, text, at = self._peek() or ("", "", 0)
            if kind == "path" and _is_wild(text):
                self._next += 1
                arguments.append(self._read(text, at).values)
            else:
                arguments.append(one(self._number(self._sum())))
            assert self._next > before
            if not self._take(","):
                break
        self._close()

        return Term(gathered(name, arguments), "number", f"{name}(...)", column)

    def _name(self, text: str, column: int) -> Term:
        if text in costs("arithmetic"):
            self.quantities.append(text)
            return Term(lambda scope: scope.quantity(text), "number", text, column)
        if text in _WORDS:
            return Term(lambda scope: _WORDS[text], "value", text, column)
        is_path = "." in text or "[" in text or text in NETWORK_FIELDS
        if not is_path:
            return Term(lambda scope: text, "text", text, column)
        if _is_wild(text):
            self._fail(
                f"{text} is more than one value", column, help="take its sum(), max() or min()"
            )
        read = self._read(text, column)
        return Term(read.value, "value", text, column)

    def _read(self, text: str, column: int) -> Read:
        try:
            path = parse_path(text)
        except ArchbenchError as error:
            self._fail(error.message, column, help=error.help)
        self.paths.append(path)
        return Read(path)

    def _logic(self, terms: list[Term], join: Callable[[Any], bool]) -> Term:
        if len(terms) == 1:
            return terms[0]
        parts = [self._condition(term) for term in terms]
        return Term(
            lambda scope: join(part(scope) for part in parts),
            "condition",
            self.text,
            terms[0].column,
        )

    def _condition(self, term: Term) -> Callable[[Scope], bool]:
        if term.type not in ("condition", "value"):
            self._fail(f"{term.text} is no condition", term.column, help="compare it")

        return flag(term)

    def _number(self, term: Term) -> Term:
        if term.type not in ("number", "value"):
            self._fail(f"{term.text} is no number", term.column, help=_quantity_hint(term.text))
        return term

    def _check_comparison(self, sign: str, left: Term, right: Term) -> None:
        for term in (left, right):
            if term.type == "condition":
                self._fail("a comparison cannot be compared", term.column, help="use and, or, ()")
        if sign in ("==", "!="):
            types = {left.type, right.type}
            if types == {"number", "text"}:
                text = left if left.type == "text" else right
                self._number(text)
            return
        self._number(left)
        self._number(right)

    def _enter(self) -> None:
        self._nesting += 1
        if self._nesting > MAX_NESTING:
            self._fail(f"is nested deeper than {MAX_NESTING} levels", self._column())

    def _close(self) -> None:
        self._nesting -= 1
        if not self._take(")"):
            self._unexpected("')'")

    def _peek(self) -> tuple[str, str, int] | None:
        return self._tokens[self._next] if self._next < len(self._tokens) else None

    def _column(self) -> int:
        token = self._peek()
        return token[2] if token else len(self.text) + 1

    def _take(self, *texts: str) -> str | None:
        token = self._peek()
        if token is None or token[0] == "text" or token[1] not in texts:
            return None
        self._next += 1
        return token[1]

    def _scan(self) -> list[tuple[str, str, int]]:
        tokens = []
        place = 0
        end = len(self.text.rstrip())
        while place < end:
            match = _TOKEN.match(self.text, place)
            if match is None or match.lastgroup is None:
                rest = self.text[place:].lstrip()
                column = len(self.text) - len(rest) + 1
                self._fail(f"{rest[:1]!r} means nothing here", column, help=_sign_hint(rest))
            start = match.start(match.lastgroup)
            tokens.append((match.lastgroup, match.group(match.lastgroup), start + 1))
            place = match.end()
        return tokens

    def _unexpected(self, expected: str) -> NoReturn:
        token = self._peek()
        got = repr(token[1]) if token else "the end"
        self._fail(f"expected {expected}, got {got}", self._column())

    def _fail(self, message: str, column: int, *, help: str | None = None) -> NoReturn:
        raise SpaceError(f"{self.text!r}, column {column}: {message}", help=help)


def _is_wild(text: str) -> bool:
    return re.search(r"\[\s*(each|all)\s*\]", text) is not None


def _quantity_hint(text: str) -> str | None:
    near = get_close_matches(text, costs("arithmetic"), n=1)
    return f"did you mean {near[0]}?" if near else None


def _sign_hint(rest: str) -> str | None:
    hints = {"=": "compare with ==", "&": "write and", "|": "write or", "!": "write not or !="}
    return hints.get(rest[:1])
