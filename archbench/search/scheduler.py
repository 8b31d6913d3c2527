"""One loop for everything that runs on an engine: jobs go out, and what comes back is taken in."""

from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from typing import Any, Literal, Protocol

from archbench.errors import MISSING_INPUT, NEGATIVE_RESULT, STORAGE_FAILURE, ArchbenchError
from archbench.progress import Progress
from archbench.study.trial import Failure

Send = Callable[[Any], Any]
"""Hands something over; gives the owner's answer to a ``Question``, and None to all else."""

Place = Literal["training", "target", "owner"]
"""Where a job can run: where candidates are trained, where they are timed, or where data lie."""

KILLED = "its worker was killed from outside; it goes on from its last checkpoint"

_LOOK_EVERY_S = 0.25
_NOT_THE_JOBS = (MISSING_INPUT, STORAGE_FAILURE)
_MOST_KILLS, _MOST_LOSSES = 1, 20


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
class OnTarget(Question):
    """Asks for what a job gives where candidates are timed; ``make`` takes the job's number.

    The answer is the ``Done`` or ``Broken`` of that job.
    """

    make: "Callable[..., Job]"


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

    @property
    def place(self) -> Place:
        """Where it is to run."""

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
    is_lost: bool = False  # its machine went away: worth many tries


Report = Sent | Done | Broken

READY = "ready"
"""What a worker says to its engine once it can take a job."""


class Engine(Protocol):
    """Where jobs run. Every method is called from the owner's main thread."""

    @property
    def workers(self) -> int:
        """Jobs that can run at a time."""

    @property
    def targets(self) -> int:
        """Jobs on the target that can run beside them; 0 where workers are on it themselves."""

    def start(self, job: Job, *, timeout_s: float) -> int:
        """Hands the job to an idle worker of its place and gives the worker's index."""

    def answer(self, number: int, content: Any) -> None:
        """Answers the question of a running job; nothing where it has died meanwhile."""

    def poll(self, timeout_s: float) -> Sequence[Report]:
        """What happened, after waiting for it no longer than ``timeout_s``."""

    def hold(self, *, but: int | None) -> None:
        """Holds up what would disturb a running job; the time of their jobs stands still.

        None lets all go on.
        """

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

    A job whose worker somebody killed is started once more, one whose machine went away up to 20
    times, and one that takes longer than ``timeout_s`` is ended. Jobs that run at the same time
    have different numbers, from 0. The engine runs nothing else.

    Raises:
        KeyboardInterrupt: Somebody wants it to stop; what runs is left as it stands.
        ArchbenchError: A job met an error not its own, such as lost data, or the work raised it.
    """
    work = _Work(source, engine=engine, timeout_s=timeout_s)
    while True:
        while work.has_room():
            if stop():
                raise KeyboardInterrupt
            if not work.start_next():
                break
        if not work.running:
            return
        for report in engine.poll(_LOOK_EVERY_S):
            work.take(report)
        source.tick()
        if stop():
            raise KeyboardInterrupt


class _Work:
    """The jobs that run, those that are to run again, and what they ask for on the target.

    A job that another one asked for has a number below 0; ``_askers`` says whose it is, None once
    that one has ended.
    """

    def __init__(self, source: Jobs, *, engine: Engine, timeout_s: float) -> None:
        self.running: dict[int, Job] = {}
        self._source, self._engine, self._timeout_s = source, engine, timeout_s
        self._again: deque[Job] = deque()
        self._deaths = Counter[tuple[int, bool]]()
        self._asked: deque[Job] = deque()
        self._askers: dict[int, int | None] = {}
        self._numbers = count(-1, -1)
        self._alone = _Alone(engine)

    def has_room(self) -> bool:
        """Whether a job could be started now."""
        has_worker = len(self.running) - self._on_target < self._engine.workers
        return not self._alone.queue and (has_worker or self._may_time)

    def start_next(self) -> bool:
        """Starts what is asked for on the target, else a job that is worth another try or is new.

        False where there is none.
        """
        if self._may_time:
            self._start(self._asked.popleft())
            return True
        job = self._again.popleft() if self._again else self._source.next_job()
        if job is not None:
            self._source.started(job, worker=self._start(job))
        return job is not None

    def take(self, report: Report) -> None:
        """Takes in a report, and answers what it asks."""
        number = report.number
        asker = self._askers.get(number, number)
        job = self.running[number]
        if not isinstance(report, Sent):
            self._ended(number)
        match report:
            case Broken(error=error) if error and error.exit_code in _NOT_THE_JOBS:
                raise error  # no other job would fare better; this one goes on when resumed
            case Broken() if self._is_worth_another_try(report):
                if number in self._askers:
                    self._asked.append(job)
                else:
                    self._again.append(self._source.restarted(job))
            case Sent(payload=HoldOthers()):
                self._alone.enter(number)
            case Sent(payload=LetOthersGo()):
                self._alone.leave(number)
            case Sent(payload=OnTarget(make=make)):
                self._asked.append(asked := make(number=next(self._numbers)))
                self._askers[asked.number] = number
            case Done() | Broken() if number in self._askers:
                del self._askers[number]
                if asker is not None:
                    self._engine.answer(asker, report)
            case Sent(payload=Question()):
                self._engine.answer(number, self._source.take(report))
            case _ if asker is not None:
                self._source.take(replace(report, number=asker))

    @property
    def _on_target(self) -> int:
        return sum(number in self._askers for number in self.running)

    @property
    def _may_time(self) -> bool:
        return bool(self._asked) and self._on_target < self._engine.targets

    def _start(self, job: Job) -> int:
        self.running[job.number] = job
        return self._engine.start(job, timeout_s=self._timeout_s)

    def _ended(self, number: int) -> None:
        self._alone.leave(number)
        del self.running[number]
        for asked, asker in self._askers.items():
            if asker == number:
                self._askers[asked] = None

    def _is_worth_another_try(self, report: Broken) -> bool:
        if not (report.from_outside or report.is_lost):
            return False
        if report.number in self._askers and self._askers[report.number] is None:
            return False
        self._deaths[death := (report.number, report.is_lost)] += 1
        return self._deaths[death] <= (_MOST_LOSSES if report.is_lost else _MOST_KILLS)


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
            self._engine.hold(but=None)
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
    place: Place = "training"

    def run(self, send: Send) -> Any:
        """What the function gives."""
        return self.function(send)


class Step(Jobs):
    """A function of ``jobs`` that runs in a worker, while nothing else does, and its result."""

    def __init__(
        self,
        function: partial[Any],
        *,
        on_progress: Callable[[str, int, int], None],
        place: Place = "training",
    ) -> None:
        self.result: Any = None
        self._todo = [Call(function=function, place=place)]
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
