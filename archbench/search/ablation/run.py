"""Turn one knob at a time: prepare, plan, time all forms in turn, train each with every seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archbench.analysis.ablation import AblationRecord, read_ablation
from archbench.errors import UsageError
from archbench.progress import Progress
from archbench.search import trainings
from archbench.search.ablation.knob import Form
from archbench.search.ablation.request import (
    Request,
    Workload,
    of_all_sizes,
    requested,
    trained_as,
    with_epochs,
    within,
)
from archbench.search.context import Context
from archbench.search.jobs import prepare_teacher, time_forms
from archbench.search.preparation import data_facts
from archbench.search.settings import num_workers
from archbench.search.trainings import OnNote, PlannedTrainings
from archbench.study.database import Store
from archbench.study.environment import Environment
from archbench.study.measurement import Conditions
from archbench.study.planned import is_final, pending
from archbench.study.study_folder import require_writable, valid_name
from archbench.study.trial import Snapshot, TrainingRecord, TrialRecord

if TYPE_CHECKING:
    from archbench.evaluate.proxy import Proxy
    from archbench.models import ArchSpec

TIMING_S = 10.0  # of budget for each network; the slowest may take three times that
_BEFORE_S = 30.0  # calibrating, and workers that start
_PRICED = 3
_PLAN_BUDGET_S = 15.0  # of a network's; all trainings of an hour hang on the choice


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
    on_progress: Progress | None = None,
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

    request = None
    if base is not None or paper is not None or not resume:
        request = requested(
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
            name=name,
            results=results,
        )
    path = request.path if request else results / _named(name)
    asked = request.asked(latency=latency) if request else None
    with Context(
        tell=trainings.told_in_words(on_note),
        progress=on_progress or (lambda what, done, total: None),
    ) as context:
        try:
            if resume or request is None:
                _go_on(context, path, asked=asked, seeds=seeds, workers=workers)
                return read_ablation(path)
            if not dry_run:
                trainings.refuse_existing(path, kind="ablation")
                require_writable(path.parent)
            left = len(request.trained) * request.proxy.num_seeds
            context.start(num_workers(workers, device=device, threads=1, left=left))
            header = _planned(
                context, request, latency=latency, max_minutes=max_minutes, download=download
            )
            if dry_run:
                return None
            _create(context, request, header={**header, "asked": asked}, command=command)
            with trainings.opened(path, kind="ablation") as study:
                _finish(context, study)
        except KeyboardInterrupt:
            raise trainings.parked(context, path, kind="ablation") from None
    return read_ablation(path)


def _planned(
    context: Context,
    request: Request,
    *,
    latency: bool,
    max_minutes: float | None,
    download: bool,
) -> dict[str, Any]:
    """What the header keeps of data, proxy and time, once they are prepared and tried.

    Raises:
        ArchbenchError: Data or device are missing, or it does not fit into the time.
    """
    from archbench.models import as_spec

    for form in request.forms:
        if form.reason:
            context.say(f"{form.name} cannot be built: {form.reason}")
    name, resolution = request.proxy.data, request.proxy.resolution
    facts = data_facts(context, name, resolution=resolution, download=download)
    for text in facts["data_notes"]:
        context.say(text)
    proxy = replace(request.proxy, num_classes=facts["num_classes"])
    teachers = _teachers(context, request, proxy=proxy)
    specs = of_all_sizes(request.trained, proxy=proxy, number=_PRICED)
    price = trainings.priced(context, specs, proxy=proxy, plan_budget_s=_PLAN_BUDGET_S)
    timed = len({form.digest for form in request.trained}) if latency else 0
    asked = Workload(
        forms=len(request.trained),
        seeds=proxy.num_seeds,
        epochs=proxy.recipe.epochs,
        epoch_seconds=price.training_seconds / proxy.recipe.epochs,
        workers=context.workers,
        before_seconds=_BEFORE_S + TIMING_S * timed,
    )
    chosen = within(asked, max_seconds=None if max_minutes is None else 60 * max_minutes)
    short = chosen.shortened_from(asked)
    context.say("; ".join([str(chosen), *short]))
    proxy = with_epochs(proxy, chosen.epochs)
    conditions = Conditions(
        device=proxy.device, resolution=as_spec(request.base.spec or {}).resolution
    )
    return {
        "seeds_asked": asked.seeds,
        "notes": [*request.notes, *map(_as_sentence, [*teachers.values(), *short])],
        "conditions": asdict(conditions) if latency else None,
        "proxy": {
            **facts,
            "resolution": proxy.resolution,
            "stem": proxy.stem,
            "scale": proxy.scale,
            "epochs": proxy.recipe.epochs,
            "device": proxy.device,
            "teachers": teachers,
            "recipe": proxy.recipe.document(),
            "plan": price.plan.document(),
        },
        "seeds": chosen.seeds,
        "training_seconds": chosen.epochs * chosen.epoch_seconds,
    }


def _teachers(context: Context, request: Request, *, proxy: Proxy) -> dict[str, str]:
    """The sha256 of each teacher to what is to be said of it."""
    found: dict[str, str] = {}
    proxies = [trained_as(form.training, proxy) for form in request.trained]
    for taught in {proxy.recipe.teacher: proxy for proxy in proxies}.values():
        if taught.recipe.teacher != "none":
            facts, words = context.call(partial(prepare_teacher, proxy=taught))
            context.say(words)
            found[facts["sha256"]] = words
    return found


def _create(context: Context, request: Request, *, header: Mapping[str, Any], command: str) -> None:
    """Stores what is planned: each network and training is a trial, the base the first."""
    lengths = [header["proxy"]["epochs"]] * header["seeds"]
    planned = tuple(TrainingRecord(seed=s, epochs=epochs) for s, epochs in enumerate(lengths))
    trials = {
        form.key: TrialRecord(
            number=number,
            state="running",
            digest=form.digest,
            choices={form.knob: form.value} if form.knob else {},
            spec=form.spec or {},
            params=form.params,
            macs=form.macs,
            activations=form.activations,
            trainings=planned,
        )
        for number, form in enumerate(request.trained)
    }

    def entry(form: Form) -> dict[str, Any]:
        known = {name: getattr(form, name) for name in ("name", "knob", "value", "training")}
        printed = asdict(form.printed) if form.printed else None
        trial = trials[form.key].number if form.spec else None
        return {**known, "reason": form.reason, "printed": printed, "trial": trial}

    trainings.create(
        context,
        request.path,
        kind="ablation",
        command=command,
        header={
            **header,
            "paper": request.paper,
            "forms": [entry(form) for form in (request.base, *request.forms)],
        },
        trials=trials.values(),
    )


def _go_on(
    context: Context,
    path: Path,
    *,
    asked: Mapping[str, Any] | None,
    seeds: int | None,
    workers: int | None,
) -> None:
    """Times and trains what has not been, in an ablation that was begun before."""
    with trainings.opened(path, kind="ablation") as study:
        found = study.snapshot()
        header, begun = found.header, found.header["asked"]
        trainings.refuse_another(context, found, path=path, begun=begun, now=asked or begun)
        if seeds is not None and seeds > header["seeds_asked"]:
            context.say(f"going on to {seeds} seeds, {header['seeds']} were planned before")
            found = _with_seeds(study, seeds)
        names = _names(found)
        for trial in found.trials:
            for training in trial.trainings:
                if training.failure and is_final(training):
                    told = f"{names[trial.number]}, seed {training.seed} is not trained again"
                    context.say(f"{told}: {training.failure.message}")
        left = pending(found)
        if not left and _is_timed(found):
            return
        device = header["proxy"]["device"]
        number = max(len(left), 1)
        context.start(num_workers(workers, device=device, threads=1, left=number))
        proxies = [_proxy_of(found, trial) for trial, _ in left]
        trainings.check_data(context, header["proxy"], proxies=proxies)
        _finish(context, study)


def _with_seeds(study: Store, seeds: int) -> Snapshot:
    """What a study holds once more seeds are planned of each trial."""
    header = study.header()
    with study.transaction():
        study.set_header("seeds", seeds)
        study.set_header("seeds_asked", seeds)
        for trial in list(study.trials.values()):
            for seed in range(header["seeds"], seeds):
                planned = TrainingRecord(seed=seed, epochs=header["proxy"]["epochs"])
                study.set_training(trial.number, planned)
    return study.snapshot()


def _finish(context: Context, study: Store) -> None:
    """Times and trains what is lacking; nothing trains before or while latencies are taken.

    Raises:
        KeyboardInterrupt: Somebody wants it to stop.
        ArchbenchError: It cannot go on.
    """
    found = study.snapshot()
    if not _is_timed(found):
        _time(context, study, found)
    PlannedTrainings(
        context,
        study,
        proxy_of=lambda trial, training: _proxy_of(found, trial),
        names=_names(found),
        progress=context.progress,
        tells_each=True,
    ).run(seconds=found.header["training_seconds"])


def _time(context: Context, study: Store, found: Snapshot) -> None:
    """Measures every network, all of them in turn, and stores all in one transaction."""
    specs = {trial.digest: trial.spec for trial in found.trials}
    measured = context.call(
        partial(
            time_forms,
            specs=specs,
            conditions=Conditions.from_document(found.header["conditions"]),
            environment=Environment(**found.header["environment"]),
            budget_s=TIMING_S,
        ),
        timeout_s=9 * TIMING_S * len(specs) + 300,
    )
    with study.transaction():
        for trial in found.trials:
            study.add_measurement(trial.number, "search", measured[trial.digest])


def _is_timed(found: Snapshot) -> bool:
    return found.header["conditions"] is None or all(trial.latency for trial in found.trials)


def _names(found: Snapshot) -> dict[int, str]:
    """Trial to the name of the first form that it stands for."""
    return {form["trial"]: form["name"] for form in reversed(found.header["forms"])}


def _proxy_of(found: Snapshot, trial: TrialRecord) -> Proxy:
    """What the trainings of a trial are taken on."""
    from archbench.evaluate.proxy import Proxy

    header, kept = found.header, found.header["proxy"]
    proxy = Proxy.from_document(
        kept, plan=kept["plan"], num_seeds=header["seeds"], scale=kept["scale"]
    )
    form = next(form for form in header["forms"] if form["trial"] == trial.number)
    return trained_as(form["training"], proxy)


def _named(name: str | None) -> str:
    if name is None:
        raise UsageError(
            "which ablation is to be resumed",
            place="--resume",
            help="say --name NAME, or repeat the command that began it",
        )
    return valid_name(name)


def _as_sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
