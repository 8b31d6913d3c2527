"""How is text laid out in a terminal: its width, its tables, no control characters."""

from __future__ import annotations

from collections.abc import Sequence

WIDTH = 80
"""Columns that every table fits into, unless a name is longer than its column."""

_CONTROL = dict.fromkeys((*range(32), *range(127, 160)), "\N{REPLACEMENT CHARACTER}")
_CONTROL_IN_TEXT = {code: sign for code, sign in _CONTROL.items() if chr(code) not in "\n\t"}


def clean(text: str) -> str:
    """The text with control characters replaced: names are data, never commands to a terminal."""
    return text.translate(_CONTROL_IN_TEXT)


def table(titles: Sequence[str], rows: Sequence[Sequence[str]], *, align: str) -> str:
    """A table in aligned columns under a ruled line of titles, without trailing blanks.

    Args:
        titles: One per column.
        rows: The cells, as many per row as there are titles.
        align: One letter per column: ``l`` or ``r``.
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
