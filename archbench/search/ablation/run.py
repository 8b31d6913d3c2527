"""Turn one knob at a time: prepare, plan, time all forms in turn, train each with every seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archbench.analysis.ablation import AblationRecord
from archbench.errors import UsageError
from archbench.search import events
from archbench.search.ablation import store
from archbench.search.ablation.budget import fitted
from archbench.search.ablation.form import Form
from archbench.search.ablation.plan import (
    as_sentence,
    in_words,
    planned_work,
    proxy_document,
    shortened,
)
from archbench.search.ablation.reading import read_ablation
from archbench.search.ablation.request import Request, proxy_of, requested, with_epochs
from archbench.search.ablation.stage import OnProgress, Stage
from archbench.search.ablation.training import Trainings
from archbench.search.context import Context
from archbench.search.interruption import ParkedError
from archbench.search.settings import num_workers
from archbench.study.environment import Environment
from archbench.study.folder import ownership, require_writable, tidy, valid_name
from archbench.study.measurement import Conditions

if TYPE_CHECKING:
    from archbench.models import ArchSpec

OnNote = Callable[[str], None]


def ablate(
    base: ArchSpec | str | None = None,
    *,
    axes: Sequence[str] = (),
    paper: str | None = None,
    data: str = "cluttered_digits",
    resolution: int | None = None,
    stem: str | None = None,
    scale: float | None = None,
    epochs: int | None = None,
    seeds: int | None = None,
    batch: int = 32,
    seed: int = 0,
    teacher: str | None = None,
    device: str = "cpu",
    latency: bool = True,
    max_minutes: float | None = None,
    workers: int | None = None,
    download: bool = False,
    name: str | None = None,
    results: Path = Path("results"),
    resume: bool = False,
    dry_run: bool = False,
    command: str = "",
    on_progress: OnProgress | None = None,
    on_note: OnNote | None = None,
) -> AblationRecord | None:
    """Changes one knob of a network at a time, and says what each costs and buys.

    Costs are those of the network as it is; accuracies those of its proxy: the same network for
    smaller images, and narrower at a ``scale``. Everything that is learnt is stored as it comes.

    Args:
        base: The network, or its published name; None with a paper, or to resume by name.
        axes: See ``archbench.search.ablation.knob.forms_of``.
        paper: Name of a paper whose own tables are run, an entry of ``ablation/papers``.
        data: Name of the data set.
        resolution: Side of the proxy's images; 64, or the paper's own scale.
        stem: See ``archbench.models.proxy``.
        scale: Of the proxy's widths; 1, or the paper's own scale.
        epochs: Of each training.
        seeds: Trainings of each form.
        batch: Images of one step.
        seed: Of order, augmentation, weights and teacher.
        teacher: ``none`` or ``convolutional``: of the base; the paper's own by default.
        device: ``cpu`` or ``cuda``.
        latency: Whether it is measured.
        max_minutes: By plan at most so long, with fewer seeds or epochs.
        workers: Trainings at a time.
        download: Whether missing data may be fetched.
        name: Of the folder.
        results: Where it lies.
        resume: Whether to go on; more ``seeds`` than before are trained, too.
        dry_run: Whether to stop before anything is stored.
        command: What was typed, for the report.
        on_progress: Told what is being done, how much of it, and of how much.
        on_note: Told in words what a person should know.

    Returns:
        What was found, or None after a dry run.

    Raises:
        ParkedError: It was stopped from outside; the help says how to go on.
        ArchbenchError: Something cannot be read, built, measured or stored.
    """
    from archbench.models import as_spec

    is_said = base is not None or paper is not None or not resume
    request = (
        requested(
            as_spec(base) if isinstance(base, str) else base,
            axes=axes,
            paper=paper,
            data=data,
            resolution=resolution,
            stem=stem,
            scale=scale,
            epochs=epochs,
            seeds=seeds,
            batch=batch,
            seed=seed,
            teacher=teacher,
            device=device,
            latency=latency,
            max_minutes=max_minutes,
            workers=workers,
            download=download,
            name=name,
            results=results,
        )
        if is_said
        else None
    )
    path = request.path if request else results / _named(name)
    run = _Run(
        path=path,
        workers=workers,
        progress=on_progress or (lambda what, done, total: None),
        note=on_note or (lambda text: None),
    )
    with Context(events.ignore) as context:
        stage = Stage(context=context, progress=run.progress)
        try:
            if resume:
                run.go_on(request, seeds=seeds, stage=stage)
            else:
                assert request is not None
                run.start(request, dry_run=dry_run, context=context)
                if not run.begin(request, command=command, dry_run=dry_run, stage=stage):
                    return None
                run.go(stage)
        except KeyboardInterrupt:
            raise _parked(path, context) from None
    return read_ablation(path)


@dataclass(frozen=True, kw_only=True)
class _Run:
    """One run of an ablation in its folder."""

    path: Path
    workers: int | None
    progress: OnProgress
    note: OnNote

    def start(self, request: Request, *, dry_run: bool, context: Context) -> None:
        """Starts the workers of a new ablation, where it can be stored."""
        if not dry_run:
            store.refuse_existing(self.path)
            require_writable(self.path.parent)
        left = len(request.trained) * request.proxy.num_seeds
        context.start(request.num_workers(left=left))

    def begin(self, request: Request, *, command: str, dry_run: bool, stage: Stage) -> bool:
        """Prepares what is asked for and stores the plan; False after a dry run.

        Raises:
            ArchbenchError: Data or device are missing, or it does not fit into the time.
        """
        from archbench.measure.device import capture_environment

        environment = capture_environment()
        for form in request.forms:
            if form.reason:
                self.note(f"{form.name} cannot be built: {form.reason}")
        facts = stage.data(request)
        proxy = replace(request.proxy, num_classes=facts["num_classes"])
        for text in facts["data_notes"]:
            self.note(text)
        teachers = stage.teachers([proxy_of(form, proxy) for form in request.trained])
        for text in teachers.values():
            self.note(text)
        plan, training_seconds = stage.price(request, proxy=proxy, environment=environment)
        work = planned_work(request, proxy=proxy, seconds=training_seconds)
        chosen = fitted(work, max_seconds=request.max_seconds)
        self.note(in_words(work, chosen))
        short = map(as_sentence, shortened(work, chosen))
        if dry_run:
            return False
        proxy = replace(with_epochs(proxy, chosen.epochs), plan=plan, num_seeds=chosen.seeds)
        conditions = Conditions(device=proxy.device, resolution=_sides(request.base))
        store.create(
            self.path.parent,
            self.path.name,
            plan={
                "name": self.path.name,
                "created": datetime.now().astimezone().isoformat(timespec="seconds"),
                "command": command or store.resume_command(self.path),
                "asked": request.asked(),
                "seeds_asked": request.proxy.num_seeds,
                "paper": request.paper,
                "notes": [*request.notes, *map(as_sentence, teachers.values()), *short],
                "environment": asdict(environment),
                "conditions": asdict(conditions) if request.latency else None,
                "proxy": proxy_document(proxy, facts=facts, teachers=teachers),
                "seeds": chosen.seeds,
                "training_seconds": chosen.epochs * chosen.epoch_seconds,
                "base": request.base.document(),
                "forms": [form.document() for form in request.forms],
            },
        )
        return True

    def _as_begun(self, request: Request | None, *, seeds: int | None) -> dict[str, Any]:
        """The plan, where what is asked for now is what was begun; more seeds are taken into it."""
        plan = store.read_plan(self.path)
        begun = plan["asked"]
        now = request.asked() if request else begun
        differing = [key for key in begun if begun[key] != now.get(key)]
        if differing:
            raise UsageError(
                f"it was begun with other {', '.join(differing)}",
                place=str(self.path),
                help=f"resume it as it was begun: {store.resume_command(self.path)}; or begin "
                "another with another --name",
            )
        if seeds is not None and seeds > plan["seeds_asked"]:
            self.note(f"going on to {seeds} seeds, {plan['seeds']} were planned before")
            plan |= {"seeds": seeds, "seeds_asked": seeds}
            store.write_plan(self.path, plan)
        return plan

    def go(self, stage: Stage) -> None:
        """Times and trains all that has just been planned.

        Raises:
            KeyboardInterrupt: Somebody wants it to stop.
            ArchbenchError: It cannot go on.
        """
        with ownership(self.path, truth=store.PLAN):
            plan = store.read_plan(self.path)
            self._finish(stage, plan, trainings=Trainings.of(self.path, plan))

    def go_on(
        self,
        request: Request | None,
        *,
        seeds: int | None,
        stage: Stage,
    ) -> None:
        """Times and trains what has not been, in an ablation that was begun before.

        Raises:
            KeyboardInterrupt: Somebody wants it to stop.
            ArchbenchError: There is nothing to resume, or it was begun otherwise or elsewhere.
        """
        from archbench.measure.device import capture_environment

        with ownership(self.path, truth=store.PLAN):
            tidy(self.path)
            store.mend(self.path)
            plan = self._as_begun(request, seeds=seeds)
            begun, now = Environment(**plan["environment"]), capture_environment()
            if begun.id != now.id:
                raise UsageError(
                    "it was begun on another machine or with other software",
                    place=str(self.path),
                    help="resume it there, or begin another with another --name",
                )
            trainings = Trainings.of(self.path, plan)
            trainings.tell_failures(self.note)
            left = len(trainings.pending())
            if not left and _is_timed(plan, trainings):
                return
            device = plan["proxy"]["device"]
            workers = num_workers(self.workers, device=device, threads=1, left=max(left, 1))
            stage.context.start(workers)
            stage.check(plan, trainings=trainings)
            self._finish(stage, plan, trainings=trainings)

    def _finish(self, stage: Stage, plan: dict[str, Any], *, trainings: Trainings) -> None:
        """Nothing trains before or while the latencies are taken."""
        if not _is_timed(plan, trainings):
            stage.time(self.path, plan)
        trainings.run(stage.context, progress=self.progress, note=self.note)


def _is_timed(plan: dict[str, Any], trainings: Trainings) -> bool:
    return plan["conditions"] is None or bool(trainings.latencies)


def _sides(base: Form) -> tuple[int, int]:
    assert base.spec is not None
    sides = base.spec["resolution"]
    return (sides[0], sides[1]) if isinstance(sides, list) else (sides, sides)


def _named(name: str | None) -> str:
    if name is None:
        raise UsageError(
            "which ablation is to be resumed",
            place="--resume",
            help="say --name NAME, or repeat the command that began it",
        )
    return valid_name(name)


def _parked(path: Path, context: Context) -> ParkedError:
    if not store.is_ablation(path):
        return context.parked(
            "stopped before the first training, with nothing stored",
            help="type the same command to begin again",
        )
    return context.parked(
        "the ablation is parked; what was running goes on from its last checkpoint",
        place=path,
        help=f"resume it with: {store.resume_command(path)}",
    )
