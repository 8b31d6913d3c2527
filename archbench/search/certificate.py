"""Can this proxy rank this space: train a sample of it, longer too, and compare the orders."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from archbench.analysis.certificate import (
    DOCUMENT,
    Certificate,
    CertificateSummary,
    certificate_bytes,
    find_certificate,
    read_certificate,
    subject_of,
)
from archbench.data import Data
from archbench.digest import sha256_of
from archbench.errors import UsageError
from archbench.evaluate.proxy import Proxy
from archbench.models import ArchSpec
from archbench.progress import Progress, no_progress
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
from archbench.search.data_facts import SAY_WHERE, prepared_data, teacher_facts
from archbench.search.growth import data_as_begun
from archbench.search.inheritance import with_ancestor
from archbench.search.preparation import proxy_document, unplanned
from archbench.search.settings import Settings, settings_of, space_of
from archbench.search.trainings import OnNote, PlannedStudy, opened, told_in_words
from archbench.search.trials import running_record
from archbench.space import Choices, SearchSpace
from archbench.study.atomic_file import write_atomically
from archbench.study.planned import find_planned, read_planned
from archbench.study.study_folder import require_writable, study_path
from archbench.study.trial import Snapshot, TrainingRecord, TrialRecord

# of the search's time that a certificate may take for a search to begin with one by itself
_SHARE = 0.2
_PRICED = 3
_TELLINGS = 8
_DESIGN = ("seeds", "longer", "epoch_seconds", "workers")


def certify(
    space: SearchSpace | str | Path | Mapping[str, Any] | None = None,
    *,
    candidates: int | None = None,
    seeds: int | None = None,
    longer: int | None = None,
    data: Data | None = None,
    seed: int | None = None,
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
) -> Certificate | CertificateDesign:
    """Trains a sample of a space as the proxy does and longer, and says whether it can rank it.

    Everything that is learnt is stored as it comes, so it may be killed and resumed: by the space,
    or by the ``name`` of the folder alone. The sample has so many ``candidates``, each trained with
    so many ``seeds`` as the proxy does, and as often for ``longer`` epochs; within ``max_minutes``
    there are fewer. Space and data are given as in ``archbench.search``. A dry run stores nothing,
    and gives what would be trained. ``command`` is what was typed, for the report; ``on_note`` is
    told in words what a person should know.

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
        path = study_path(results, name)
        space = space_of(read_planned(path, kind="certificate").header, path=path)
    else:
        space = SearchSpace.load(space)
    settings = settings_of(
        space,
        {"workers": workers, "seed": seed},
        name=f"certify-{space.name}"[:64] if name is None else name,
        results=results,
        data=data,
        download=download,
    )
    progress = on_progress or no_progress
    with StudyContext(settings, tell=told_in_words(on_note), progress=progress) as context:
        study = _CertificateStudy(
            context=context,
            path=settings.path,
            download=download,
            progress=progress,
            max_seconds=None if max_minutes is None else 60 * max_minutes,
            workers=workers,
            settings=settings,
            said={"candidates": candidates, "seeds": seeds, "longer": longer},
        )
        study.run(resume=resume, dry_run=dry_run, command=command)
    return study.design if dry_run and not resume else read_certificate(settings.path)


