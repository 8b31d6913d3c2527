"""Find the front of a space: prepare, search, confirm, and park whenever somebody wants it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from optuna.samplers import BaseSampler

from archbench.analysis.study import StudyReader, open_study
from archbench.analysis.study_header import chance_in_words, source_in_words
from archbench.command_line import command_line
from archbench.data import Data
from archbench.errors import UsageError
from archbench.search import events
from archbench.search.baselines import train_baselines
from archbench.search.certificate import certify_first
from archbench.search.confirmation import confirm_front
from archbench.search.context import StudyContext
from archbench.search.earlier import read_earlier
from archbench.search.growth import as_begun, grow
from archbench.search.machines import Machines
from archbench.search.opening import check_data, opened, restore
from archbench.search.optuna_view import quiet_optuna
from archbench.search.planning import plan_search
from archbench.search.preparation import prepare, prepared
from archbench.search.settings import Settings, settings_of, space_of
from archbench.search.trials import AllFailedError, reopen_failed, run_trials
from archbench.search.usable import refuse_unknown
from archbench.search.warm_start import create, warm_start
from archbench.space import SearchSpace
from archbench.study import study_folder
from archbench.study.study_folder import path_of, study_path


def search(
    space: SearchSpace | str | Path | Mapping[str, Any],
    *,
    trials: int | None = None,
    epochs: int | None = None,
    time_limit_s: float | None = None,
    hours: float | None = None,
    name: str | None = None,
    results: str | Path = "results",
    resume: bool = False,
    retry_failed: bool = False,
    data: Data | None = None,
    workers: int | None = None,
    seed: int | None = None,
    sampler: str | BaseSampler | type[BaseSampler] | None = None,
    pruner: str | object | None = None,
    download: bool = False,
    confirm_budget: str | None = None,
    certify: bool | None = None,
    dry_run: bool = False,
    start_from: str | Path | Sequence[str | Path] = (),
    machines: Machines | None = None,
    on_event: events.Listener | None = None,
) -> StudyReader | None:
    """Searches a space for the front of accuracy and cost, and gives the study.

    Each candidate is counted, timed on the target, held against the limits and trained on the
    proxy, in child processes. Before them the known networks are timed and trained that the
    space's ``baselines`` name. All that is known of a trial is stored as it comes, so the search
    may be killed at any moment and resumed. Ctrl-C parks it.

    Args:
        space: A file, a shipped name, a document (a dict) or a ``SearchSpace``. What no other
            argument says is as the space says.
        trials: How many the study shall have, those before it was resumed and those stopped early
            included.
        epochs: Epochs trained in all after which no trial is begun, so that what is not spent on
            hopeless candidates goes to others.
        time_limit_s: Seconds of this run after which no trial is begun; those that run end.
        hours: About how long a new search shall take; it is planned, see
            ``archbench.search.planning``.
        name: Of the study, by default the space's.
        results: The folder of the study's folder.
        resume: Go on with the study of this name.
        retry_failed: When it is resumed, run trials again that failed by a crash or a timeout.
        data: A name, a ``DataSet`` or a torch Dataset, whose images the cache keeps for workers.
        workers: Trials at a time, by default one for each group of cores of the target's threads,
            or for each GPU.
        seed: Of proposals and trainings.
        sampler: A name, or a class or an object of Optuna's kind. An object proposes as it
            stands, so a study that is resumed with it may propose others.
        pruner: A name, or an object with ``ASKS`` and ``judge``; ``none`` stops nothing.
        download: Fetch missing data from their home.
        confirm_budget: ``20%`` of the search's time, or a time such as ``10m``, that may be spent
            on training uncertain candidates again.
        certify: Begin with a certificate of the proxy; by default where the search is many times
            as long.
        dry_run: Stop before the first trial, store nothing and give None.
        start_from: Earlier studies, which are only read. Their trials count as done where network
            and conditions are the same, and else say where to start.
        machines: Which GPUs train, or which cluster does.
        on_event: Is told what happens, see ``archbench.events``.

    Raises:
        ParkedError: It was stopped from outside; the help says how to go on.
        AllFailedError: The first trials all failed for the same reason.
        ArchbenchError: Space, data, device or storage cannot be used.
    """
    space = SearchSpace.load(space)
    earlier = [start_from] if isinstance(start_from, str | Path) else start_from
    sources = [path_of(path, place="start_from") for path in earlier]
    if resume and sources:
        own = study_path(results, name or space.name)
        beginning = command_line("--from", own, "--from", sources[0])
        raise UsageError(
            "a study that goes on takes nothing from another",
            place="--from",
            help=f"leave out --resume and give another --name to begin one from both: {beginning}",
        )
    if retry_failed and not resume:
        raise UsageError(
            "only a study that goes on has failed trials to retry",
            place="--retry-failed",
            help="add --resume",
        )
    asked = partial(
        settings_of,
        said={
            "trials": trials,
            "epochs": epochs,
            "time_limit_s": time_limit_s,
            "hours": hours,
            "workers": workers,
            "seed": seed,
            "sampler": sampler,
            "pruner": pruner,
            "certify": None if certify is None else "always" if certify else "never",
        },
        name=name,
        results=results,
        data=data,
        download=download,
        confirm_budget=confirm_budget,
        sources=sources,
        machines=machines,
    )
    settings = asked(space)
    quiet_optuna()
    command = study_folder.resume_command(settings.path) + settings.machines.typed
    with (
        StudyContext(settings, tell=on_event or events.ignore) as context,
        context.parks(
            settings.path, noun="search", first="trial", resume=f"resume it with: {command}"
        ),
    ):
        context.locate()
        if resume:
            _resume(context, retry_failed=retry_failed)
        elif not _begin(context, asked, dry_run=dry_run):
            return None
    return open_study(settings.path)


def _begin(context: StudyContext, asked: partial[Settings], *, dry_run: bool) -> bool:
    """A new study, searched; False after a dry run."""
    settings = context.settings
    refuse_unknown(settings.space)
    if not dry_run:
        study_folder.refuse_existing(settings.path)
        study_folder.require_writable(settings.path.parent)
    context.start_for(settings.search.trials)
    if settings.search.hours is not None:
        plan_search(context, asked=asked)
        settings = context.settings
    for path in settings.sources:
        context.say(f"reading the study {path}")
    earlier = [read_earlier(path, space=settings.space) for path in settings.sources]
    prepare(context, earlier)
    start = warm_start(context, earlier, dry_run=dry_run)
    sources = tuple(map(source_in_words, start.sources))
    context.tell(prepared(context, done=len(start.designs), sources=sources))
    certify_first(context, dry_run=dry_run)
    if dry_run:
        return False
    create(context, start)
    with opened(context):
        _search(context)
    return True


def _resume(context: StudyContext, *, retry_failed: bool) -> None:
    """An existing study, searched on."""
    with opened(context):
        header, study = context.header, context.study
        settings = context.settings = as_begun(context.settings, header)
        if (wanted := settings.search.trials) < (there := len(study.designs)):
            context.warn(f"the study has {there} trials already: with {wanted} none is added")
            search = replace(settings.search, trials=there)
            settings = context.settings = replace(settings, search=search)
        if settings.search.time_limit_s == 0:
            context.warn("the time that was planned is over: --time 30m gives it more")
        if settings.space.text != header["space_text"]:
            context.say("finding the study's trials in the new space")
            grow(study, settings.space, before=space_of(header, path=settings.path))
            restore(context, study.header())
        if retry_failed:
            numbers = ", ".join(map(str, reopen_failed(study)))
            context.say(
                f"retrying the trials {numbers}" if numbers else "no trial is to be retried"
            )
        done = len(study.designs) - len(study.running)
        context.start_for(max(1, settings.search.trials - done))
        check_data(context)
        context.tell(prepared(context, done=done))
        for key in ("trials", "epochs"):
            if getattr(settings.search, key) != header.get(key):
                study.set_header(key, getattr(settings.search, key))
        _search(context)


def _search(context: StudyContext) -> None:
    """Searches and confirms a study that is owned and open."""
    begin, study = context.clock(), context.study

    def close() -> float:
        seconds = context.clock() - begin
        study.set_header("seconds", float(study.header()["seconds"]) + seconds)
        left = study.left_to_chance()
        study.set_header("left_to_chance", left)
        if told := chance_in_words(study.header()):
            sampler = context.settings.search.sampler
            more = "; cost_aware and tpe model axes that only some candidates have"
            context.warn(f"{sampler} left to chance {told}{more if left['partly'] else ''}")
        context.close()
        return seconds

    try:
        train_baselines(context)
        reason = run_trials(context, begin=begin)
        confirm_front(context)
    except (KeyboardInterrupt, AllFailedError):
        close()
        raise
    seconds = close()
    context.tell(events.Finished(path=context.settings.path, reason=reason, seconds=seconds))
