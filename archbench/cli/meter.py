"""How far is one piece of work: one line that moves on a terminal, a few lines on a pipe."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from archbench.cli import console


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
    if console.is_terminal(sys.stderr):
        line = _Line(clock)
        try:
            yield line
        finally:
            console.redraw("")
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
        console.redraw(text[: console.WIDTH - 1])

    def say(self, text: str) -> None:
        console.redraw("")
        console.note(text)
        self._drawn = float("-inf")


class _Log:
    """Says each thing once, when it begins."""

    def __init__(self) -> None:
        self._what = ""

    def __call__(self, what: str, done: int, total: int) -> None:
        if what != self._what:
            self._what = what
            console.note(what)

    def say(self, text: str) -> None:
        console.note(text)


class _Silence:
    """Nobody wants to know."""

    def __call__(self, what: str, done: int, total: int) -> None:
        pass

    def say(self, text: str) -> None:
        pass
