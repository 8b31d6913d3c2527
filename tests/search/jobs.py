"""Jobs that behave and jobs that don't, for the engine's tests."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass, field
from typing import Any

from archbench.search.job import Question, Send


@dataclass(frozen=True, kw_only=True)
class Asked(Question):
    """A question."""

    word: str


@dataclass(frozen=True)
class Act:
    """Does what its word says."""

    number: int
    word: str
    argument: Any = None
    kept: list[bytes] = field(default_factory=list)

    def run(self, send: Send) -> Any:
        return getattr(self, f"_{self.word}")(send)

    def _answer(self, send: Send) -> Any:
        send(("heard", self.argument))
        return os.getpid(), sorted(os.sched_getaffinity(0))

    def _ask(self, send: Send) -> Any:
        return [send(Asked(word=word)) for word in self.argument]

    def _raise(self, send: Send) -> None:
        raise self.argument

    def _die(self, send: Send) -> None:
        os.kill(os.getpid(), self.argument)
        time.sleep(60)

    def _hang(self, send: Send) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        send("hangs")
        time.sleep(600)

    def _hold(self, send: Send) -> None:
        self.kept.append(b"x" * self.argument)
        send("holds")
        time.sleep(600)

    def _interrupt(self, send: Send) -> str:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGHUP)
        return "went on"
