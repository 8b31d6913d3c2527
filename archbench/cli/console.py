"""How do results, words and numbers reach the person? All printing happens here."""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TextIO

import click

from archbench.errors import NEGATIVE_RESULT, ArchbenchError, StorageError
from archbench.progress import what_and_unit
from archbench.report.text import WIDTH, clean, filled

if TYPE_CHECKING:
    from archbench.analysis.study import StudyReader
    from archbench.report.finding import Finding

FORMAT, LOUDNESS, STDOUT = "archbench.format", "archbench.loudness", "archbench.stdout"
"""Where the context of a command keeps in which of the formats it answers, whether it is ``quiet``
or ``verbose``, and where results go."""
FORMATS = ("table", "json", "csv", "md")

ERROR_SCHEMA = "archbench.error/1"
_REDRAW_S = 0.2
_BAR = 20  # signs
_LEAST_COLUMNS = 20
_PLAIN_SIGNS = str.maketrans(
    {
        **dict.fromkeys("\N{EN DASH}\N{EM DASH}\N{MINUS SIGN}", "-"),
        "±": "+/-",
        "≥": ">=",
        "≤": "<=",
        "…": "...",
        "→": "->",
        "\N{MULTIPLICATION SIGN}": "x",
    }
)


class ReaderGoneError(Exception):
    """Whoever read our stdout has closed it, as ``head`` does: no error, but the end."""


@contextmanager
def keeping_stdout() -> Iterator[TextIO]:
    """A stream to our stdout: whatever else is printed there meanwhile goes to stderr.

    That is what code of others prints, also from C and from processes that it starts.
    """
    stream = sys.stdout
    try:
        number, errors = stream.fileno(), sys.stderr.fileno()
        kept = os.dup(number)
    except (AttributeError, OSError, ValueError):  # no file, or closed
        with redirect_stdout(sys.stderr):
            yield stream
        return
    stream.flush()
    os.dup2(errors, number)
    try:
        with open(kept, "w", encoding=stream.encoding, errors=stream.errors, closefd=False) as ours:
            yield ours
    finally:
        with suppress(OSError):  # nobody reads stderr any more
            stream.flush()
        os.dup2(kept, number)
        os.close(kept)


def is_json() -> bool:
    """Whether the command that runs was asked for one JSON document instead of text."""
    return _said(FORMAT) == "json"


def is_quiet() -> bool:
    """Whether nothing is wanted but the result, warnings and errors."""
    return _said(LOUDNESS) == "quiet"


def is_verbose() -> bool:
    """Whether what most people need not know is wanted, too."""
    return _said(LOUDNESS) == "verbose"


def _said(key: str) -> Any:
    ctx = click.get_current_context(silent=True)
    return ctx.meta.get(key) if ctx else None


def columns(stream: TextIO) -> int | None:
    """Columns of the terminal that a stream is; None for another one, where nothing is cut."""
    if not is_terminal(stream):
        return None
    said = os.environ.get("COLUMNS", "")
    with suppress(OSError, ValueError):
        found = int(said) if said.isdecimal() else os.get_terminal_size(stream.fileno()).columns
        return max(found, _LEAST_COLUMNS) if found else None
    return None


def result(text: str) -> None:
    """Write a part of the result to stdout.

    Raises:
        ReaderGoneError: Nobody reads any more.
        StorageError: It cannot be written, as on a full disk.
    """
    stream = _stdout()
    try:
        stream.write(_encodable(clean(text), stream) + "\n")
        stream.flush()
    except BrokenPipeError:
        _to_nowhere(stream)
        raise ReaderGoneError from None
    except OSError as error:
        _to_nowhere(stream)
        raise StorageError(
            f"the result cannot be written ({error.strerror or error})",
            place="stdout",
            help="make room there, or send it elsewhere",
        ) from None


def _stdout() -> TextIO:
    """Our stdout, also while what others print there goes to stderr."""
    stream: TextIO = _said(STDOUT) or sys.stdout
    return stream


