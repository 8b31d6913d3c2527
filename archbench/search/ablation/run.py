"""Run an ablation: prepare, measure every network, then train every form seed by seed."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from archbench.analysis.ablation import AblationRecord, read_ablation
from archbench.errors import UsageError
from archbench.evaluate.proxy import Proxy
from archbench.models import Written
from archbench.progress import Progress, no_progress
from archbench.search.ablation.factor import Form
from archbench.search.ablation.request import (
    Request,
    Workload,
    of_all_sizes,
    requested,
    rungs,
    trained_as,
    within,
)
from archbench.search.context import Context
from archbench.search.data_facts import data_facts
from archbench.search.jobs import time_forms
from archbench.search.preparation_jobs import prepare_teacher
from archbench.search.trainings import OnNote, PlannedStudy, told_in_words
from archbench.search.trials import running_record
from archbench.study.environment import Environment
from archbench.study.measurement import Conditions
from archbench.study.planned import is_final
from archbench.study.study_folder import study_path
from archbench.study.trial import Snapshot, TrainingRecord, TrialRecord

TIMING_S = 10.0  # of budget for each network; the slowest may take three times that
_BEFORE_S = 30.0  # calibrating, and workers that start
_PRICED = 3
_PLAN_BUDGET_S = 15.0  # of a network's; all trainings of an hour hang on the choice


def ablate(
    base: Written | None = None,
    *,
    axes: Sequence[str] = (),
    paper: str | None = None,
    latency: bool = True,
    max_minutes: float | None = None,
    workers: int | None = None,
    download: bool = False,
    name: str | None = None,
    results: str | Path = "results",
    resume: bool = False,
    dry_run: bool = False,
    command: str = "",
    on_progress: Progress | None = None,
    on_note: OnNote | None = None,
    **settings: Any,
) -> AblationRecord | None:
    """Changes one factor of a network at a time, and says what each costs and buys.

    Costs are those of the network as it is; accuracies those of its proxy: the same network for
    smaller images, and narrower at a ``scale``. Everything that is learnt is stored as it comes.
    A base is a network or its published name, None with a ``paper`` or to resume by name; of axes
    see ``ablation.factor.forms_of``. With a paper, an entry of ``ablation/papers``, its own tables
    are run. ``settings`` are fields of ``AblationSettings`` in place of a paper's own or of the
    default ones: data, resolution, stem, scale, epochs, seeds, batch, seed, teacher, device. Within
    ``max_minutes`` there are fewer seeds or epochs. When it is resumed, more seeds than before are
    trained, too. ``command`` is what was typed, for the report; ``on_note`` is told in words what a
    person should know. After a dry run there is nothing to give.

    Raises:
        ParkedError: It was stopped from outside; the help says how to go on.
        ArchbenchError: Something cannot be read, built, measured or stored.
    """
    request = None
    if base is not None or paper is not None or not resume:
        request = requested(base, axes=axes, paper=paper, **settings)
    if name is None and request is None:
        raise UsageError(
            "which ablation is to be resumed",
            place="--resume",
            help="say --name NAME, or repeat the command that began it",
        )
    path = study_path(results, name or (request.name if request else ""))
    progress = on_progress or no_progress
    with Context(tell=told_in_words(on_note), progress=progress) as context:
        study = _Ablation(
            context=context,
            path=path,
            download=download,
            progress=progress,
            max_seconds=None if max_minutes is None else 60 * max_minutes,
            request=request,
            latency=latency,
            seeds=settings.get("seeds"),
            workers=workers,
        )
        study.run(resume=resume, dry_run=dry_run, command=command)
    return None if dry_run and not resume else read_ablation(path)


@dataclass(kw_only=True)
class _Ablation(PlannedStudy):
    """An ablation that runs; without a request whatever was begun is gone on with."""

    request: Request | None
    latency: bool
    seeds: int | None
    kind = "ablation"
    counts_epochs = True

    def plan(self, *, dry_run: bool) -> tuple[dict[str, Any], list[TrialRecord]]:
        """Header and trials: each network and training is one, the base the first."""
        request, context = self.request, self.context
        assert request is not None, "what is begun has been asked for"
        assert request.base.spec is not None
        settings = request.settings
        self.start(device=settings.device, left=len(request.trained) * settings.seeds)
        for form in request.forms:
            if form.reason:
                context.say(f"{form.name} cannot be built: {form.reason}")
        facts = data_facts(
            context,
            settings.data,
            resolution=settings.resolution,
            download=self.download,
        )
        for note in facts["data_notes"]:
            context.say(note)
        proxy = replace(request.proxy, num_classes=facts["num_classes"])
        teachers = self._teachers(request, proxy=proxy)
        specs = of_all_sizes(request.trained, proxy=proxy, number=_PRICED)
        price = self.priced(specs, proxy=proxy, plan_budget_s=_PLAN_BUDGET_S)
        epoch_seconds = price.training_seconds / settings.epochs
        asked, chosen = self._fitted(request, epoch_seconds=epoch_seconds)
        short = chosen.shortened_from(asked)
        context.say("; ".join([str(chosen), *short]))
        conditions = Conditions(device=settings.device, resolution=request.base.spec.resolution)
        notes = [f"{text[:1].upper()}{text[1:]}." for text in (*teachers.values(), *short)]
        header = {
            "seeds_asked": asked.seeds,
            "notes": [*request.notes, *notes],
            "conditions": asdict(conditions) if self.latency else None,
            "proxy": {
                **facts,
                "resolution": settings.resolution,
                "stem": settings.stem,
                "scale": settings.scale,
                "epochs": chosen.epochs,
                "device": settings.device,
                "teachers": teachers,
                "recipe": replace(proxy.recipe, rungs=rungs(chosen.epochs)).document(),
                "plan": price.plan.document(),
            },
            "seeds": chosen.seeds,
            "training_seconds": chosen.epochs * chosen.epoch_seconds,
            "asked": request.asked(latency=self.latency),
            "paper": request.paper,
            "forms": _form_entries(request),
        }
        return header, _trials(request.trained, seeds=chosen.seeds, epochs=chosen.epochs)

    def _fitted(self, request: Request, *, epoch_seconds: float) -> tuple[Workload, Workload]:
        """What was asked for, and as much of it as fits into the time."""
        networks = {form.spec.digest for form in request.trained if form.spec}
        asked = Workload(
            forms=len(request.trained),
            seeds=request.settings.seeds,
            epochs=request.settings.epochs,
            epoch_seconds=epoch_seconds,
            workers=self.context.workers,
            before_seconds=_BEFORE_S + TIMING_S * len(networks) * self.latency,
        )
        return asked, within(asked, max_seconds=self.max_seconds)

    def _teachers(self, request: Request, *, proxy: Proxy) -> dict[str, str]:
        """The sha256 of each teacher to what is to be said of it."""
        found: dict[str, str] = {}
        proxies = [trained_as(form.training, proxy) for form in request.trained]
        for taught in {proxy.recipe.teacher: proxy for proxy in proxies}.values():
            if taught.recipe.teacher != "none":
                facts, words = self.context.call(partial(prepare_teacher, proxy=taught))
                self.context.say(words)
                found[facts["sha256"]] = words
        return found

    def resumed(self, found: Snapshot) -> Snapshot:
        """With more seeds where they are asked for; tells which trainings are not done again."""
        begun = found.header["asked"]
        now = self.request.asked(latency=self.latency) if self.request else begun
        self.refuse_another(found, begun=begun, now=now)
        header, seeds = found.header, self.seeds
        if seeds is not None and seeds > header["seeds_asked"]:
            self.context.say(f"going on to {seeds} seeds, {header['seeds']} were planned before")
            with self.study.transaction():
                self.study.set_header("seeds", seeds)
                self.study.set_header("seeds_asked", seeds)
                for trial in found.trials:
                    for seed in range(header["seeds"], seeds):
                        planned = TrainingRecord(seed=seed, epochs=header["proxy"]["epochs"])
                        self.study.set_training(trial.number, planned)
            found = self.study.snapshot()
        names = _names(found)
        for trial in found.trials:
            for training in trial.trainings:
                if training.failure and is_final(training):
                    told = f"{names[trial.number]}, seed {training.seed} is not trained again"
                    self.context.say(f"{told}: {training.failure.message}")
        return found

    def finish(self) -> None:
        """Nothing trains before or while latencies are taken."""
        found = self.study.snapshot()
        if not self.is_timed(found):
            self._time(found)
        self.train(found, names=_names(found), seconds=found.header["training_seconds"])

    def _time(self, found: Snapshot) -> None:
        """Measures every network, all of them in turn, and stores all in one transaction."""
        specs = {trial.digest: trial.spec for trial in found.trials}
        measured = self.context.call(
            partial(
                time_forms,
                specs=specs,
                conditions=Conditions.from_document(found.header["conditions"]),
                environment=Environment(**found.header["environment"]),
                budget_s=TIMING_S,
            ),
            timeout_s=9 * TIMING_S * len(specs) + 300,
            place="target",
        )
        with self.study.transaction():
            for trial in found.trials:
                self.study.add_measurement(trial.number, "search", measured[trial.digest])

    def is_timed(self, found: Snapshot) -> bool:
        return found.header["conditions"] is None or all(trial.latency for trial in found.trials)

    def proxy_of(self, found: Snapshot, trial: TrialRecord, training: TrainingRecord) -> Proxy:
        header, kept = found.header, found.header["proxy"]
        proxy = Proxy.from_document(
            kept, plan=kept["plan"], num_seeds=header["seeds"], scale=kept["scale"]
        )
        form = next(form for form in header["forms"] if form["trial"] == trial.number)
        return trained_as(form["training"], proxy)


def _names(found: Snapshot) -> dict[int, str]:
    """Trial to the name of the first form that it stands for."""
    return {form["trial"]: form["name"] for form in reversed(found.header["forms"])}


def _trials(forms: Sequence[Form], *, seeds: int, epochs: int) -> list[TrialRecord]:
    planned = tuple(TrainingRecord(seed=seed, epochs=epochs) for seed in range(seeds))
    return [
        running_record(
            number,
            form.spec,
            choices={form.knob: form.value} if form.knob else {},
            trainings=planned,
        )
        for number, form in enumerate(forms)
        if form.spec
    ]


def _form_entries(request: Request) -> list[dict[str, Any]]:
    """What the header keeps of each form, with the number of the trial that it shares."""
    numbers = {form.key: number for number, form in enumerate(request.trained)}
    return [
        {
            **{name: getattr(form, name) for name in ("name", "knob", "value", "training")},
            "reason": form.reason,
            "printed": asdict(form.printed) if form.printed else None,
            "trial": numbers[form.key] if form.spec else None,
        }
        for form in (request.base, *request.forms)
    ]
