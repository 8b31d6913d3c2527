"""Trainings that are planned one by one: stored whole or not at all, run seed by seed, resumed."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from archbench.errors import StorageError, UsageError
from archbench.evaluate.price import PLAN_BUDGET_S, Price
from archbench.evaluate.proxy import Proxy
from archbench.progress import Progress
from archbench.search import events
from archbench.search.context import Context
from archbench.search.data_facts import known_data, teacher_facts
from archbench.search.jobs import Note, RungReached, TrainJob, checkpoint_path
from archbench.search.opening import refuse_other_environment
from archbench.search.preparation_jobs import price_trial
from archbench.search.scheduler import Broken, Done, Jobs, Report, Sent
from archbench.study.database import Store
from archbench.study.planned import (
    PlannedKind,
    is_final,
    pending,
    read_planned,
    resume_planned,
)
from archbench.study.study_folder import (
    CHECKPOINTS,
    DATABASE,
    create_folder,
    ownership,
    require_writable,
)
from archbench.study.trial import Snapshot, TrainingRecord, TrialRecord
from archbench.train.checkpoint import remove_checkpoints

_SLOWEST = 8.0  # times what a training was found to take
_LEAST_TIMEOUT_S = 600.0
_ANOTHER = "another with another --name"

OnNote = Callable[[str], None]


def told_in_words(on_note: OnNote | None) -> events.Listener:
    """A listener that hands on what is said in words."""

    def listen(event: events.Event) -> None:
        if on_note is not None and isinstance(event, events.StageChanged | events.Warned):
            on_note(event.text)

    return listen


@dataclass(kw_only=True)
class PlannedStudy(Jobs):
    """A certificate or an ablation: planned, stored, trained to its end, and gone on with.

    By plan it takes at most ``max_seconds``, where there are any. Progress counts trainings, or
    where it ``counts_epochs`` the epochs at which points are taken, and then each end is told.
    ``study`` is its database, while it is open. ``put_back`` says what to do about data that are
    gone or others.
    """

    context: Context
    path: Path
    download: bool
    progress: Progress
    workers: int | None
    max_seconds: float | None = None
    kind: ClassVar[PlannedKind]
    counts_epochs: ClassVar[bool] = False
    put_back: ClassVar[str] = "put them back as they were"
    study: Store = field(init=False)

    @abstractmethod
    def plan(self, *, dry_run: bool) -> tuple[dict[str, Any], list[TrialRecord]]:
        """Header and trials of what fits into the time, once data and machine were tried.

        Raises:
            ArchbenchError: Data or device are missing, or not even the least fits.
        """

    @abstractmethod
    def resumed(self, found: Snapshot) -> Snapshot:
        """What it holds once more of it is planned, where that is asked for.

        Raises:
            UsageError: It is not what was begun.
        """

    def data_of(self, found: Snapshot) -> str:
        """Under which name its data are to be found now."""
        return str(found.header["proxy"]["data"])

    @abstractmethod
    def proxy_of(self, found: Snapshot, trial: TrialRecord, training: TrainingRecord) -> Proxy:
        """What a training of a trial is taken on."""

    @abstractmethod
    def finish(self) -> None:
        """Does all that is lacking.

        Raises:
            KeyboardInterrupt: Somebody wants it to stop; what is known is stored.
            ArchbenchError: Data are gone, or the study cannot be written.
        """

    def start(self, *, device: str, left: int) -> None:
        """Starts workers for so many trainings."""
        num_workers = partial(self.context.machines.num_workers, threads=self.context.threads)
        self.context.start(num_workers(self.workers, device=device, left=left), device=device)

    def is_timed(self, found: Snapshot) -> bool:
        """Whether every latency that is wanted has been taken."""
        return True

    def run(self, *, resume: bool, dry_run: bool, command: str) -> None:
        """Begins it and trains all, or goes on; in a dry run it is planned alone.

        Raises:
            ParkedError: It was stopped from outside; the help says how to go on.
            ArchbenchError: It cannot be planned, stored or trained.
        """
        resume_it = f"resume it with: {resume_planned(self.path, kind=self.kind)}"
        with self.context.parks(self.path, noun=self.kind, first="training", resume=resume_it):
            if resume:
                self._go_on()
                return
            if not dry_run:
                _refuse_existing(self.path, kind=self.kind)
                require_writable(self.path.parent)
            header, trials = self.plan(dry_run=dry_run)
            if not dry_run:
                self.create(header, trials, command=command)
                with opened(self.path, kind=self.kind) as self.study:
                    self.finish()

    def create(
        self, header: Mapping[str, Any], trials: Iterable[TrialRecord], *, command: str
    ) -> None:
        """Makes the folder with the trainings planned; it appears whole or not at all.

        Raises:
            StorageError: It cannot be written, or something lies there.
        """
        about = {
            "kind": self.kind,
            "name": self.path.name,
            "created": datetime.now().astimezone().isoformat(timespec="seconds"),
            "command": command or resume_planned(self.path, kind=self.kind),
            "environment": asdict(self.context.environment),
        }
        create_folder(
            self.path.parent,
            self.path.name,
            fill=lambda folder: _write(folder / DATABASE, {**about, **header}, trials),
            refuse=partial(_refuse_existing, kind=self.kind),
        )

    def _go_on(self) -> None:
        with opened(self.path, kind=self.kind) as self.study:
            found = self.resumed(self.study.snapshot())
            kept, left, data = found.header["proxy"], pending(found), self.data_of(found)
            if left or not self.is_timed(found) or data != kept["data"]:
                self.start(device=kept["device"], left=max(len(left), 1))
                self._check_data(data)
            self.finish()

    def refuse_another(
        self, found: Snapshot, *, begun: Mapping[str, Any], now: Mapping[str, Any]
    ) -> None:
        """Nothing, when a study is gone on with as and where it was begun.

        What is asked for ``now`` has the keys of what it was begun with; None is nothing said.

        Raises:
            UsageError: Something else is asked for, or machine or software are others.
        """
        differing = [key for key in begun if now.get(key) not in (None, begun[key])]
        if differing:
            raise UsageError(
                f"it was begun with other {', '.join(differing)}",
                place=str(self.path),
                help=f"resume it as it was begun: {resume_planned(self.path, kind=self.kind)}; or "
                f"begin {_ANOTHER}",
            )
        refuse_other_environment(found.header, self.context.environment, another=_ANOTHER)

    def _check_data(self, name: str) -> None:
        """Prepares data and teachers again, where the cache is gone, and refuses other ones."""
        kept = known_data(
            self.context,
            name,
            study=self.study,
            path=self.path,
            download=self.download,
            another=_ANOTHER,
            put_back=self.put_back,
        )
        found = self.study.snapshot()
        proxies = (self.proxy_of(found, *one) for one in pending(found))
        by_teacher = {proxy.recipe.teacher: proxy for proxy in proxies}
        teachers = [teacher_facts(self.context, p).get("teacher") for p in by_teacher.values()]
        known = {*kept.get("teachers", ()), kept.get("teacher", {}).get("sha256")}
        if not known.issuperset(facts["sha256"] for facts in teachers if facts):
            raise UsageError(
                "the teacher has changed since it was begun",
                place=name,
                help=f"put it back as it was, or begin {_ANOTHER}",
            )

    def priced(
        self,
        specs: Sequence[Mapping[str, Any]],
        *,
        proxy: Proxy,
        plan_budget_s: float = PLAN_BUDGET_S,
    ) -> Price:
        """How steps are computed and what one training takes, tried on some networks."""
        self.progress("estimating the time of a training", 0, 1)
        proxy = replace(proxy, num_seeds=1)
        function = partial(price_trial, specs=specs, proxy=proxy, plan_budget_s=plan_budget_s)
        price: Price = self.context.call(function)
        return price

    def train(self, found: Snapshot, *, names: Mapping[int, str], seconds: float) -> None:
        """Trains all that is pending, where the longest training was found to take so long."""
        self._names = names
        self._pending = dict(enumerate(pending(found)))
        self._jobs = [
            TrainJob(
                number=number,
                spec=trial.spec,
                proxy=self.proxy_of(found, trial, training),
                seed=training.seed,
                checkpoint=checkpoint_path(
                    self.path / CHECKPOINTS, trial.number, seed=training.seed
                ),
            )
            for number, (trial, training) in self._pending.items()
        ]
        self._todo = iter(self._jobs)
        self._total = sum(len(trial.trainings) for trial in found.trials)
        self._over = self._total - len(self._jobs)
        self._done = 0
        if self._jobs:
            self._tell(0)
            self.context.run(self, timeout_s=max(_LEAST_TIMEOUT_S, _SLOWEST * seconds))

    def next_job(self) -> TrainJob | None:
        """The next training."""
        return next(self._todo, None)

    def take(self, report: Report) -> None:
        """Stores what a worker reports, then tells it."""
        trial, training = self._pending[report.number]
        name, say = f"{self._names[trial.number]}, seed {training.seed}", self.context.say
        match report:
            case Sent(payload=RungReached(point=point)):
                with self.study.transaction():
                    self.study.add_point(trial.number, point)
                    self._store(report.number, epoch=point.epoch)
                self._tell(self.counts_epochs)
            case Sent(payload=Note(text=text)):
                say(f"{name}: {text}")
            case Done(result=accuracy):
                self._store(report.number, accuracy=accuracy, failure=None)
                remove_checkpoints(self._jobs[report.number].checkpoint)
                if self.counts_epochs:
                    say(f"{self._over} of {self._total}: {name}: {100 * accuracy:.1f} %")
                self._tell(not self.counts_epochs)
            case Broken(failure=failure):
                self._store(report.number, failure=replace(failure, traceback=""))
                say(f"{name} failed ({failure.kind}): {failure.message}")
                self._tell(not self.counts_epochs)

    def _store(self, number: int, **changes: Any) -> None:
        trial, training = self._pending[number]
        training = replace(training, **changes)
        self.study.set_training(trial.number, training)
        self._pending[number] = trial, training
        self._over += is_final(training)

    def _tell(self, more: int) -> None:
        self._done += more
        rungs = (len(job.proxy.recipe.rungs) for job in self._jobs)
        steps = sum(rungs) if self.counts_epochs else len(self._jobs)
        self.progress(f"training {len(self._jobs)} times", min(self._done, steps), steps)


def _refuse_existing(path: Path, *, kind: PlannedKind) -> None:
    """Refuses a path where something lies, and says how to go on with it."""
    if path.exists():
        raise StorageError(
            f"{path.name} exists already",
            place=str(path),
            help=f"go on with it: {resume_planned(path, kind=kind)}; or begin {_ANOTHER}",
        )


@contextmanager
def opened(path: Path, *, kind: PlannedKind) -> Iterator[Store]:
    """Owns and opens a study while the block runs.

    Raises:
        StorageError: There is none, it cannot be read, or another process owns it.
    """
    read_planned(path, kind=kind)
    with ownership(path), Store.open(path / DATABASE) as study:
        yield study


def _write(file: Path, header: Mapping[str, Any], trials: Iterable[TrialRecord]) -> None:
    with Store.create(file, header) as study, study.transaction():
        for trial in trials:
            study.add_trial(trial)


def too_little_time(max_seconds: float, *, least: str, takes: float, help: str) -> UsageError:
    """The error that says that not even the least fits, what it takes, and what to do."""
    return UsageError(
        f"{max_seconds / 60:.3g} minutes are too few: {least} take about {takes / 60:.0f}",
        place="--max-minutes",
        help=help,
    )
