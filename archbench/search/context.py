"""What a run has: an engine, who listens, whether it is to stop, and its study once it is open."""

import math
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from types import FrameType
from typing import Any, Self

from archbench.analysis.front import FrontRule
from archbench.analysis.study import open_study
from archbench.analysis.tables import write_tables
from archbench.errors import ArchbenchError, ParkedError, Terminated
from archbench.evaluate.proxy import Proxy
from archbench.evaluate.target import Target
from archbench.measure.machine import capture_environment
from archbench.progress import Progress, what_and_unit
from archbench.search import events, scheduler
from archbench.search.jobs import TrainJob, checkpoint_path, environment_there, weights_path
from archbench.search.machines import Machines
from archbench.search.optuna_view import Ledger
from archbench.search.scheduler import Engine, Place
from archbench.search.settings import Settings
from archbench.study import study_folder
from archbench.study.environment import Environment
from archbench.study.measurement import Conditions
from archbench.study.trial import TrialRecord

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PATIENCE_S = 3.0  # then the work is interrupted wherever it is: a proposal can take longer
_DAY_S = 24 * 3600.0
_BACKUP_EVERY_S = 60.0
_BACKUP_LARGEST_SHARE = 0.02


@dataclass
class Interruption:
    """Whether somebody wants the search to stop: the first signal that said so, or None."""

    signal_number: int | None = None
    _told: SimpleQueue[bool] = field(default_factory=SimpleQueue)  # safe in a signal's handler

    def note(self, number: int) -> None:
        """Notes a signal, which comes again where the work does not answer it in time."""
        self.signal_number = number
        self._told.put(True)

    def answer(self) -> None:
        """Told that the work stops, or is over: the signal does not come again."""
        self._told.put(False)

    def insist(self, thread: int, *, patience_s: float) -> None:
        """Sends a noted signal to a thread again, and once more, until it is answered."""
        is_wanted = self._told.get()
        while is_wanted and self.signal_number is not None:
            try:
                is_wanted = self._told.get(timeout=patience_s)
            except Empty:
                signal.pthread_kill(thread, self.signal_number)


@contextmanager
def interruptions(*, patience_s: float = _PATIENCE_S) -> Iterator[Interruption]:
    """Notes the first interruption instead of acting on it; the next acts as it would have.

    The first comes again where nobody answers it in ``patience_s`` seconds. Signals that were
    ignored stay ignored, as under nohup. Outside the main thread, where Python takes no signals,
    nothing is noted.
    """
    interruption = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return
    handlers = {number: signal.getsignal(number) for number in _SIGNALS}
    before = {n: handler for n, handler in handlers.items() if handler is not signal.SIG_IGN}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def note(number: int, frame: FrameType | None) -> None:
        restore()
        interruption.note(number)

    ours = threading.get_ident()
    threading.Thread(
        target=interruption.insist, args=(ours,), kwargs={"patience_s": patience_s}, daemon=True
    ).start()
    for number in before:
        signal.signal(number, note)
    try:
        yield interruption
    finally:
        restore()
        interruption.answer()


