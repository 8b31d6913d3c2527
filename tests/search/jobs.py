"""Jobs that behave and jobs that don't, and an engine that brings what a test wants."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from wsgiref.util import setup_testing_defaults

from archbench.search import events
from archbench.search.context import StudyContext
from archbench.search.scheduler import (
    Done,
    Engine,
    HoldOthers,
    Job,
    LetOthersGo,
    OnTarget,
    Place,
    Question,
    Report,
    Send,
    Sent,
)
from archbench.search.settings import Settings


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
    place: Place = "training"

    def run(self, send: Send) -> Any:
        return getattr(self, f"_{self.word}")(send)

    def _answer(self, send: Send) -> Any:
        send(("heard", self.argument))
        cores, gpu = sorted(os.sched_getaffinity(0)), os.environ.get("CUDA_VISIBLE_DEVICES")
        return os.getpid(), cores, gpu

    def _time(self, send: Send) -> Any:
        """What another job gives on the target."""
        return send(OnTarget(make=partial(Act, word=self.argument, place="target")))

    def _ask(self, send: Send) -> Any:
        return [send(Asked(word=word)) for word in self.argument]

    def _alone(self, send: Send) -> list[int]:
        """Counts how often another has counted before, in the middle and behind an own time."""
        counted = self.argument
        send(HoldOthers())
        found = [counted.stat().st_size]
        time.sleep(0.2)
        found.append(counted.stat().st_size)
        send(LetOthersGo())
        until = time.monotonic() + 60
        while counted.stat().st_size == found[-1] and time.monotonic() < until:
            time.sleep(0.01)
        return [*found, counted.stat().st_size]

    def _count(self, send: Send) -> None:
        send("counts")
        while True:
            with self.argument.open("ab") as file:
                file.write(b".")

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

    def _scribble(self, send: Send) -> None:
        os.write(json.loads(sys.argv[2])["jobs"], self.argument)
        time.sleep(600)

    def _leave(self, send: Send) -> None:
        child = os.fork()  # which holds the pipe, too
        if child == 0:
            time.sleep(600)
        send(child)
        os._exit(self.argument)

    def _employ(self, send: Send) -> None:
        send(subprocess.Popen(["sleep", "600"]).pid)
        time.sleep(600)

    def _interrupt(self, send: Send) -> str:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGHUP)
        return "went on"


@dataclass
class ScriptedEngine:
    """An engine that answers each job with the reports of a script."""

    script: Callable[[Any], list[Report]]
    workers: int = 1
    targets: int = 0
    jobs: list[Any] = field(default_factory=list)
    reports: deque[Report] = field(default_factory=deque)
    current: list[int] = field(default_factory=list)
    answers: list[tuple[int, Any]] = field(default_factory=list)
    held: list[int | None] = field(default_factory=list)  # which job runs alone, None: all run
    ends_when_answered: bool = False

    def start(self, job: Job, *, timeout_s: float) -> int:
        self.jobs.append(job)
        self.current.append(job.number)
        self.reports += self.script(job)
        return 0

    def answer(self, number: int, content: Any) -> None:
        self.answers.append((number, content))
        if self.ends_when_answered:
            self.reports.append(Done(number=number, result=number))

    def poll(self, timeout_s: float) -> Sequence[Report]:
        found = list(self.reports)
        self.reports.clear()
        for report in found:
            if not isinstance(report, Sent):
                self.current.remove(report.number)
        return found

    def hold(self, *, but: int | None) -> None:
        self.held.append(but)

    def stop(self) -> None:
        self.current.clear()


def on_target(send: Send) -> Send:
    """A worker's ``send`` where candidates are timed in the worker itself."""

    def sent(payload: Any) -> Any:
        return payload.make(number=7).run(sent) if isinstance(payload, OnTarget) else send(payload)

    return sent


def dashboard(path: Path, page: str) -> Any:
    """What Optuna's dashboard answers about a database."""
    from optuna_dashboard import wsgi

    statuses: list[str] = []
    environ: dict[str, Any] = {}
    setup_testing_defaults(environ)
    environ["PATH_INFO"] = f"/api/{page}"
    app = wsgi(f"sqlite:///{path}")
    answer = json.loads(b"".join(app(environ, lambda status, *_: statuses.append(status))))
    assert statuses == ["200 OK"]
    return answer


def idle_context(settings: Settings, heard: list[events.Event]) -> StudyContext:
    """A context on which nothing runs."""

    def refuse(workers: int) -> Engine:
        raise AssertionError("nothing is run")

    return StudyContext(settings, tell=heard.append, make_engine=refuse)
