"""One loop for everything that runs on an engine: jobs go out, and what comes back is taken in."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from archbench.errors import MISSING_INPUT, NEGATIVE_RESULT, STORAGE_FAILURE, ArchbenchError
from archbench.search.job import Broken, Done, Engine, Job, Question, Report, Sent
from archbench.search.jobs import Call, Progress

_LOOK_EVERY_S = 0.25
_NOT_THE_JOBS = (MISSING_INPUT, STORAGE_FAILURE)


class StageError(ArchbenchError):
    """A step beside the trials that broke: its worker died, hung or met a bug."""

    exit_code = NEGATIVE_RESULT


class Jobs(ABC):
    """Where jobs come from and where their reports go."""

    @abstractmethod
    def next_job(self) -> Job | None:
        """The next job to start; None where there is nothing to start now."""

    @abstractmethod
    def take(self, report: Report) -> Any:
        """Takes in a report; what it gives for a question is the worker's answer."""

    def restarted(self, job: Job) -> Job:
        """The job in place of one whose worker was killed from outside for the first time."""
        return job

    def started(self, job: Job, *, worker: int) -> None:  # noqa: B027
        """Told that a worker has got a job."""

    def tick(self) -> None:  # noqa: B027
        """Called a few times a second while jobs run."""


def run(source: Jobs, *, engine: Engine, stop: Callable[[], bool], timeout_s: float) -> None:
    """Runs jobs, as many at a time as the engine has workers, until there is none to start.

    A job whose worker somebody killed is started once more. Numbers of jobs that run at the same
    time are different.

    Args:
        source: Gives the jobs and takes their reports.
        engine: Runs nothing else.
        stop: Whether somebody wants it to stop.
        timeout_s: Seconds after which a job is ended.

    Raises:
        KeyboardInterrupt: Somebody wants it to stop; what runs is left as it stands.
        ArchbenchError: A job met an error that is not its own, for example lost data or storage,
            or the work raised it.
    """
    jobs: dict[int, Job] = {}
    killed: set[int] = set()
    again: deque[Job] = deque()
    while True:
        while len(engine.running) < engine.workers:
            job = again.popleft() if again else source.next_job()
            if job is None:
                break
            jobs[job.number] = job
            source.started(job, worker=engine.start(job, timeout_s=timeout_s))
        if not engine.running:
            return
        for report in engine.poll(_LOOK_EVERY_S):
            match report:
                case Broken(error=error) if error and error.exit_code in _NOT_THE_JOBS:
                    raise error  # no other job would fare better; this one goes on when resumed
                case Broken(number=number, from_outside=True) if number not in killed:
                    killed.add(number)
                    again.append(source.restarted(jobs[number]))
                case Sent(number=number, payload=Question()):
                    engine.answer(number, source.take(report))
                case _:
                    source.take(report)
        source.tick()
        if stop():
            raise KeyboardInterrupt


def finish(
    engine: Engine,
    function: partial[Any],
    *,
    timeout_s: float,
    stop: Callable[[], bool],
    on_progress: Callable[[str, int, int], None],
) -> Any:
    """What a function of ``jobs`` gives in a worker, on an engine that runs nothing else.

    Raises:
        ArchbenchError: The function raised it, or it broke.
        KeyboardInterrupt: Somebody wants it to stop.
    """
    step = _Step(function, on_progress=on_progress)
    run(step, engine=engine, stop=stop, timeout_s=timeout_s)
    return step.result


class _Step(Jobs):
    def __init__(
        self, function: partial[Any], *, on_progress: Callable[[str, int, int], None]
    ) -> None:
        self.result: Any = None
        self._job: Call | None = Call(function=function)
        self._name = function.func.__name__.replace("_", " ")
        self._on_progress = on_progress

    def next_job(self) -> Job | None:
        job, self._job = self._job, None
        return job

    def take(self, report: Report) -> None:
        match report:
            case Sent(payload=Progress(what=what, done=done, total=total)):
                self._on_progress(what, done, total)
            case Done(result=result):
                self.result = result
            case Broken(failure=failure, error=error):
                raise error or StageError(
                    f"{self._name}: {failure.kind}: {failure.message}",
                    help=failure.traceback or None,
                )