@dataclass(kw_only=True, eq=False)
class Context:
    """What a run of any kind has; workers end with its block, and the first interruption is noted.

    ``progress`` is told how far steps beside the trainings are; by default they are told as events.
    The environment is captured before anything was pinned.
    """

    tell: events.Listener
    progress: Progress | None = None
    make_engine: Callable[[int], Engine] | None = None
    clock: Callable[[], float] = time.monotonic
    environment: Environment = field(default_factory=capture_environment)
    interruption: Interruption = field(default_factory=Interruption)
    workers: int = 1
    device: str = "cpu"  # on which workers train
    _most: int = 1
    _engine: Engine | None = None
    _block: ExitStack = field(default_factory=ExitStack)

    @property
    def threads(self) -> int:
        """Of one worker."""
        return 1

    @property
    def machines(self) -> Machines:
        """Where the workers are."""
        return Machines()

    @property
    def target_device(self) -> str:
        """What networks are timed on."""
        return "cpu"

    def __enter__(self) -> Self:
        self.interruption = self._block.enter_context(interruptions())
        self._logs = Path(self._block.enter_context(tempfile.TemporaryDirectory()))
        self._block.callback(self.stop)
        return self

    def __exit__(self, *raised: object) -> None:
        self._block.close()

    def start(self, workers: int, *, device: str) -> None:
        """Starts so many workers, which train on a kind of device, unless that many are there."""
        self.workers = self._most = workers
        self.device = device
        engine = self._engine_of(workers)
        if self.machines.is_cluster:
            self.workers = engine.workers

    def stop(self) -> None:
        """Ends every worker and what it runs."""
        if self._engine is not None:
            self._engine.stop()
            self._engine = None

    def run(self, source: scheduler.Jobs, *, timeout_s: float) -> None:
        """Runs jobs on all workers; see ``scheduler.run``."""
        engine = self._engine_of(self.workers)
        scheduler.run(source, engine=engine, stop=self._stops, timeout_s=timeout_s)

    def call(
        self,
        function: partial[Any],
        *,
        timeout_s: float = _DAY_S,
        is_alone: bool = False,
        place: Place = "training",
    ) -> Any:
        """What a function of ``jobs`` gives in a worker of a place while no other job runs.

        Where it ``is_alone`` it runs in a new process, with no other worker on the machine.

        Raises:
            ArchbenchError: The function raised it, or it broke.
            KeyboardInterrupt: Somebody wants it to stop.
        """
        if is_alone:
            self.stop()
            self._engine_of(1)
        said: set[str] = set()

        def tell_progress(what: str, done: int, total: int) -> None:
            text, unit = what_and_unit(what)
            if text not in said:
                said.add(text)
                self.say(text)
            if total:
                self.tell(events.StepAdvanced(text=text, unit=unit, done=done, total=total))

        step = scheduler.Step(function, on_progress=self.progress or tell_progress, place=place)
        engine = self._engine or self._engine_of(self.workers)
        scheduler.run(step, engine=engine, stop=self._stops, timeout_s=timeout_s)
        return step.result

    def say(self, text: str) -> None:
        """Tells what is done from now on."""
        self.tell(events.StageChanged(text=text))

    def warn(self, text: str) -> None:
        """Tells what should change what the user does."""
        self.tell(events.Warned(text=text))

    @contextmanager
    def parks(
        self, path: Path, *, noun: str, resume: str, first: str | None = None
    ) -> Iterator[None]:
        """Ends with a ``ParkedError`` where the block, a run of a study, was interrupted.

        ``resume`` says how to go on; ``first`` before what it was stopped if nothing is stored yet.
        An interruption amid an import may come out as another error.
        """
        error: BaseException | None = None
        try:
            yield
        except ArchbenchError:
            raise
        except (Exception, KeyboardInterrupt) as raised:
            if not self._stops() and not isinstance(raised, KeyboardInterrupt):
                raise
            error = raised
            if isinstance(raised, Terminated) and self.interruption.signal_number is None:
                self.interruption.signal_number = signal.SIGTERM  # it came before this run
        if error is not None or self._stops():
            raise self._parked(path, noun=noun, resume=resume, first=first) from error

    def _parked(self, path: Path, *, noun: str, resume: str, first: str | None) -> ParkedError:
        error = partial(ParkedError, signal_number=self.interruption.signal_number)
        if first is not None and not (path / study_folder.DATABASE).is_file():
            told = f"stopped before the first {first}, with nothing stored"
            return error(told, help="type the same command to begin again")
        told = f"the {noun} is parked; what was running goes on from its last checkpoint"
        return error(told, place=str(path), help=resume)

    def _stops(self) -> bool:
        if self.interruption.signal_number is None:
            return False
        self.interruption.answer()
        return True

    def _engine_of(self, workers: int) -> Engine:
        is_cluster = self.machines.is_cluster  # which says by itself how many workers it has now
        if self._engine is None or not (is_cluster or self._engine.workers == workers):
            self.stop()
            number = self._most if is_cluster else workers
            self._engine = (self.make_engine or self._start)(number)
        return self._engine

    def _start(self, workers: int) -> Engine:
        return self.machines.start(
            workers,
            device=self.device,
            target_device=self.target_device,
            threads=self.threads,
            logs=self._logs,
        )


