"""How is text laid out in a terminal: its width, its tables, no control characters."""

import textwrap
from collections.abc import Iterable, Mapping, Sequence

WIDTH = 80
"""Columns that every table fits into, unless a name is longer than its column."""

_CONTROL = dict.fromkeys((*range(32), *range(127, 160)), "\N{REPLACEMENT CHARACTER}")
_CONTROL_IN_TEXT = {code: sign for code, sign in _CONTROL.items() if chr(code) not in "\n\t"}


def clean(text: str) -> str:
    """The text with control characters replaced: names are data, never commands to a terminal."""
    return text.translate(_CONTROL_IN_TEXT)


def filled(text: str, *, first: str = "", rest: str = "") -> str:
    """The text within the width, but for a path or a word that is longer than that.

    Its line breaks are white space; first and rest stand before its first and its other lines.
    """
    return textwrap.fill(
        text, WIDTH, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False,
        break_long_words=False,
    )  # fmt: skip


def listed(texts: Iterable[str | bool | None], *, rest: str = "  ") -> str:
    """Each text on lines of its own, all but its first begun with the rest."""
    said = [text for text in texts if isinstance(text, str) and text]
    return "\n".join(filled(text, rest=rest) for text in said)


def beside(facts: Mapping[str, str], *, left: int) -> str:
    """Names in a column of this width, the text of each wrapped beside it."""
    lines = []
    for name, text in facts.items():
        first, *others = text.split("\n")
        indent = " " * left
        lines.append(filled(first, first=f"{name:{left}}", rest=indent) or name)
        lines += [filled(other, first=indent, rest=indent) for other in others]
    return "\n".join(lines)


def table(sides: Mapping[str, str], rows: Iterable[Sequence[str] | str]) -> str:
    """A table in aligned columns under a ruled line of titles, without trailing blanks.

    By its title each column has a letter: ``r`` puts it to the right. A row that is a text is a
    line of its own.
    """
    cleaned = [
        row if isinstance(row, str) else [cell.translate(_CONTROL) for cell in row]
        for row in ([*sides], *rows)
    ]
    columns = zip(*(row for row in cleaned if not isinstance(row, str)), strict=True)
    widths = [max(map(len, column)) for column in columns]
    lines = []
    for row in cleaned:
        placed = (
            [row]
            if isinstance(row, str)
            else (
                cell.rjust(width) if side == "r" else cell.ljust(width)
                for cell, width, side in zip(row, widths, sides.values(), strict=True)
            )
        )
        lines.append("  ".join(placed).rstrip())
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)
