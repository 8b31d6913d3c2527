"""How is text laid out in a terminal: its width, its tables, no control characters."""

import textwrap
from collections.abc import Iterable, Mapping, Sequence

WIDTH = 80
"""Columns of text where nobody says how many there are, and at most."""

_CONTROL = dict.fromkeys((*range(32), *range(127, 160)), "\N{REPLACEMENT CHARACTER}")
_CONTROL_IN_TEXT = {code: sign for code, sign in _CONTROL.items() if chr(code) not in "\n\t"}


def clean(text: str) -> str:
    """The text with control characters replaced: names are data, never commands to a terminal."""
    return text.translate(_CONTROL_IN_TEXT)


def filled(text: str, *, first: str = "", rest: str = "", width: int = WIDTH) -> str:
    """The text within the width, but for a path or a word that is longer than that.

    Its line breaks are white space; first and rest stand before its first and its other lines.
    """
    return textwrap.fill(
        text, width, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False,
        break_long_words=False,
    )  # fmt: skip


def listed(texts: Iterable[str], *, rest: str = "  ", width: int = WIDTH) -> str:
    """Each text that is not empty on lines of its own, all but its first begun with the rest."""
    return "\n".join(filled(text, rest=rest, width=width) for text in texts if text)


def beside(facts: Mapping[str, str], *, left: int, width: int = WIDTH) -> str:
    """Names in a column, ``left`` wide, the text of each wrapped beside it.

    Where a narrow terminal leaves texts less than half of it they stand behind their names.
    """
    if width < WIDTH and left > width // 2:
        pairs = ((name, text) for name, text in facts.items())
        return "\n".join(filled(f"{name}: {text}", rest="  ", width=width) for name, text in pairs)
    lines = []
    for name, text in facts.items():
        first, *others = text.split("\n")
        indent = " " * left
        lines.append(filled(first, first=f"{name:{left}}", rest=indent, width=width) or name)
        lines += [filled(other, first=indent, rest=indent, width=width) for other in others]
    return "\n".join(lines)


def entries(rows: Iterable[Mapping[str, str] | str], *, width: int) -> str:
    """A table for which a terminal is too narrow: each row by itself, a line for each title."""
    told = []
    for row in rows:
        if isinstance(row, str):
            told.append(filled(row, width=width))
            continue
        said = {title: cell.translate(_CONTROL) for title, cell in row.items() if cell}
        left = 2 + max(map(len, said), default=0)
        told.append(beside(said, left=left, width=width))
    return "\n\n".join(told)


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