@dataclass(kw_only=True, eq=False)
class StudyContext(Context):
    """What a run of a study has: a header once it is prepared, and what is made from that."""

    settings: Settings = field(kw_only=False)
    header: dict[str, Any] = field(init=False)
    proxy: Proxy = field(init=False)
    target: Target | None = field(init=False)  # None where no latency is wanted
    int8: Conditions | None = field(init=False, default=None)  # None where nothing is quantised
    rule: FrontRule = field(init=False)
    study: Ledger = field(init=False)  # while it is open
    _backup_due: float = -math.inf
    _backed_up: int = 0

    @property
    def threads(self) -> int:
        """Of one worker, those of the target."""
        return self.settings.space.target.threads

    @property
    def machines(self) -> Machines:
        """Where the workers are, as was asked for."""
        return self.settings.machines

    @property
    def target_device(self) -> str:
        """What candidates are timed on."""
        return self.settings.space.target.device

    def locate(self) -> None:
        """Takes the environment of the machine where candidates are timed, if that is another."""
        if self.machines.is_cluster:
            self.start_for(self.settings.search.trials)
            place: Place = "target" if self.settings.timed_limits else "training"
            self.environment = self.call(partial(environment_there), place=place)

    def start_for(self, trials: int) -> None:
        """Starts workers for so many trials."""
        device = self.settings.training_device
        self.start(self.settings.num_workers(left=trials), device=device)

    @property
    def trials(self) -> list[TrialRecord]:
        """Those of the open study, by number."""
        return list(self.study.trials.values())

    @property
    def took_s(self) -> float:
        """Seconds that the trials have taken, summed over workers."""
        return sum(record.seconds for record in self.trials)

    @property
    def checkpoints(self) -> Path:
        """Folder of checkpoints and weights."""
        return self.settings.path / study_folder.CHECKPOINTS

    @property
    def has_both(self) -> bool:
        """Whether a design is a trial of its own in int8 beside that in floats."""
        return len(self.header.get("precisions", ())) > 1

    def training(self, number: int, *, seed: int) -> TrainJob:
        """A training of a trial of the open study, from its last checkpoint."""
        return TrainJob(
            number=number,
            spec=self.study.trials[number].spec,
            proxy=self.proxy,
            seed=seed,
            checkpoint=checkpoint_path(self.checkpoints, number, seed=seed),
            sha256=self.study.checkpoint(number, seed),
            weights=weights_path(self.checkpoints, number, seed=seed),
            int8=self.int8,
        )

    def front(self) -> list[TrialRecord]:
        """The front as it stands, cheapest first."""
        return self.rule.front(self.trials)

    def tell_front(self) -> None:
        """Tells who stands on the front."""
        self.tell(events.FrontChanged(members=tuple(self.front())))

    def back_up_at_times(self) -> None:
        """Puts a backup beside the study where the last is old, for a fiftieth of the time."""
        begin, written = self.clock(), self.study.num_changes
        if begin < self._backup_due or written == self._backed_up:
            return
        self.study.back_up()
        end, self._backed_up = self.clock(), written
        self._backup_due = end + max(_BACKUP_EVERY_S, (end - begin) / _BACKUP_LARGEST_SHARE)

    def write_tables(self) -> None:
        """Writes the derived tables, and shows the front probabilities that stand in them."""
        found = open_study(self.settings.path)
        write_tables(self.settings.path, found.tables())
        self.study.show_probabilities(found.front_probabilities.on_front)

    def close(self) -> None:
        """Ends the workers, and puts the tables and a backup beside the study."""
        self._stops()
        self.stop()
        self.write_tables()
        self.study.back_up()
