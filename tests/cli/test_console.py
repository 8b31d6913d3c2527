"""Tables, streams and progress as a person, a pipe and a terminal meet them."""

import io
from contextlib import redirect_stderr

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archbench.cli import console
from archbench.report.text import clean, table


def test_a_table_is_aligned_and_ruled() -> None:
    text = table({"name": "l", "MACs": "r"}, [("a", "1"), ("bcdef", "10000")])
    assert text == "name    MACs\n-----  -----\na          1\nbcdef  10000"


@given(st.text())
def test_nothing_printed_can_steer_the_terminal(text: str) -> None:
    assert not any(sign < " " and sign not in "\n\t" for sign in clean(text))
    assert "\x7f" not in clean(text)


def test_a_cell_stays_on_its_line() -> None:
    assert len(table({"a": "l"}, [("x\ny",)]).split("\n")) == 3


def test_a_document_refuses_what_is_not_json() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        console.document({"value": float("nan")})


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("TERM", "xterm")
    return Terminal()


def test_on_a_pipe_each_thing_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    with console.Meter() as told:
        for done in range(3):
            told("reading images", done, 3)
        told("training", 0, 100)
    assert capsys.readouterr() == ("", "reading images\ntraining\n")


def test_a_terminal_shows_what_remains_and_is_left_clean(terminal: Terminal) -> None:
    now = [0.0]
    with redirect_stderr(terminal), console.Meter(clock=lambda: now[0]) as told:
        told("training", 0, 100)
        now[0] = 10.0
        told("training", 25, 100)
    lines = terminal.getvalue().split("\r\x1b[K")
    first, second = (
        f"training  [{'.' * 20}]  0 of 100",
        f"training  [{'#' * 5}{'.' * 15}]  25 of 100",
    )
    assert lines == ["", first, f"{second}  30 s left", ""]


def test_a_terminal_shows_no_numbers_of_what_cannot_be_counted(terminal: Terminal) -> None:
    with redirect_stderr(terminal), console.Meter() as told:
        told("waiting for process 9", 0, 0)
    assert terminal.getvalue().split("\r\x1b[K") == ["", "waiting for process 9", ""]


def test_a_terminal_is_not_redrawn_more_than_can_be_seen(terminal: Terminal) -> None:
    now = [0.0]
    with redirect_stderr(terminal), console.Meter(clock=lambda: now[0]) as told:
        for step in range(1000):
            now[0] = step / 1000
            told("training", step, 1000)
    assert terminal.getvalue().count("\r") <= 8


def test_a_dumb_terminal_gets_plain_lines(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "dumb")
    with redirect_stderr(terminal), console.Meter() as told:
        told("training", 0, 100)
    assert terminal.getvalue() == "training\n"


def test_a_terminal_breaks_warnings_and_notes_between_words(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    with redirect_stderr(terminal), console.Meter() as told:
        console.warn("sentence " * 8)
        told.say("sentence " * 8)
    lines = terminal.getvalue().replace("\r\x1b[K", "").splitlines()
    assert {"sentence"} >= {word for line in lines for word in line.split()} - {
        "\x1b[33mwarning:\x1b[0m"
    }
    assert max(map(len, lines)) <= 40 + len("\x1b[33m\x1b[0m")


def test_in_continuous_integration_nothing_is_redrawn(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", "true")
    assert not console.is_terminal(terminal)
