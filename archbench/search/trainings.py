"""Trainings that are planned one by one: stored whole or not at all, run seed by seed, resumed."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archbench.errors import ParkedError, StorageError, UsageError
from archbench.progress import Progress
from archbench.search import events
from archbench.search.context import Context
from archbench.search.jobs import Note, RungReached, TrainJob, checkpoint_path, price_trial
from archbench.search.preparation import data_facts, refuse_other_environment, teacher_facts
from archbench.search.scheduler import Broken, Done, Jobs, Report, Sent
from archbench.study.database import Store
from archbench.study.environment import Environment
from archbench.study.planned import (
    PLAN,
    PlannedKind,
    is_final,
    pending,
    read_plan,
    read_planned,
    resume_planned,
)
from archbench.study.study_folder import CHECKPOINTS, DATABASE, create_folder, ownership, tidy
from archbench.study.trial import Snapshot, TrainingRecord, TrialRecord

if TYPE_CHECKING:
    from archbench.evaluate.price import Price
    from archbench.evaluate.proxy import Proxy

_SLOWEST = 8.0  # times what a training was found to take
_LEAST_TIMEOUT_S = 600.0

OnNote = Callable[[str], None]


def told_in_words(on_note: OnNote | None) -> events.Listener:
    """A listener that hands on what is said in words."""

    def listen(event: events.Event) -> None:
        if on_note is not None and isinstance(event, events.StageChanged | events.Warned):
            on_note(event.text)

    return listen


def refuse_existing(path: Path, *, kind: PlannedKind) -> None:
    """Nothing, when nothing lies at this path.

    Raises:
        StorageError: Something does; the help says how to go on with it.
    """
    if path.exists():
        raise StorageError(
            f"{path.name} exists already",
            place=str(path),
            help=f"go on with it: {resume_planned(path, kind=kind)}; or begin another with "
            "another --name",
        )


def refuse_another(
    context: Context,
    found: Snapshot,
    *,
    path: Path,
    begun: Mapping[str, Any],
    now: Mapping[str, Any],
) -> None:
    """Nothing, when a study is gone on with as and where it was begun.

    Args:
        context: Of this run.
        found: What the study holds.
        path: Its folder.
        begun: What it was begun with.
        now: What is asked for now, by the same keys; None where nothing was said.

    Raises:
        UsageError: Something else is asked for, or machine or software are others.
    """
    differing = [key for key in begun if now[key] is not None and now[key] != begun[key]]
    if differing:
        assert found.kind != "search"
        raise UsageError(
            f"it was begun with other {', '.join(differing)}",
            place=str(path),
            help=f"resume it as it was begun: {resume_planned(path, kind=found.kind)}; or begin "
            "another with another --name",
        )
    refuse_other_environment(Environment(**found.header["environment"]), context.environment)


def check_data(
    context: Context, kept: Mapping[str, Any], *, proxies: Iterable[Proxy], download: bool = False
) -> None:
    """Prepares data and teachers again, where the cache is gone, and compares.

    Args:
        context: Of this run.
        kept: What the header keeps of the proxy.
        proxies: What trainings are taken on.
        download: Whether missing data may be fetched.

    Raises:
        UsageError: The data or a teacher are others than when the study was begun.
    """
    name, resolution = kept["data"], kept["resolution"]
    facts = data_facts(context, name, resolution=resolution, download=download)
    by_teacher = {proxy.recipe.teacher: proxy for proxy in proxies}
    teachers = [teacher_facts(context, proxy).get("teacher") for proxy in by_teacher.values()]
    known = {*kept.get("teachers", ()), kept.get("teacher", {}).get("sha256")}
    is_same = facts["data_digest"] == kept["data_digest"]
    if not is_same or not known.issuperset(facts["sha256"] for facts in teachers if facts):
        raise UsageError(
            f"the {'teacher' if is_same else 'data'} has changed since it was begun",
            place=name,
            help="put it back as it was, or begin another with another --name",
        )


def priced(
    context: Context,
    specs: Sequence[Mapping[str, Any]],
    *,
    proxy: Proxy,
    plan_budget_s: float = 4.0,
) -> Price:
    """How steps are computed and what one training takes, tried on some networks."""
    if context.progress is not None:
        context.progress("trying what a training takes", 0, 1)
    function = partial(
        price_trial,
        specs=specs,
        proxy=replace(proxy, num_seeds=1),
        conditions=None,
        environment=context.environment,
        plan_budget_s=plan_budget_s,
    )
    price: Price = context.call(function)[1]
    return price


def create(
    context: Context,
    path: Path,
    *,
    kind: PlannedKind,
    command: str,
    header: Mapping[str, Any],
    trials: Iterable[TrialRecord],
) -> None:
    """Makes the folder of a study with its trainings planned; it appears whole or not at all.

    Args:
        context: Of this run.
        path: The folder.
        kind: Of the study.
        command: What was typed, or nothing.
        header: What else the study is.
        trials: Its networks, with their trainings.

    Raises:
        StorageError: It cannot be written, or something lies there.
    """
    about = {
        "kind": kind,
        "name": path.name,
        "created": datetime.now().astimezone().isoformat(timespec="seconds"),
        "command": command or resume_planned(path, kind=kind),
        "environment": asdict(context.environment),
    }

    def fill(folder: Path) -> None:
        _write(folder / DATABASE, header={**about, **header}, trials=trials)

    create_folder(path.parent, path.name, fill=fill, refuse=partial(refuse_existing, kind=kind))


def parked(context: Context, path: Path, *, kind: PlannedKind) -> ParkedError:
    """The error that ends a run that was interrupted."""
    resume = f"resume it with: {resume_planned(path, kind=kind)}"
    return context.parked(path, noun=kind, first="training", resume=resume)


@contextmanager
def opened(path: Path, *, kind: PlannedKind) -> Iterator[Store]:
    """Owns and opens a study while the block runs; one of a version before 0.2 is taken over.

    Raises:
        StorageError: There is none, it cannot be read, or another process owns it.
    """
    earlier = None if (path / DATABASE).is_file() else read_plan(path)
    with ownership(path, truth=DATABASE if earlier is None else PLAN):
        tidy(path)
        if earlier is not None:
            with tempfile.TemporaryDirectory(dir=path) as fresh:
                file = Path(fresh) / DATABASE
                _write(file, header=earlier.header, trials=earlier.trials)
                file.rename(path / DATABASE)
        read_planned(path, kind=kind)
        with Store.open(path / DATABASE) as study:
            yield study


def _write(file: Path, *, header: Mapping[str, Any], trials: Iterable[TrialRecord]) -> None:
    with Store.create(file, header) as study, study.transaction():
        for trial in trials:
            study.add_trial(trial)


class PlannedTrainings(Jobs):
    """The pending trainings of an open study, and what becomes of them.

    Args:
        context: Runs them.
        study: The study.
        proxy_of: What a training of a trial is taken on.
        names: Of the trials by number, for people.
        progress: Told how far they are.
        tells_each: Whether progress counts epochs at which points are taken, and each end is told;
            else it counts trainings.
    """

    def __init__(
        self,
        context: Context,
        study: Store,
        *,
        proxy_of: Callable[[TrialRecord, TrainingRecord], Proxy],
        names: Mapping[int, str],
        progress: Progress | None,
        tells_each: bool = False,
    ) -> None:
        found = study.snapshot()
        self._context, self._study = context, study
        self._names, self._tells_each = names, tells_each
        self._progress = progress or (lambda what, done, total: None)
        self._pending = dict(enumerate(pending(found)))
        self._jobs = [
            self._job(number, trial, training, proxy=proxy_of(trial, training))
            for number, (trial, training) in self._pending.items()
        ]
        self._todo = iter(self._jobs)
        self._total = sum(len(trial.trainings) for trial in found.trials)
        self._over = self._total - len(self._jobs)
        self._done = 0

    def run(self, *, seconds: float) -> None:
        """Runs them, where a training was found to take so long.

        Raises:
            KeyboardInterrupt: Somebody wants it to stop; what is known is stored.
            ArchbenchError: Data are gone, or the study cannot be written.
        """
        if self._jobs:
            self._tell(0)
            self._context.run(self, timeout_s=max(_LEAST_TIMEOUT_S, _SLOWEST * seconds))

    def next_job(self) -> TrainJob | None:
        """The next training."""
        return next(self._todo, None)

    def take(self, report: Report) -> None:
        """Stores what a worker reports, then tells it."""
        trial, training = self._pending[report.number]
        name, say = f"{self._names[trial.number]}, seed {training.seed}", self._context.say
        match report:
            case Sent(payload=RungReached(point=point)):
                with self._study.transaction():
                    self._study.add_point(trial.number, point)
                    self._store(report.number, epoch=point.epoch)
                self._tell(self._tells_each)
            case Sent(payload=Note(text=text)):
                say(f"{name}: {text}")
            case Done(result=accuracy):
                self._store(report.number, accuracy=accuracy, failure=None)
                checkpoint = self._jobs[report.number].checkpoint
                for file in checkpoint.parent.glob(f"{checkpoint.name}*"):
                    file.unlink(missing_ok=True)
                if self._tells_each:
                    say(f"{self._over} of {self._total}: {name}: {100 * accuracy:.1f} %")
                self._tell(not self._tells_each)
            case Broken(failure=failure):
                self._store(report.number, failure=replace(failure, traceback=""))
                say(f"{name} failed ({failure.kind}): {failure.message}")
                self._tell(not self._tells_each)

    def _store(self, number: int, **changes: Any) -> None:
        trial, training = self._pending[number]
        training = replace(training, **changes)
        self._study.set_training(trial.number, training)
        self._pending[number] = trial, training
        self._over += is_final(training)

    def _tell(self, more: int) -> None:
        self._done += more
        rungs = (len(job.proxy.recipe.rungs) for job in self._jobs)
        steps = sum(rungs) if self._tells_each else len(self._jobs)
        self._progress(f"training {len(self._jobs)} times", min(self._done, steps), steps)

    def _job(
        self, number: int, trial: TrialRecord, training: TrainingRecord, *, proxy: Proxy
    ) -> TrainJob:
        folder = self._study.path.parent / CHECKPOINTS
        return TrainJob(
            number=number,
            spec=trial.spec,
            proxy=proxy,
            seed=training.seed,
            checkpoint=checkpoint_path(folder, trial.number, seed=training.seed),
        )
