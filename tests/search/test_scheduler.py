"""One loop runs every kind of work: it tries again, gives up and stops by one rule."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest

from archbench.errors import MissingError
from archbench.search.interruption import Interruption
from archbench.search.job import Broken, Done, Job, Question, Report, Sent
from archbench.search.jobs import prepare_data
from archbench.search.scheduler import Batch, Jobs, StageError, finish, run
from archbench.study.trial import Failure
from tests.search.jobs import Act

_FAILURE = Failure(kind="crash", message="the worker process ended")


@dataclass
class Replay:
    """An engine that gives the reports of a list for each start of a job."""

    reports: dict[int, list[list[Report]]]
    workers: int = 1
    started: list[int] = field(default_factory=list)
    answers: list[tuple[int, Any]] = field(default_factory=list)
    _busy: dict[int, deque[Report]] = field(default_factory=dict)

    @property
    def running(self) -> tuple[int, ...]:
        return tuple(self._busy)

    def start(self, job: Job, *, timeout_s: float) -> int:
        self.started.append(job.number)
        self._busy[job.number] = deque(self.reports[job.number].pop(0))
        return len(self._busy) - 1

    def answer(self, number: int, content: Any) -> None:
        self.answers.append((number, content))

    def poll(self, timeout_s: float) -> Sequence[Report]:
        found = [reports.popleft() for reports in self._busy.values()]
        for report in found:
            if not isinstance(report, Sent):
                del self._busy[report.number]
        return found

    def stop(self) -> None:
        self._busy.clear()


def _done(number: int) -> list[Report]:
    return [Done(number=number, result=number)]


def _killed(number: int) -> list[Report]:
    return [Broken(number=number, failure=_FAILURE, from_outside=True)]


def _run_all(engine: Replay, *, interruption: Interruption | None = None) -> list[Report]:
    heard: list[Report] = []
    jobs = [Act(number, "answer") for number in engine.reports]
    interruption = interruption or Interruption()
    batch = Batch(jobs, heard=heard.append)
    run(batch, engine=engine, interruption=interruption, timeout_s=1.0)
    return heard


def test_as_many_jobs_run_as_there_are_workers() -> None:
    engine = Replay({number: [_done(number)] for number in range(5)}, workers=2)
    assert _run_all(engine) == [Done(number=number, result=number) for number in range(5)]


def test_a_job_whose_worker_was_killed_is_started_once_more() -> None:
    engine = Replay({0: [_killed(0), _done(0)], 1: [_killed(1), _killed(1)]})
    heard = _run_all(engine)
    assert engine.started == [0, 0, 1, 1]
    assert [type(report) for report in heard] == [Done, Broken]


def test_lost_data_end_the_run_whatever_else_is_to_do() -> None:
    error = MissingError("the data are gone")
    engine = Replay({0: [[Broken(number=0, failure=_FAILURE, error=error)]], 1: [_done(1)]})
    with pytest.raises(MissingError, match="the data are gone"):
        _run_all(engine)
    assert engine.started == [0]


def test_an_interruption_stops_it_and_starts_nothing_more() -> None:
    interruption = Interruption()
    interruption.signal_number = 2
    engine = Replay({0: [_done(0)], 1: [_done(1)]})
    with pytest.raises(KeyboardInterrupt):
        _run_all(engine, interruption=interruption)
    assert engine.started == [0]


def test_the_result_of_one_function_or_why_there_is_none() -> None:
    engine = Replay({0: [_done(0), [Broken(number=0, failure=_FAILURE)]]})
    step = partial(prepare_data, name="unused")
    options: dict[str, Any] = {"interruption": Interruption(), "on_progress": print}
    assert finish(engine, step, timeout_s=1.0, **options) == 0
    with pytest.raises(StageError, match="prepare data: crash: the worker process ended"):
        finish(engine, step, timeout_s=1.0, **options)


class Asks(Jobs):
    """One job that asks."""

    todo = 1

    def next_job(self) -> Job | None:
        self.todo -= 1
        return Act(3, "ask") if self.todo >= 0 else None

    def take(self, report: Report) -> Any:
        return "yes" if isinstance(report, Sent) else None


def test_a_question_is_answered_by_the_work() -> None:
    engine = Replay({3: [[Sent(number=3, payload=Question()), Done(number=3, result=None)]]})
    run(Asks(), engine=engine, interruption=Interruption(), timeout_s=1.0)
    assert engine.answers == [(3, "yes")]
