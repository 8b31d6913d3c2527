"""Can this proxy rank this space: train a sample of it, longer too, and compare the orders."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archbench.analysis.certificate import (
    DOCUMENT,
    Certificate,
    CertificateSummary,
    certificate_bytes,
    certificate_of,
    find_certificate,
    read_certificate,
    subject_of,
)
from archbench.errors import UsageError
from archbench.progress import Progress
from archbench.search import trainings
from archbench.search.certificate_design import (
    CertificateDesign,
    designed,
    epochs_told,
    fitted,
    in_words,
    most_candidates,
    sampled,
)
from archbench.search.context import StudyContext
from archbench.search.preparation import data_facts, proxy_document, teacher_facts, unplanned
from archbench.search.settings import Settings, settings_of, space_of
from archbench.search.trainings import OnNote, PlannedTrainings
from archbench.search.trials import running_record
from archbench.space import SearchSpace
from archbench.study.atomic_file import write_atomically
from archbench.study.database import Store
from archbench.study.planned import find_planned, pending, read_planned
from archbench.study.study_folder import require_writable, valid_name
from archbench.study.trial import TrainingRecord, TrialRecord

if TYPE_CHECKING:
    from archbench.evaluate.proxy import Proxy

SHARE = 0.2
"""Of the search's time that a certificate may take for a search to begin with one by itself."""

_PRICED = 3
_TELLINGS = 8


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
    on_progress: Progress | None = None,
    on_note: OnNote | None = None,
) -> Certificate | CertificateDesign:
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
    if space is None:
        if not resume or name is None:
            raise UsageError(
                "no space to certify",
                place="archbench certify",
                help="name one, for example: archbench certify quickstart",
            )
        path = results / valid_name(name)
        space = space_of(read_planned(path, kind="certificate").header, path=path)
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
    said = {"candidates": candidates, "seeds": seeds, "longer": longer}
    with StudyContext(
        settings,
        tell=trainings.told_in_words(on_note),
        progress=on_progress or (lambda what, done, total: None),
    ) as context:
        try:
            if resume:
                _go_on(context, said=said)
            else:
                wanted = designed(settings, **said)
                chosen = _begin(context, wanted, minutes=max_minutes, command=command, dry=dry_run)
                if dry_run:
                    return chosen
        except KeyboardInterrupt:
            raise trainings.parked(context, settings.path, kind="certificate") from None
    return read_certificate(settings.path)


def _begin(
    context: StudyContext,
    wanted: CertificateDesign,
    *,
    minutes: float | None,
    command: str,
    dry: bool,
) -> CertificateDesign:
    """Prepares and prices a new certificate, and takes it but in a dry run."""
    settings = context.settings
    if not dry:
        trainings.refuse_existing(settings.path, kind="certificate")
        require_writable(settings.path.parent)
    sampled(settings, number=wanted.candidates)
    context.start(settings.num_workers(left=wanted.num_trainings))
    facts = data_facts(
        context,
        settings.data,
        resolution=settings.space.proxy.resolution,
        download=settings.download,
    )
    for text in facts["data_notes"]:
        context.say(text)
    proxy = unplanned(settings, num_classes=facts["num_classes"])
    facts |= teacher_facts(context, proxy)
    specs = [spec.to_document() for spec in settings.some_candidates(_PRICED)]
    price = trainings.priced(context, specs, proxy=proxy)
    each = price.training_seconds / wanted.epochs
    wanted = replace(wanted, epoch_seconds=each, workers=context.workers)
    chosen = fitted(wanted, max_seconds=None if minutes is None else 60 * minutes)
    if dry:
        return chosen
    told = in_words(chosen, asked=wanted)
    context.say(told)
    _create(
        context,
        settings,
        design=chosen,
        proxy={**facts, **proxy_document(proxy), "plan": price.plan.document()},
        command=command,
        notes=[] if chosen == wanted else [f"{told[:1].upper()}{told[1:]}."],
    )
    with trainings.opened(settings.path, kind="certificate") as study:
        _train(context, study, progress=context.progress)
    return chosen


def _go_on(context: StudyContext, *, said: Mapping[str, int | None]) -> None:
    """Trains what is left of a certificate that was begun before."""
    settings, path = context.settings, context.settings.path
    with trainings.opened(path, kind="certificate") as study:
        found = study.snapshot()
        header, kept = found.header, found.header["proxy"]
        begun = {
            "space": header["subject"]["space"],
            "data": kept["data"],
            "rungs": kept["rungs"],
            "candidates": len(found.trials),
            "seeds": header["seeds"],
            "longer": header["longer"],
        }
        rungs = list(settings.space.proxy.rungs)
        now = {"space": settings.space.digest, "data": settings.data, "rungs": rungs, **said}
        trainings.refuse_another(context, found, path=path, begun=begun, now=now)
        left = len(pending(found))
        if left:
            context.start(settings.num_workers(left=left))
            proxies = [_proxy_of(header)]
            trainings.check_data(context, kept, proxies=proxies, download=settings.download)
        _train(context, study, progress=context.progress)


