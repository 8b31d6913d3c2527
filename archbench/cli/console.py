"""How do results, words and numbers reach the person? All printing happens here."""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Protocol

from archbench.command_line import command_line
from archbench.report.text import WIDTH, clean


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


class Meter(Protocol):
    """Shows the progress of one thing after another."""

    def __call__(self, what: str, done: int, total: int) -> None:
        """Take in what is being done, how much of it is done, and of how much."""

    def say(self, text: str) -> None:
        """Leave a line that stays."""


_REDRAW_S = 0.2


@contextmanager
def meter(*, quiet: bool = False, clock: Callable[[], float] = time.monotonic) -> Iterator[Meter]:
    """A meter on stderr while this lasts; the terminal's line is gone at the end.

    Args:
        quiet: Show nothing unless stderr is a terminal, as a program may read it.
        clock: Seconds, from any monotonic clock.
    """
    if is_terminal(sys.stderr):
        line = _Line(clock)
        try:
            yield line
        finally:
            redraw("")
    else:
        yield _Silence() if quiet else _Log()


class _Line:
    """Draws over itself, a few times a second at most."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._what = ""
        self._began = 0.0
        self._drawn = float("-inf")

    def __call__(self, what: str, done: int, total: int) -> None:
        from archbench.report import number

        now = self._clock()
        if what != self._what:
            self._what, self._began, self._drawn = what, now, float("-inf")
        if now - self._drawn < _REDRAW_S:
            return
        self._drawn = now
        text = f"{what}  {done:,} of {total:,}"
        if 0 < done < total and now - self._began > 2:
            left = (now - self._began) / done * (total - done)
            text += f"  {number.duration(left)} left"
        redraw(text[: WIDTH - 1])

    def say(self, text: str) -> None:
        redraw("")
        note(text)
        self._drawn = float("-inf")


class _Log:
    """Says each thing once, when it begins."""

    def __init__(self) -> None:
        self._what = ""

    def __call__(self, what: str, done: int, total: int) -> None:
        if what != self._what:
            self._what = what
            note(what)

    def say(self, text: str) -> None:
        note(text)


class _Silence:
    """Nobody wants to know."""

    def __call__(self, what: str, done: int, total: int) -> None:
        pass

    def say(self, text: str) -> None:
        pass
