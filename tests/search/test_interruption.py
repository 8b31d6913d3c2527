"""The first interruption is noted, the second one acts."""

import signal
import threading

import pytest

from archbench.errors import ParkedError
from archbench.search.context import Interruption, interruptions


def test_the_first_is_noted_and_the_second_acts() -> None:
    with interruptions() as interruption:
        signal.raise_signal(signal.SIGINT)
        assert interruption.signal_number == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


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