def document(content: Mapping[str, Any]) -> None:
    """Write the one JSON document of a ``--json`` command to stdout.

    Raises:
        ReaderGoneError: Nobody reads any more.
        StorageError: It cannot be written, as on a full disk.
        ValueError: A number in it is not finite.
    """
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    if not _can_encode(text, sys.stdout):
        text = json.dumps(content, indent=2, allow_nan=False)
    result(text)


def note(text: str = "") -> None:
    """Write a line for the person to stderr: progress, or what was found on the way."""
    if not is_quiet():
        _to_stderr(clean(text))


def redraw(text: str) -> None:
    """Replace the line that stderr, a terminal, is on; the next output begins there."""
    _write_to_stderr(f"\r\x1b[K{clean(text)}")


def warn(text: str) -> None:
    """Write a warning to stderr; it says what to do."""
    told = _wrapped(f"warning: {clean(text)}").removeprefix("warning:")
    _to_stderr(f"{_coloured('warning:', '33')}{told}")


def _wrapped(line: str) -> str:
    """A line that a terminal would cut within a word, broken between words."""
    width = min(columns(sys.stderr) or 0, WIDTH)
    return filled(line, rest="  ", width=width) if width and len(line) > width else line


def next_step(text: str) -> None:
    """Write the last line of a command: the one command to type next."""
    if not is_quiet():
        _to_stderr(f"\n{_coloured('next:', '1')} {clean(text)}")


def tell(finding: Finding, *, files: Sequence[Path] = ()) -> None:
    """Write a finding to stdout, as text or as its JSON document, and what to type next to stderr.

    Of the files that were written of it the page comes first.
    """
    match _said(FORMAT):
        case "json":
            document(finding.document)
        case "csv":
            result(finding.csv())
        case "md":
            result(finding.markdown())
        case _:
            result(finding.text(columns=columns(_stdout()), has_more=is_verbose()))
            _tell_next(finding, files=files)


def _tell_next(finding: Finding, *, files: Sequence[Path]) -> None:
    if files:
        shown = sorted(files, key=lambda path: path.suffix != ".html")
        result("\nwritten:\n" + "\n".join(f"  {path}" for path in shown))
    if finding.next_step:
        next_step(finding.next_step)


def tell_study(study: StudyReader) -> int:
    """Write the report of a study that was worked on, and tell what it found; the exit code."""
    from archbench.report import write_report
    from archbench.report.findings import front

    files = [study.path / "study.db", *write_report(study)]
    tell(front.finding(study), files=files)
    return 0 if study.front_records() else NEGATIVE_RESULT


def report(error: ArchbenchError, *, as_json: bool, is_traced: bool = False) -> None:
    """Write an error to stderr, as a line or as one JSON document; its trace where that is asked.

    The trace is asked for by ``ARCHBENCH_DEBUG=1``, too.
    """
    if as_json:
        told = {"place": error.place, "message": error.message, "help": error.help}
        content = {"schema": ERROR_SCHEMA, "code": error.exit_code, **told}
        _to_stderr(json.dumps(content, ensure_ascii=False))
    else:
        _to_stderr(_error_text(error))
    if is_traced or os.environ.get("ARCHBENCH_DEBUG") == "1":
        _to_stderr("".join(traceback.format_exception(error)))


def _error_text(error: ArchbenchError) -> str:
    """An error on one line; on a terminal broken at words, with its help on lines of its own.

    Help that holds a command is broken by the terminal itself, so that it can be copied whole.
    """
    begin, text = _coloured("error:", "1;31"), clean(str(error))
    width = min(columns(sys.stderr) or 0, WIDTH)
    if not width:
        return f"{begin} {text}"
    rest = clean(error.help or "")
    told = filled(f"error: {text.removesuffix(f'; {rest}')}", width=width).removeprefix("error:")
    shown = rest if "archbench " in rest else filled(rest, width=width)
    return "\n".join(filter(None, [f"{begin}{told}", shown]))