def _create(
    context: StudyContext,
    settings: Settings,
    *,
    design: CertificateDesign,
    proxy: Mapping[str, Any],
    command: str,
    notes: Sequence[str],
) -> None:
    """Stores what is to be trained; ``proxy`` is what the header keeps of it.

    Raises:
        SpaceError: See ``sampled``.
        StorageError: It cannot be written, or a folder of its name is there.
    """
    space = settings.space
    chosen = sampled(settings, number=design.candidates)
    if len(chosen) < design.candidates:
        notes = [*notes, f"The space has {len(chosen)} feasible candidates, and all are taken."]
    lengths = [design.epochs] * design.seeds + [design.longer] * design.seeds
    planned = tuple(TrainingRecord(seed=s, epochs=epochs) for s, epochs in enumerate(lengths))
    trainings.create(
        context,
        settings.path,
        kind="certificate",
        command=command,
        header={
            "space_name": space.name,
            "space_text": space.text,
            "most_candidates": most_candidates(space),
            "question": space.question,
            "subject": subject_of({"space_digest": space.digest, "proxy": proxy}),
            "seed": settings.search.seed,
            "seeds": design.seeds,
            "longer": design.longer,
            "epoch_seconds": design.epoch_seconds,
            "workers": design.workers,
            "notes": notes,
            "proxy": proxy,
        },
        trials=[
            replace(running_record(space, number, choices, spec), trainings=planned)
            for number, (choices, spec) in enumerate(chosen)
        ],
    )


def _train(context: StudyContext, study: Store, *, progress: Progress | None) -> None:
    """Trains all that an open certificate still lacks, and writes what it shows.

    Raises:
        KeyboardInterrupt: Somebody wants it to stop.
        ArchbenchError: It cannot go on.
    """
    header, path = study.header(), study.path.parent
    proxy, names = (
        _proxy_of(header),
        {trial.number: trial.digest for trial in study.trials.values()},
    )

    def proxy_of(trial: TrialRecord, training: TrainingRecord) -> Proxy:
        rungs = tuple(sorted({*epochs_told(proxy.recipe.rungs), training.epochs}))
        return replace(proxy, recipe=replace(proxy.recipe, rungs=rungs))

    planned = PlannedTrainings(context, study, proxy_of=proxy_of, names=names, progress=progress)
    planned.run(seconds=header["epoch_seconds"] * header["longer"])
    found = certificate_of(path, study.snapshot())
    write_atomically(path / DOCUMENT, certificate_bytes(found))


def _proxy_of(header: Mapping[str, Any]) -> Proxy:
    from archbench.evaluate.proxy import Proxy

    kept = header["proxy"]
    return Proxy.from_document(kept, plan=kept["plan"], num_seeds=kept["seeds"])


def certify_first(context: StudyContext, *, dry_run: bool) -> None:
    """Takes the certificate of a prepared study, if it is wanted and none is there.

    Its price is said first.

    Raises:
        KeyboardInterrupt: Somebody wants it to stop; the same command goes on with it.
        ArchbenchError: It cannot be stored or trained.
    """
    settings = context.settings
    subject = subject_of(context.header)
    found = find_certificate(settings.path.parent, subject)
    if found is not None:
        _tell(context, found)
        return
    if settings.search.certify == "never":
        return
    identity = json.dumps(subject, sort_keys=True).encode()
    name = f"certify-{settings.space.name[:40]}-{hashlib.sha256(identity).hexdigest()[:8]}"
    own = replace(settings, path=settings.path.parent / name)
    design = _worthwhile(context, own)
    if design is None or dry_run:
        return
    if find_planned(own.path) is None:
        require_writable(own.path.parent)
        _create(
            context,
            own,
            design=design,
            proxy={**context.header["proxy"], "plan": context.header["plan"]},
            command=settings.command,
            notes=[],
        )
    with trainings.opened(own.path, kind="certificate") as study:
        _train(context, study, progress=_progress(context))
    _tell(context, read_certificate(own.path).summary)


def _worthwhile(context: StudyContext, own: Settings) -> CertificateDesign | None:
    """What is to be trained; None where the search is too short for it to be worth it."""
    each, search = context.header["trial_seconds"], own.search
    wanted = designed(own)
    wanted = replace(
        wanted,
        # With the latency, so that it is rather less than told.
        epoch_seconds=each / context.proxy.num_seeds / wanted.epochs,
        workers=context.workers,
    )
    search_seconds = each * own.expected_trials / context.workers
    if search.time_limit_s is not None:
        search_seconds = min(search_seconds, search.time_limit_s)
    if search.certify == "auto":
        try:
            wanted = fitted(wanted, max_seconds=SHARE * search_seconds)
        except UsageError:
            return None
    share = 100 * wanted.seconds / search_seconds
    context.say(
        f"a certificate of the proxy comes first: {in_words(wanted)}, {share:.0f} % of the "
        "search; --no-certify leaves it out"
    )
    return wanted


def _progress(context: StudyContext) -> Progress:
    told = set[int]()

    def progress(what: str, done: int, total: int) -> None:
        step = _TELLINGS * done // max(total, 1)
        if step not in told:
            told.add(step)
            context.say(f"certifying the proxy: {done} of {total} trainings")

    return progress


def _tell(context: StudyContext, found: CertificateSummary) -> None:
    text = f"{found.text} ({found.name}). {found.sentence}"
    if found.state == "certified":
        context.say(text)
    else:
        context.warn(text)
