"""The first interruption is noted, the second one acts."""

import signal
import threading
from functools import partial
from pathlib import Path

import pytest

from archbench.errors import ParkedError, Terminated
from archbench.search import events
from archbench.search.context import Context, Interruption, interruptions


def test_the_first_is_noted_and_the_second_acts() -> None:
    with interruptions() as interruption:
        signal.raise_signal(signal.SIGINT)
        assert interruption.signal_number == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_one_that_is_not_answered_comes_again() -> None:
    with interruptions(patience_s=0.01):
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            threading.Event().wait(60)


def test_one_that_is_answered_comes_once() -> None:
    with interruptions(patience_s=0.01) as interruption:
        signal.raise_signal(signal.SIGINT)
        interruption.answer()
        threading.Event().wait(0.1)


@pytest.mark.parametrize("error", [KeyboardInterrupt, ImportError])
def test_an_interrupted_run_is_parked_whatever_that_broke(
    tmp_path: Path, error: type[BaseException]
) -> None:
    context = Context(tell=events.ignore)
    context.interruption.note(signal.SIGTERM)
    parks = partial(context.parks, tmp_path, noun="search", first="trial", resume="resume it")
    told = "before the first trial, with nothing stored"
    with pytest.raises(ParkedError, match=told) as caught, parks():
        raise error
    assert caught.value.exit_code == 143
    (tmp_path / "study.db").touch()
    with pytest.raises(ParkedError, match="the search is parked") as caught, parks():
        raise error
    assert caught.value.help == "resume it"


def test_a_termination_that_comes_late_ends_as_one(tmp_path: Path) -> None:
    context = Context(tell=events.ignore)
    with (
        pytest.raises(ParkedError) as caught,
        context.parks(tmp_path, noun="search", resume="resume it"),
    ):
        raise Terminated
    assert caught.value.exit_code == 143


def test_a_run_that_nobody_interrupted_ends_as_it_does(tmp_path: Path) -> None:
    context = Context(tell=events.ignore)
    with context.parks(tmp_path, noun="search", resume="resume it"):
        pass
    with pytest.raises(ImportError), context.parks(tmp_path, noun="search", resume="resume it"):
        raise ImportError


def test_an_interruption_at_the_very_end_is_no_silent_one(tmp_path: Path) -> None:
    context = Context(tell=events.ignore)
    with pytest.raises(ParkedError), context.parks(tmp_path, noun="search", resume="resume it"):
        context.interruption.note(signal.SIGINT)


def test_handlers_are_put_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with interruptions():
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before


def test_what_was_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interruptions() as interruption:
            signal.raise_signal(signal.SIGHUP)
            assert interruption.signal_number is None
    finally:
        signal.signal(signal.SIGHUP, before)


def test_outside_the_main_thread_nothing_is_noted() -> None:
    found: list[Interruption] = []

    def act() -> None:
        with interruptions() as interruption:
            found.append(interruption)

    thread = threading.Thread(target=act)
    thread.start()
    thread.join()
    assert found[0].signal_number is None


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 143)]
)
def test_exit_codes_are_those_of_the_signal(number: int, code: int) -> None:
    assert ParkedError("parked", signal_number=number).exit_code == code
