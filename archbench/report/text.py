"""How is text laid out in a terminal: its width, its tables, no control characters."""

from __future__ import annotations

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

    Args:
        text: Its line breaks are white space.
        first: Stands before the first line.
        rest: Stands before all other lines.
    """
    return textwrap.fill(
        text, WIDTH, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False,
        break_long_words=False,
    )  # fmt: skip


def listed(texts: Iterable[str], *, rest: str = "  ") -> str:
    """Each text on lines of its own, all but its first begun with the rest."""
    return "\n".join(filled(text, rest=rest) for text in texts if text)


def beside(facts: Mapping[str, str], *, left: int) -> str:
    """Names in a column of this width, the text of each wrapped beside it."""
    lines = []
    for name, text in facts.items():
        first, *others = text.split("\n")
        indent = " " * left
        lines.append(filled(first, first=f"{name:{left}}", rest=indent) or name)
        lines += [filled(other, first=indent, rest=indent) for other in others]
    return "\n".join(lines)


def shortened(text: str, length: int) -> str:
    """The text, cut to a length with an ellipsis."""
    return text if len(text) <= length else f"{text[: length - 1]}…"


def table(titles: Sequence[str], rows: Sequence[Sequence[str]], *, align: str) -> str:
    """A table in aligned columns under a ruled line of titles, without trailing blanks.

    Args:
        titles: One per column.
        rows: The cells, as many per row as there are titles.
        align: One letter per column: ``r`` puts it to the right.
    """
    cells = [[cell.translate(_CONTROL) for cell in row] for row in (titles, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(titles))]
    lines = []
    for row in cells:
        placed = (
            cell.rjust(width) if side == "r" else cell.ljust(width)
            for cell, width, side in zip(row, widths, align, strict=True)
        )
        lines.append("  ".join(placed).rstrip())
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)
