"""One loop for everything that runs on an engine: jobs go out, and what comes back is taken in."""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from archbench.errors import MISSING_INPUT, NEGATIVE_RESULT, STORAGE_FAILURE, ArchbenchError
from archbench.progress import Progress
from archbench.study.trial import Failure

Send = Callable[[Any], Any]
"""Hands something over; gives the owner's answer to a ``Question``, and None to all else."""

KILLED = "its worker was killed from outside; it goes on from its last checkpoint"

_LOOK_EVERY_S = 0.25
_NOT_THE_JOBS = (MISSING_INPUT, STORAGE_FAILURE)


class StageError(ArchbenchError):
    """A step beside the trials that broke: its worker died, hung or met a bug."""

    exit_code = NEGATIVE_RESULT


@dataclass(frozen=True, kw_only=True)
class Question:
    """What a job hands over to wait for an answer; it goes on as soon as the owner has written."""


@dataclass(frozen=True, kw_only=True)
class HoldOthers(Question):
    """Asks to run alone: answered once every other worker is held up.

    They go on when the job says ``LetOthersGo``, or ends. Of several that ask, one runs at a time.
    """


@dataclass(frozen=True, kw_only=True)
class LetOthersGo:
    """Says that a job which held up the others need not run alone any more."""


@dataclass(frozen=True, kw_only=True)
class StepProgress:
    """How far a job is, as ``archbench.progress.Progress`` has it."""

    what: str
    done: int
    total: int


def progress_to(send: Send) -> Progress:
    """What tells the owner how far a job is."""
    return lambda what, done, total: send(StepProgress(what=what, done=done, total=total))


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
    """A job ended without a result."""

    number: int
    failure: Failure
    error: ArchbenchError | None = None  # what it raised, where that is one of ours
    from_outside: bool = False  # its worker was killed by somebody else: worth another try


Report = Sent | Done | Broken

READY = "ready"
"""What a worker says to its engine once it can take a job."""


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

    def hold(self, *, but: int) -> None:
        """Holds up every worker but that of a running job; the time of their jobs stands still."""

    def release(self) -> None:
        """Lets all workers go on."""

    def stop(self) -> None:
        """Ends every worker at once, and what they run with them."""


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

    A job whose worker somebody killed is started once more, and one that takes longer than
    ``timeout_s`` is ended. Jobs that run at the same time have different numbers. The engine runs
    nothing else.

    Raises:
        KeyboardInterrupt: Somebody wants it to stop; what runs is left as it stands.
        ArchbenchError: A job met an error not its own, such as lost data, or the work raised it.
    """
    jobs: dict[int, Job] = {}
    killed: set[int] = set()
    again: deque[Job] = deque()
    alone = _Alone(engine)
    while True:
        while not alone.queue and len(engine.running) < engine.workers:
            if stop():
                raise KeyboardInterrupt
            job = again.popleft() if again else source.next_job()
            if job is None:
                break
            jobs[job.number] = job
            source.started(job, worker=engine.start(job, timeout_s=timeout_s))
        if not engine.running:
            return
        for report in engine.poll(_LOOK_EVERY_S):
            if not isinstance(report, Sent):
                alone.leave(report.number)
            match report:
                case Broken(error=error) if error and error.exit_code in _NOT_THE_JOBS:
                    raise error  # no other job would fare better; this one goes on when resumed
                case Broken(number=number, from_outside=True) if number not in killed:
                    killed.add(number)
                    again.append(source.restarted(jobs[number]))
                case Sent(number=number, payload=HoldOthers()):
                    alone.enter(number)
                case Sent(number=number, payload=LetOthersGo()):
                    alone.leave(number)
                case Sent(number=number, payload=Question()):
                    engine.answer(number, source.take(report))
                case _:
                    source.take(report)
        source.tick()
        if stop():
            raise KeyboardInterrupt


class _Alone:
    """Which jobs ask to run alone, the first of which does."""

    def __init__(self, engine: Engine) -> None:
        self.queue: deque[int] = deque()
        self._engine = engine

    def enter(self, number: int) -> None:
        self.queue.append(number)
        if self.queue[0] == number:
            self._begin()

    def leave(self, number: int) -> None:
        if number not in self.queue:
            return
        was_alone = self.queue[0] == number
        self.queue.remove(number)
        if was_alone:
            self._engine.release()
            self._begin()

    def _begin(self) -> None:
        if self.queue:
            self._engine.hold(but=self.queue[0])
            self._engine.answer(self.queue[0], None)


@dataclass(frozen=True, kw_only=True)
class Call:
    """A step beside the trials: a function of ``jobs``, with all its arguments but ``send``."""

    function: partial[Any]
    number: int = 0

    def run(self, send: Send) -> Any:
        """What the function gives."""
        return self.function(send)


class Step(Jobs):
    """A function of ``jobs`` that runs in a worker, while nothing else does, and its result."""

    def __init__(
        self, function: partial[Any], *, on_progress: Callable[[str, int, int], None]
    ) -> None:
        self.result: Any = None
        self._todo = [Call(function=function)]
        self._name = function.func.__name__.replace("_", " ")
        self._on_progress = on_progress

    def next_job(self) -> Job | None:
        """The function, once."""
        return self._todo.pop() if self._todo else None

    def take(self, report: Report) -> None:
        """Tells how far it is, keeps the result, or raises what the function did."""
        match report:
            case Sent(payload=StepProgress(what=what, done=done, total=total)):
                self._on_progress(what, done, total)
            case Done(result=result):
                self.result = result
            case Broken(failure=failure, error=error):
                raise error or StageError(
                    f"{self._name}: {failure.kind}: {failure.message}",
                    help=failure.traceback or None,
                )
