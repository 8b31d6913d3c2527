"""How far a piece of work is: a line on a terminal, a few lines on a pipe."""

from __future__ import annotations

import io
from contextlib import redirect_stderr

import pytest

from archbench.cli.console import Meter


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("TERM", "xterm")
    return Terminal()


def test_on_a_pipe_each_thing_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    with Meter() as told:
        for done in range(3):
            told("reading images", done, 3)
        told("training", 0, 100)
    assert capsys.readouterr() == ("", "reading images\ntraining\n")


def test_a_terminal_shows_what_remains_and_is_left_clean(terminal: Terminal) -> None:
    now = [0.0]
    with redirect_stderr(terminal), Meter(clock=lambda: now[0]) as told:
        told("training", 0, 100)
        now[0] = 10.0
        told("training", 25, 100)
    lines = terminal.getvalue().split("\r\x1b[K")
    assert lines == ["", "training  0 of 100", "training  25 of 100  30 s left", ""]


def test_a_terminal_is_not_redrawn_more_than_can_be_seen(terminal: Terminal) -> None:
    now = [0.0]
    with redirect_stderr(terminal), Meter(clock=lambda: now[0]) as told:
        for step in range(1000):
            now[0] = step / 1000
            told("training", step, 1000)
    assert terminal.getvalue().count("\r") <= 8


def test_a_dumb_terminal_gets_plain_lines(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "dumb")
    with redirect_stderr(terminal), Meter() as told:
        told("training", 0, 100)
    assert terminal.getvalue() == "training\n"
