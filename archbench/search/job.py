"""What an engine runs and what comes back: the language between the owner and its workers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from archbench.errors import ArchbenchError
from archbench.study.trial import Failure

Send = Callable[[Any], Any]
"""Hands something over; gives the owner's answer to a ``Question``, and None to all else."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """What a job hands over to wait for an answer; it goes on as soon as the owner has written."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the owner says to a question."""

    content: Any


class Job(Protocol):
    """Work for one worker; travels by pickle."""

    @property
    def number(self) -> int:
        """What its reports are known by."""

    def run(self, send: Send) -> Any:
        """Does the work; ``send`` hands over what is known before the end."""


@dataclass(frozen=True, kw_only=True)
class Sent:
    """A running job handed something over."""

    number: int
    payload: Any


@dataclass(frozen=True, kw_only=True)
class Done:
    """A job returned."""

    number: int
    result: Any


@dataclass(frozen=True, kw_only=True)
class Broken:
    """A job ended without a result.

    Attributes:
        error: What it raised, where that is an error of ours.
        from_outside: Its worker was killed by somebody else, so it may be worth another try.
    """

    number: int
    failure: Failure
    error: ArchbenchError | None = None
    from_outside: bool = False


Report = Sent | Done | Broken


class Engine(Protocol):
    """Where jobs run. Every method is called from the owner's main thread."""

    @property
    def workers(self) -> int:
        """Jobs that can run at a time."""

    @property
    def running(self) -> tuple[int, ...]:
        """Numbers of the jobs that run now."""

    def start(self, job: Job, *, timeout_s: float) -> int:
        """Hands the job to an idle worker and gives the worker's index."""

    def answer(self, number: int, content: Any) -> None:
        """Answers the question of a running job; nothing where it has died meanwhile."""

    def poll(self, timeout_s: float) -> Sequence[Report]:
        """What happened, after waiting for it no longer than ``timeout_s``."""

    def stop(self) -> None:
        """Ends every worker at once, and what they run with them."""