def is_terminal(stream: TextIO) -> bool:
    """Whether lines on this stream can be redrawn: a terminal, no dumb one, before which one sits.

    What continuous integration shows, which says so by ``CI``, is read later, as a file.
    """
    is_seen = os.environ.get("TERM", "dumb") != "dumb" and not os.environ.get("CI")
    return stream.isatty() and is_seen


def open_missing_streams() -> None:
    """Opens each standard stream that was closed: stderr to keep nothing, stdout to say so.

    Else a database would get its number, and what others print would be written into it.
    """
    for number, mode in enumerate((os.O_RDONLY, os.O_RDONLY, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, mode)  # the lowest free number is this one
    for number, name in ((1, "stdout"), (2, "stderr")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "w", encoding="utf-8", closefd=False))  # noqa: SIM115
        stream = getattr(sys, name)
        if isinstance(stream, TextIOWrapper):  # and nothing that somebody put in its place
            # for what others write; our own signs are written in others first, see _encodable
            stream.reconfigure(errors="replace")


def close_streams() -> None:
    """Writes what is left in the standard streams; what cannot be written is lost without a word.

    The interpreter would end with another exit code.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            _to_nowhere(stream)


def _to_stderr(text: str) -> None:
    _write_to_stderr(text + "\n")


def _write_to_stderr(text: str) -> None:
    """Nothing that a person reads on the way ends the work: a full disk or a closed pipe least."""
    try:
        sys.stderr.write(_encodable(text, sys.stderr))
        sys.stderr.flush()
    except BrokenPipeError:
        _to_nowhere(sys.stderr)
    except (OSError, ValueError):
        pass


def _to_nowhere(stream: TextIO) -> None:
    """What is still buffered would fail again when the interpreter ends."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _can_encode(text: str, stream: TextIO) -> bool:
    try:
        text.encode(stream.encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _encodable(text: str, stream: TextIO) -> str:
    """The text, in other signs where the stream's encoding lacks ours."""
    if _can_encode(text, stream):
        return text
    encoding = stream.encoding or "ascii"
    return text.translate(_PLAIN_SIGNS).encode(encoding, "replace").decode(encoding)


def _coloured(text: str, code: str) -> str:
    if is_terminal(sys.stderr) and not os.environ.get("NO_COLOR"):
        return f"\x1b[{code}m{text}\x1b[0m"
    return text


class Meter:
    """Shows on stderr the progress of one thing after another, while it is entered.

    A terminal shows it on one line, redrawn a few times a second at most and gone at the end; else
    each thing is said once, and nothing with ``--json``, as a program may read it.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._is_drawn = is_terminal(sys.stderr) and not is_quiet()
        self._is_silent = is_json() and not self._is_drawn
        self._clock = clock
        self._what = ""
        self._began = 0.0
        self._drawn = float("-inf")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *ending: object) -> None:
        if self._is_drawn:
            redraw("")

    def __call__(self, what: str, done: int, total: int) -> None:
        """Take in what is being done, how much of it is done, and of how much."""
        now = self._clock()
        if what != self._what:
            self._what, self._began, self._drawn = what, now, float("-inf")
            if not self._is_drawn and not self._is_silent:
                note(what_and_unit(what)[0])
        if self._is_drawn and now - self._drawn >= _REDRAW_S:
            self._drawn = now
            width = min(columns(sys.stderr) or WIDTH, WIDTH)
            redraw(self._line(done, total, now - self._began)[: width - 1])

    def say(self, text: str) -> None:
        """Leave a line that stays."""
        if self._is_drawn:
            redraw("")
            self._drawn = float("-inf")
        if not self._is_silent:
            note("\n".join(map(_wrapped, text.split("\n"))))

    def _line(self, done: int, total: int, seconds: float) -> str:
        from archbench.report.number import duration

        text, unit = what_and_unit(self._what)
        if total:
            full = min(_BAR, _BAR * done // total)
            text += f"  [{'#' * full}{'.' * (_BAR - full)}]  {done:,} of {total:,}"
            text += f" {unit}" if unit else ""
        if 0 < done < total and seconds > 2:
            text += f"  {duration(seconds / done * (total - done))} left"
        return text
