"""How do results, words and numbers reach the person? All printing happens here."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from archbench.command_line import command_line

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


def redraw(text: str) -> None:
    """Replace the line that stderr, a terminal, is on; the next output begins there."""
    sys.stderr.write(f"\r\x1b[K{clean(text)}")
    sys.stderr.flush()


def warn(text: str) -> None:
    """Write a warning to stderr; it says what to do."""
    _to_stderr(f"{_coloured('warning:', '33')} {clean(text)}")


def next_step(text: str) -> None:
    """Write the last line of a command: what to do next."""
    _to_stderr(f"\n{_coloured('next:', '1')} {clean(text)}")


def written(files: Sequence[Path], *, more: str = "") -> None:
    """List the files of a report, and say what to do next: open its page.

    Args:
        files: One of them ends in ``.html``.
        more: What else may be done next.
    """
    listed = "\n".join(f"  {path}" for path in files)
    result(f"\nwritten:\n{listed}")
    page = next(path for path in files if path.suffix == ".html")
    next_step(command_line("open", page) + more)


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
