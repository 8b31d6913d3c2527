"""Ctrl-C and its kin: the first one asks for an orderly stop, the second one stops at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from archbench.errors import INTERRUPTED, TERMINATED, ArchbenchError

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class ParkedError(ArchbenchError):
    """A search that was stopped from outside and can go on exactly where it stood.

    Args:
        message: What was stopped.
        place: The study folder, or None where nothing had been stored.
        help: What to type to go on.
        signal_number: What stopped it; Ctrl-C where that is not known.
    """

    def __init__(
        self,
        message: str,
        *,
        place: str | None = None,
        help: str | None = None,
        signal_number: int | None = None,
    ) -> None:
        super().__init__(message, place=place, help=help)
        self.exit_code = INTERRUPTED if signal_number in (None, signal.SIGINT) else TERMINATED


class Interruption:
    """Whether somebody wants the search to stop.

    Attributes:
        signal_number: The first signal that said so, or None.
    """

    def __init__(self) -> None:
        self.signal_number: int | None = None


@contextmanager
def interruptions() -> Iterator[Interruption]:
    """Notes the first interruption instead of acting on it; the next acts as it would have.

    Signals that were ignored stay ignored, as under nohup. Outside the main thread, where Python
    takes no signals, nothing is noted.
    """
    interruption = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    noted = [number for number, handler in before.items() if handler is not signal.SIG_IGN]

    def restore() -> None:
        for number in noted:
            signal.signal(number, before[number])

    def note(number: int, frame: FrameType | None) -> None:
        interruption.signal_number = number
        restore()

    for number in noted:
        signal.signal(number, note)
    try:
        yield interruption
    finally:
        restore()
