"""One loop runs every kind of work: it tries again, gives up and stops by one rule."""

from functools import partial
from typing import Any

import pytest

from archbench.search.preparation_jobs import prepare_data
from archbench.search.scheduler import (
    Broken,
    Done,
    HoldOthers,
    Job,
    Jobs,
    LetOthersGo,
    OnTarget,
    Report,
    Sent,
    StageError,
    Step,
    run,
)
from archbench.study.trial import Failure
from tests.search.jobs import Act, ScriptedEngine

_FAILURE = Failure(kind="crash", message="the worker process ended")


def _engine(reports: dict[int, list[list[Report]]], *, workers: int = 1) -> ScriptedEngine:
    """Brings the reports of a list for each start of a job."""
    return ScriptedEngine(lambda job: reports[job.number].pop(0), workers=workers)


def _started(engine: ScriptedEngine) -> list[int]:
    return [job.number for job in engine.jobs]


def _done(number: int) -> list[Report]:
    return [Done(number=number, result=number)]


def _killed(number: int) -> list[Report]:
    return [Broken(number=number, failure=_FAILURE, from_outside=True)]


class Batch(Jobs):
    """Some jobs, whose reports are kept."""

    def __init__(self, count: int) -> None:
        self.todo = [Act(number, "answer") for number in range(count)]
        self.heard: list[Report] = []

    def next_job(self) -> Job | None:
        return self.todo.pop(0) if self.todo else None

    def take(self, report: Report) -> None:
        self.heard.append(report)


def _run(engine: ScriptedEngine, *, jobs: int = 2, stops: bool = False) -> list[Report]:
    batch = Batch(jobs)
    run(batch, engine=engine, stop=lambda: stops and bool(engine.jobs), timeout_s=1.0)
    return batch.heard


def test_as_many_jobs_run_as_there_are_workers() -> None:
    engine = _engine({number: [_done(number)] for number in range(5)}, workers=2)
    assert _run(engine, jobs=5) == [Done(number=number, result=number) for number in range(5)]


def test_a_job_whose_worker_was_killed_is_started_once_more() -> None:
    engine = _engine({0: [_killed(0), _done(0)], 1: [_killed(1), _killed(1)]})
    heard = _run(engine)
    assert _started(engine) == [0, 0, 1, 1]
    assert [type(report) for report in heard] == [Done, Broken]


@pytest.mark.parametrize("end", ["says so", "ends", "breaks", "is killed"])
def test_jobs_that_ask_run_alone_one_after_another(end: str) -> None:
    first: list[Report] = [Sent(number=0, payload=HoldOthers())]
    middle: list[Report] = {
        "says so": [Sent(number=0, payload=LetOthersGo())],
        "ends": _done(0),
        "breaks": [Broken(number=0, failure=_FAILURE)],
        "is killed": _killed(0),
    }[end]
    second: list[Report] = [Sent(number=1, payload=HoldOthers()), *middle]
    third: list[Report] = [Sent(number=1, payload=LetOthersGo())] * 2
    last = {"says so": _done(0), "is killed": []}.get(end, [])
    engine = _engine({0: [first, _done(0)], 1: [[*second, *third, *last, *_done(1)]]}, workers=2)
    heard = _run(engine)
    assert engine.held == [0, None, 1, None]
    assert engine.answers == [(0, None), (1, None)]
    assert {report.number for report in heard if isinstance(report, Done)} >= {1}


def test_nothing_is_started_beside_a_job_that_runs_alone() -> None:
    asks = Sent(number=0, payload=HoldOthers())
    engine = _engine({0: [[asks]], 1: [_done(1)]}, workers=2)
    batch = Batch(1)

    def starts_none() -> bool:
        if engine.held and not batch.todo and len(engine.jobs) == 1:
            batch.todo.append(Act(1, "answer"))
            return False
        return bool(engine.held)

    with pytest.raises(KeyboardInterrupt):
        run(batch, engine=engine, stop=starts_none, timeout_s=1.0)
    assert _started(engine) == [0]


def _asks(number: int) -> Sent:
    return Sent(number=number, payload=OnTarget(make=partial(Act, word="answer", place="target")))


def test_what_jobs_ask_on_the_target_runs_beside_them_one_by_one_and_is_answered() -> None:
    engine = _engine(
        {0: [[_asks(0)]], 1: [[_asks(1)]], -1: [_done(-1)], -2: [_done(-2)]}, workers=2
    )
    engine.targets = 1
    engine.ends_when_answered = True
    heard = _run(engine)
    assert _started(engine) == [0, 1, -1, -2]
    assert engine.answers == [(0, Done(number=-1, result=-1)), (1, Done(number=-2, result=-2))]
    assert [report.number for report in heard] == [0, 1], "the target's own ends are not the work's"


def test_a_target_that_went_away_is_asked_again_and_its_fault_is_told() -> None:
    lost: list[Report] = [Broken(number=-1, failure=_FAILURE, is_lost=True)]
    fault: list[Report] = [Broken(number=-1, failure=_FAILURE)]
    engine = _engine({0: [[_asks(0)]], -1: [lost, lost, fault]})
    engine.targets = 1
    engine.ends_when_answered = True
    _run(engine, jobs=1)
    assert _started(engine) == [0, -1, -1, -1]
    assert engine.answers == [(0, fault[0])]


def test_nobody_is_answered_who_has_died_and_asks_again() -> None:
    killed, second = _killed(0), [_asks(0)]
    engine = _engine({0: [[_asks(0), *killed], second], -1: [_done(-1)], -2: [_done(-2)]})
    engine.targets = 1
    engine.ends_when_answered = True
    _run(engine, jobs=1)
    assert engine.answers == [(0, Done(number=-2, result=-2))]


def test_a_job_whose_machine_went_away_is_started_again_and_again() -> None:
    lost: list[Report] = [Broken(number=0, failure=_FAILURE, is_lost=True)]
    engine = _engine({0: [lost] * 20 + [_done(0)]})
    assert _run(engine, jobs=1) == _done(0)
    engine = _engine({0: [lost] * 21})
    assert [type(report) for report in _run(engine, jobs=1)] == [Broken]


def test_an_interruption_stops_it_and_starts_nothing_more() -> None:
    engine = _engine({0: [_done(0)], 1: [_done(1)]})
    with pytest.raises(KeyboardInterrupt):
        _run(engine, stops=True)
    assert _started(engine) == [0]


def test_the_result_of_one_function_or_why_there_is_none() -> None:
    engine = _engine({0: [_done(0), [Broken(number=0, failure=_FAILURE)]]})
    step = partial(prepare_data, name="unused")
    options: dict[str, Any] = {"engine": engine, "stop": lambda: False, "timeout_s": 1.0}
    first = Step(step, on_progress=print)
    run(first, **options)
    assert first.result == 0
    with pytest.raises(StageError, match="prepare data: crash: the worker process ended"):
        run(Step(step, on_progress=print), **options)
