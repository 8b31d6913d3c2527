"""How do results, words and numbers reach the person? All printing happens here."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from typing import IO, Any

WIDTH = 80
"""Columns that every table fits into, unless a name is longer than its column."""

_CONTROL = dict.fromkeys((*range(32), *range(127, 160)), "\N{REPLACEMENT CHARACTER}")
_CONTROL_IN_TEXT = {code: sign for code, sign in _CONTROL.items() if chr(code) not in "\n\t"}


class ReaderGoneError(Exception):
    """Whoever read our stdout has closed it, as ``head`` does: no error, but the end."""


def result(text: str) -> None:
    """Write a part of the result to stdout.

    Raises:
        ReaderGoneError: Nobody reads any more.
    """
    try:
        sys.stdout.write(clean(text) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        # What is still buffered would fail again when the interpreter ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise ReaderGoneError from None


def document(content: Mapping[str, Any]) -> None:
    """Write the one JSON document of a ``--json`` command to stdout.

    Raises:
        ReaderGoneError: Nobody reads any more.
        ValueError: A number in it is not finite.
    """
    result(json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False))


def note(text: str = "") -> None:
    """Write a line for the person to stderr: progress, or what was found on the way."""
    _to_stderr(clean(text))


def warn(text: str) -> None:
    """Write a warning to stderr; it says what to do."""
    _to_stderr(f"{_coloured('warning:', '33')} {clean(text)}")


def next_step(text: str) -> None:
    """Write the last line of a command: what to do next."""
    _to_stderr(f"\n{_coloured('next:', '1')} {clean(text)}")


def error(text: str) -> None:
    """Write an error to stderr."""
    _to_stderr(f"{_coloured('error:', '1;31')} {clean(text)}")


def error_document(content: Mapping[str, Any]) -> None:
    """Write the one JSON document of an error to stderr."""
    _to_stderr(json.dumps(content, ensure_ascii=False))


def trace(error: BaseException) -> None:
    """Write the whole trace of an error to stderr."""
    _to_stderr("".join(traceback.format_exception(error)))


def is_terminal(stream: IO[str]) -> bool:
    """Whether lines on this stream can be redrawn: a terminal that is not a dumb one."""
    return stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def clean(text: str) -> str:
    """The text with control characters replaced: names are data, never commands to a terminal."""
    return text.translate(_CONTROL_IN_TEXT)


def _to_stderr(text: str) -> None:
    try:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def _coloured(text: str, code: str) -> str:
    if is_terminal(sys.stderr) and not os.environ.get("NO_COLOR"):
        return f"\x1b[{code}m{text}\x1b[0m"
    return text


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


def indented(text: str, *, by: int = 2) -> str:
    """The text with every line that is not empty moved to the right."""
    return "\n".join(" " * by + line if line else "" for line in text.split("\n"))


def quantity(value: float) -> str:
    """A count in the unit that reads best: ``304.7 M``, ``7.78 M``, ``512``."""
    for unit, size in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= 0.99995 * size:  # where the unit below would round up to 1000.0
            scaled = value / size
            return f"{scaled:.{1 if scaled >= 100 else 2}f} {unit}"
    return f"{value:.0f}"


def with_interval(value: float, low: float, high: float, *, unit: str) -> str:
    """A number with its 95 % interval: ``4.21 ms (4.18-4.30)``."""
    digits = _decimals(value)
    return f"{value:.{digits}f} {unit} ({low:.{digits}f}-{high:.{digits}f})"


def rounded(value: float) -> str:
    """A number with three significant digits and at most three decimals."""
    return f"{value:.{_decimals(value)}f}"


def percent(share: float, *, decimals: int = 1) -> str:
    """A share of 0 to 1 as ``33.6 %``."""
    return f"{100 * share:.{decimals}f} %"


def duration(seconds: float) -> str:
    """A time for a person: ``8 s``, ``3 min 20 s``, ``2 h 05 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def _decimals(value: float) -> int:
    size = abs(value)
    return 3 if size < 1 else 2 if size < 10 else 1 if size < 100 else 0
