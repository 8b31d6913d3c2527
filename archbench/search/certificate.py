"""Can this proxy rank this space: train a sample of it, longer too, and compare the orders."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archbench.analysis.certificate import Certificate
from archbench.errors import UsageError
from archbench.search import events, journal
from archbench.search.certificate_design import Design, fitted, in_words
from archbench.search.certificate_plan import (
    Asked,
    create,
    designed,
    proxy_in,
    refuse_another,
    sampled,
)
from archbench.search.certificate_training import (
    JOURNAL,
    Trainings,
    is_certificate,
    read_certificate,
    resume_command,
)
from archbench.search.context import StudyContext
from archbench.search.interruption import ParkedError
from archbench.search.jobs import prepare_data, prepare_teacher, price_trial
from archbench.search.preparation import unplanned
from archbench.search.settings import Settings, settings_of, space_of
from archbench.space import SearchSpace
from archbench.study.environment import Environment
from archbench.study.folder import ownership, require_writable, tidy, valid_name

if TYPE_CHECKING:
    from archbench.evaluate.proxy import Proxy

OnProgress = Callable[[str, int, int], None]
OnNote = Callable[[str], None]

_PRICED = 3


def certify(
    space: SearchSpace | str | Path | None = None,
    *,
    candidates: int | None = None,
    seeds: int | None = None,
    longer: int | None = None,
    data: str | None = None,
    seed: int | None = None,
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
) -> Certificate | Design:
    """Trains a sample of a space as the proxy does and longer, and says whether it can rank it.

    Everything that is learnt is stored as it comes, so it may be killed and resumed.

    Args:
        space: A space, its file, or the name of one that the package ships; None to resume by
            name.
        candidates: In the sample, stratified by MACs.
        seeds: Trainings of each, of either length.
        longer: Epochs of the longer trainings; twice the proxy's by default.
        data: Name of a data set in place of the space's.
        seed: Of the sample, and of all trainings.
        max_minutes: By plan at most so long, with fewer candidates or seeds.
        workers: Trainings at a time.
        download: Whether missing data may be fetched from its home.
        name: Of the folder; ``certify-SPACE`` by default.
        results: Where it lies.
        resume: Whether to go on.
        dry_run: Whether to stop before anything is stored.
        command: What was typed, for the report.
        on_progress: Told what is being done, how much of it, and of how much.
        on_note: Told in words what a person should know.

    Returns:
        The certificate, or after a dry run what would be trained.

    Raises:
        ParkedError: It was stopped from outside; the help says how to go on.
        ArchbenchError: Space, data, device or storage cannot be used.
    """
    told = Told(
        progress=on_progress or (lambda what, done, total: None),
        note=on_note or (lambda text: None),
    )
    if space is None:
        if not resume or name is None:
            raise UsageError(
                "no space to certify",
                place="archbench certify",
                help="name one, for example: archbench certify quickstart",
            )
        path = results / valid_name(name)
        space = space_of(JOURNAL.read_plan(path), path=path)
    elif not isinstance(space, SearchSpace):
        space = SearchSpace.load(space)
    settings = settings_of(
        space,
        {"workers": workers, "seed": seed},
        name=f"certify-{space.name}"[:64] if name is None else name,
        results=results,
        data=data,
        download=download,
    )
    asked = Asked(
        candidates=candidates, seeds=seeds, longer=longer, max_minutes=max_minutes, command=command
    )
    with StudyContext(settings, on_event=events.ignore) as context:
        work = Work(context=context, told=told)
        try:
            if resume:
                go_on(work, asked=asked)
            else:
                if not dry_run:
                    JOURNAL.refuse_existing(settings.path)
                    require_writable(results)
                wanted = designed(settings, asked, training_seconds=0.0, workers=1)
                sampled(settings, number=wanted.candidates)
                context.start(settings.num_workers(left=wanted.num_trainings))
                design = begin(work, asked=asked, dry_run=dry_run)
                if dry_run:
                    return design
                with ownership(settings.path, truth=journal.PLAN):
                    train(work, settings.path)
        except KeyboardInterrupt:
            raise _parked(context) from None
    return read_certificate(settings.path)


@dataclass(frozen=True, kw_only=True)
class Told:
    """Who hears of it."""

    progress: OnProgress
    note: OnNote


@dataclass(frozen=True, kw_only=True)
class Work:
    """One run of a certificate."""

    context: StudyContext
    told: Told

    @property
    def settings(self) -> Settings:
        """What was asked for."""
        return self.context.settings

    def finished(self, job: partial[Any]) -> Any:
        """The result of a step that runs alone."""
        return self.context.call(job, on_progress=self.told.progress)


def begin(work: Work, *, asked: Asked, dry_run: bool) -> Design:
    """Prepares data and price, and stores what is to be trained but in a dry run.

    Raises:
        SpaceError: No candidate is feasible.
        ArchbenchError: Data or device are missing, or it does not fit into the time.
    """
    environment, context = work.context.environment, work.context
    facts = _data(work)
    for text in facts["data_notes"]:
        work.told.note(text)
    proxy = unplanned(work.settings, num_classes=facts["num_classes"])
    facts |= _teacher(work, proxy)
    work.told.progress("trying what a training takes", 0, 1)
    specs = work.settings.some_candidates(_PRICED)
    _, price = work.finished(
        partial(
            price_trial,
            specs=[spec.to_document() for spec in specs],
            proxy=replace(proxy, num_seeds=1),
            conditions=None,
            environment=environment,
        ),
    )
    wanted = designed(
        work.settings, asked, training_seconds=price.training_seconds, workers=context.workers
    )
    limit = asked.max_minutes
    chosen = fitted(wanted, max_seconds=60 * limit if limit is not None else None)
    price_told = in_words(chosen, asked=wanted)
    if dry_run:
        return chosen
    work.told.note(price_told)
    create(
        work.settings,
        design=chosen,
        proxy=replace(proxy, plan=price.plan),
        facts=facts,
        environment=environment,
        command=asked.command,
        notes=[] if chosen == wanted else [f"{price_told[:1].upper()}{price_told[1:]}."],
    )
    return chosen


def train(work: Work, path: Path) -> None:
    """Trains all that a folder that is owned still lacks.

    Raises:
        KeyboardInterrupt: Somebody wants it to stop.
        ArchbenchError: It cannot go on.
    """
    plan = JOURNAL.read_plan(path)
    Trainings.of(path, plan).run(
        work.context,
        proxy=proxy_in(plan),
        progress=work.told.progress,
        note=work.told.note,
    )


def go_on(work: Work, *, asked: Asked) -> None:
    """Trains what is left of a certificate that was begun before.

    Raises:
        UsageError: Something else was asked for, or data or machine are others.
        KeyboardInterrupt: Somebody wants it to stop.
    """
    path = work.settings.path
    with ownership(path, truth=journal.PLAN):
        tidy(path)
        journal.mend(path)
        plan = JOURNAL.read_plan(path)
        refuse_another(work.settings, asked, plan)
        if Environment(**plan["environment"]).id != work.context.environment.id:
            raise UsageError(
                "it was begun on another machine or with other software",
                place=str(path),
                help="resume it there, or begin another with another --name",
            )
        left = len(Trainings.of(path, plan).pending)
        if not left:
            return
        work.context.start(work.settings.num_workers(left=left))
        facts = _data(work)
        facts |= _teacher(work, proxy_in(plan))
        for key in ("data_digest", "teacher"):
            if facts.get(key) != plan["proxy"].get(key):
                raise UsageError(
                    f"the {key.partition('_')[0]} has changed since it was begun",
                    place=plan["proxy"]["data"],
                    help="put it back as it was, or begin another with another --name",
                )
        train(work, path)


def _data(work: Work) -> dict[str, Any]:
    job = partial(
        prepare_data,
        name=work.settings.data,
        resolution=work.settings.space.proxy.resolution,
        download=work.settings.download,
    )
    facts: dict[str, Any] = work.finished(job)
    return facts


def _teacher(work: Work, proxy: Proxy) -> dict[str, Any]:
    if proxy.recipe.teacher == "none":
        return {}
    facts, words = work.finished(partial(prepare_teacher, proxy=proxy))
    work.told.note(words)
    return {"teacher": facts}


def _parked(context: StudyContext) -> ParkedError:
    path = context.settings.path
    if not is_certificate(path):
        return context.parked(
            "stopped before the first training, with nothing stored",
            help="type the same command to begin again",
        )
    return context.parked(
        "the certificate is parked; what was running goes on from its last checkpoint",
        place=path,
        help=f"resume it with: {resume_command(path)}",
    )