@dataclass(kw_only=True)
class _CertificateStudy(PlannedStudy):
    """A certificate that is taken."""

    settings: Settings
    said: Mapping[str, int | None] = field(default_factory=dict)
    kind = "certificate"
    put_back = SAY_WHERE
    design: CertificateDesign = field(init=False)

    def plan(self, *, dry_run: bool) -> tuple[dict[str, Any], list[TrialRecord]]:
        settings, context = self.settings, self.context
        wanted = designed(settings, **self.said)
        sample = sampled(settings, number=wanted.candidates)
        self.start(device=settings.training_device, left=wanted.num_trainings)
        facts = prepared_data(context, settings)
        proxy = unplanned(settings, facts)
        proxy = with_ancestor(context, proxy, settings=settings)
        facts |= teacher_facts(context, proxy)
        specs = [spec.to_document() for spec in settings.some_candidates(_PRICED)]
        price = self.priced(specs, proxy=proxy)
        each = price.training_seconds / wanted.epochs
        wanted = replace(wanted, epoch_seconds=each, workers=context.workers)
        self.design = fitted(wanted, max_seconds=self.max_seconds)
        if dry_run:
            return {}, []
        told = in_words(self.design, asked=wanted)
        context.say(told)
        notes = [f"{told[:1].upper()}{told[1:]}."]
        if self.design == wanted:
            notes = []
        else:
            sample = sampled(settings, number=self.design.candidates)
        kept = {**facts, **proxy_document(proxy), "plan": price.plan.document()}
        return self.contents(sample, kept=kept, notes=notes)

    def contents(
        self,
        sample: Sequence[tuple[Choices, ArchSpec]],
        *,
        kept: Mapping[str, Any],
        notes: Sequence[str] = (),
    ) -> tuple[dict[str, Any], list[TrialRecord]]:
        """Header and trials; ``kept`` is what the header keeps of the proxy."""
        space, design = self.settings.space, self.design
        if len(sample) < design.candidates:
            notes = [*notes, f"The space has {len(sample)} feasible candidates, and all are taken."]
        lengths = [design.epochs] * design.seeds + [design.longer] * design.seeds
        planned = tuple(TrainingRecord(seed=s, epochs=epochs) for s, epochs in enumerate(lengths))
        header = {
            "space_name": space.name,
            "space_text": space.text,
            "most_candidates": most_candidates(space),
            "question": space.question,
            "subject": subject_of({"space_digest": space.digest, "proxy": kept}),
            "seed": self.settings.search.seed,
            **{name: getattr(design, name) for name in _DESIGN},
            "notes": notes,
            "proxy": kept,
        }
        return header, [
            running_record(number, spec, choices=space.values(choices), trainings=planned)
            for number, (choices, spec) in enumerate(sample)
        ]

    def resumed(self, found: Snapshot) -> Snapshot:
        settings, header, kept = self.settings, found.header, found.header["proxy"]
        begun = {
            "space": header["subject"]["space"],
            "rungs": kept["rungs"],
            "candidates": len(found.trials),
            "seeds": header["seeds"],
            "longer": header["longer"],
        }
        rungs = list(settings.space.proxy.rungs)
        now = {"space": settings.space.digest, "rungs": rungs, **self.said}
        self.refuse_another(found, begun=begun, now=now)
        return found

    def data_of(self, found: Snapshot) -> str:
        own, space = space_of(found.header, path=self.path), self.settings.space
        return data_as_begun(found.header, own=own, space=space, said=self.settings.options)

    def proxy_of(self, found: Snapshot, trial: TrialRecord, training: TrainingRecord) -> Proxy:
        """With points at more epochs than a search takes them."""
        kept = found.header["proxy"]
        proxy = Proxy.from_document(kept, plan=kept["plan"], num_seeds=kept["seeds"])
        rungs = tuple(sorted({*epochs_told(proxy.recipe.rungs), training.epochs}))
        return replace(proxy, recipe=replace(proxy.recipe, rungs=rungs))

    def finish(self) -> None:
        """Trains what is lacking and writes what it shows."""
        found = self.study.snapshot()
        header, names = found.header, {trial.number: trial.digest for trial in found.trials}
        self.train(found, names=names, seconds=header["epoch_seconds"] * header["longer"])
        shown = read_certificate(self.path, self.study.snapshot())
        write_atomically(self.path / DOCUMENT, certificate_bytes(shown))


def certify_first(context: StudyContext, *, dry_run: bool) -> None:
    """Says the price of a prepared study's certificate and takes it, if wanted and not there.

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
    name = f"certify-{settings.space.name[:40]}-{sha256_of(subject)[:8]}"
    own = replace(settings, path=settings.path.parent / name)
    design = _worthwhile(context, own)
    if design is None or dry_run:
        return
    study = _CertificateStudy(
        context=context,
        path=own.path,
        download=own.download,
        progress=_progress(context),
        workers=own.search.workers,
        settings=own,
    )
    study.design = design
    if find_planned(own.path) is None:
        require_writable(own.path.parent)
        kept = {**context.header["proxy"], "plan": context.header["plan"]}
        sample = sampled(own, number=design.candidates)
        study.create(*study.contents(sample, kept=kept), command=settings.command)
    with opened(own.path, kind="certificate") as study.study:
        study.finish()
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
            wanted = fitted(wanted, max_seconds=_SHARE * search_seconds)
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
