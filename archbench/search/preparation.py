"""What must be known before the first trial, and how a study's header keeps it."""

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from archbench.analysis.baseline import BASELINES
from archbench.analysis.front import FrontRule
from archbench.analysis.study_header import backend_in_words
from archbench.command_line import command_line
from archbench.errors import StorageError, UsageError
from archbench.evaluate.block_table import Predictor, stored_predictor
from archbench.evaluate.price import Price
from archbench.evaluate.proxy import Proxy
from archbench.evaluate.quantised import quantisation_of
from archbench.evaluate.target import Target
from archbench.measure.machine import environment_of
from archbench.measure.machine_cache import PROTOCOL, protocol_of
from archbench.models.rewrite import Sides
from archbench.search import events
from archbench.search.affordable import baseline_seconds, require_baseline_time, require_time
from archbench.search.backend_choice import choose_backend
from archbench.search.context import StudyContext
from archbench.search.data_facts import known_data, prepared_data, teacher_facts
from archbench.search.earlier import Match, earlier_anchors, known_plan
from archbench.search.engines.local import held_bytes
from archbench.search.inheritance import require_ancestor, with_ancestor
from archbench.search.kept_weights import remove_strange_files
from archbench.search.optuna_view import Ledger
from archbench.search.preparation_jobs import find_target, price_trial
from archbench.search.settings import Settings, conditions_of, space_entries
from archbench.study import study_folder
from archbench.study.connection import read_kind
from archbench.study.environment import Environment
from archbench.study.measurement import Conditions
from archbench.study.objective import details_wanted
from archbench.study.planned import refuse_planned
from archbench.study.shape import PUT_BACK, require_entries
from archbench.train.recipe import Plan, Recipe

_SEARCH = ("seed", "sampler", "pruner", "audit", "trials", "epochs", "hours")
_PREPARED = ("feasible_share", "feasible_low", "feasible_high", "trial_seconds", "tried")
_NEEDED = (
    *("name", "created", "seed", "sampler", "trials", "space_text", "space_name", "size"),
    *("objectives", "limits", "conditions", "environment", "calibration", "proxy", "plan"),
    *("seconds", *_PREPARED),
)
_PRICED = 3
_TIMED = 5  # of which the fastest and the slowest are the anchors
_ASKED = 32
_ENOUGH = 0.5  # of the candidates: a model of these tells the others'


def prepare(context: StudyContext, earlier: Sequence[Sequence[Match]]) -> None:
    """Makes the data, takes the constants, tries some candidates: the header of a new study.

    The backend, where the space leaves it open, how trainings are computed and with what networks
    candidates are timed in turn is chosen by measuring, unless an ``earlier`` study that was made
    here says it.

    Raises:
        ArchbenchError: Data, device or candidates are missing or cannot be used.
        KeyboardInterrupt: Somebody wants it to stop.
    """
    settings = context.settings
    context.say("counting the feasible candidates")
    share = settings.space.feasible()
    if not settings.some_candidates(_PRICED):
        raise settings.space.infeasible(share)
    if held_bytes(os.getpid()) is None:
        context.say("this system hides how much memory a worker holds")
    context.say(f"preparing the data ({settings.data})")
    facts = prepared_data(context, settings)
    proxy = unplanned(settings, facts)
    proxy = with_ancestor(context, proxy, settings=settings)
    facts |= teacher_facts(context, proxy)
    choose_backend(context, earlier)
    settings = context.settings
    context.say("calibrating, and estimating what a trial costs")
    target, price = _tried(context, proxy, earlier)
    seconds, num_train = price.seconds, facts["num_train"]
    workers = context.workers
    if told := require_time(settings, seconds=seconds, workers=workers, num_train=num_train):
        context.warn(told)
    require_baseline_time(settings, each_s=seconds / workers)
    header = _header(settings, environment=context.environment) | {
        "feasible_share": share.value,
        "feasible_low": share.low,
        "feasible_high": share.high,
        "calibration": dict(target.constants) if target else None,
        **_of_device(target),
        "proxy": {**facts, **proxy_document(proxy)},
        "plan": price.plan.document(),
        "trial_seconds": price.seconds,
        "tried": price.in_words(),
    }
    if settings.backends:
        header["backends"] = list(settings.backends)
    if settings.int8:
        backend, number = settings.int8.backend, facts["num_train"]
        header["quantisation"] = quantisation_of(backend, num_train=number)
    restore(context, header)


def _tried(
    context: StudyContext, proxy: Proxy, earlier: Sequence[Sequence[Match]]
) -> tuple[Target | None, Price]:
    """The target, where a latency is wanted, and what a trial costs; see ``preparation_jobs``."""
    settings, target, seconds = context.settings, None, 0.0
    timeout_s = _PRICED * settings.search.timeout_s
    if settings.timed_limits:
        find = partial(
            find_target,
            timed=[spec.to_document() for spec in settings.some_candidates(_TIMED)],
            conditions=conditions_of(settings.space),
            batches=settings.space.target.batches[1:],
            environment=context.environment,
            images=(proxy.data, proxy.resolution),
            anchors=earlier_anchors(context, earlier),
            int8=settings.int8,
        )
        target, seconds = context.call(find, timeout_s=timeout_s, place="target")
    function = partial(
        price_trial,
        specs=[spec.to_document() for spec in settings.some_candidates(_PRICED)],
        proxy=proxy,
        latency_seconds=seconds,
        plan=known_plan(context, earlier),
        int8=settings.int8,
    )
    return target, context.call(function, timeout_s=timeout_s)


@contextmanager
def opened(context: StudyContext) -> Iterator[None]:
    """Owns and opens the study of a context while the block runs.

    Raises:
        UsageError: It was begun on another machine or with other software.
        StorageError: There is no study, it cannot be read, or another process owns it.
    """
    path = context.settings.path
    with study_folder.ownership(path):
        refuse_planned(read_kind(path / study_folder.DATABASE), path=path)
        with Ledger.open(path / study_folder.DATABASE) as context.study:
            if list(context.study.trials) != list(range(len(context.study.trials))):
                raise StorageError(
                    "the study lacks trials: their numbers have gaps",
                    place=str(path),
                    help=PUT_BACK,
                )
            remove_strange_files(context.checkpoints, known=context.study.trials)
            restore(context, context.study.header())
            yield


def restore(context: StudyContext, header: Mapping[str, Any]) -> None:
    """Gives a context the header of a study, and what is made from it.

    Raises:
        UsageError: It was begun on another machine or with other software.
        StorageError: The header lacks an entry.
    """
    place = str(context.settings.path)
    require_entries(header, _NEEDED, place=context.settings.path)
    try:
        refuse_other_environment(
            header,
            context.environment,
            another="another that takes over what it can: "
            + study_folder.another_from(context.settings.path),
        )
        context.header = dict(header)
        kept = header["proxy"]
        context.proxy = Proxy.from_document(kept, plan=header["plan"], num_seeds=kept["seeds"])
        context.target, context.int8 = None, None
        conditions = Conditions.from_document(header["conditions"])
        if "quantisation" in header:
            context.int8 = replace(conditions, precision="int8")
        if header["calibration"] is not None:
            _refuse_other_protocol(header, path=context.settings.path)
            context.target = Target(
                conditions=conditions,
                environment=environment_of(
                    conditions.device, here=Environment(**header["environment"])
                ),
                constants=header["calibration"],
                batches=tuple(header.get("batches", ())[1:]),
                details=details_wanted([*header["objectives"], *header["limits"]]),
                images=(context.proxy.data, context.proxy.resolution),
            )
        context.rule = FrontRule.of(header, place=place)
    except (KeyError, TypeError) as error:
        raise StorageError(
            f"the study's header is not as this version writes it: {error}",
            place=place,
            help="begin a new study with another --name",
        ) from error


def _refuse_other_protocol(header: Mapping[str, Any], *, path: Path) -> None:
    if protocol_of(header["calibration"]["settings"]) == PROTOCOL:
        return
    raise UsageError(
        "an earlier version of archbench timed its networks by other rules, and latencies of "
        "now could not be held against its own",
        place=str(path),
        help="begin another study that takes over its accuracies: "
        + study_folder.another_from(path),
    )


def prepared(context: StudyContext, *, done: int, sources: tuple[str, ...] = ()) -> events.Prepared:
    """What is told before the first trial."""
    settings, header = context.settings, context.header
    trials, limit_s = settings.expected_trials, settings.search.time_limit_s
    each_s = header["trial_seconds"] / context.workers
    names, beside_s = _baselines(context, each_s=each_s)
    if limit_s is not None:
        within = math.ceil(max(0.0, limit_s - beside_s) / each_s)
        trials = min(trials, done + within)
    return events.Prepared(
        name=settings.name,
        path=settings.path,
        size=settings.space.size(),
        trials=trials,
        trials_done=done,
        workers=context.workers,
        expected_seconds=each_s * max(0, trials - done),
        baselines=names,
        baseline_seconds=beside_s,
        confirmation_seconds=settings.closing_seconds(
            header["trial_seconds"] * trials, workers=context.workers
        ),
        sources=sources,
        backend=backend_in_words(header),
        **{key: header[key] for key in _PREPARED},
    )


def _baselines(context: StudyContext, *, each_s: float) -> tuple[tuple[str, ...] | None, float]:
    """The known networks that are still to be trained, None where they are to be chosen; seconds.

    One takes as long as a trial, ``each_s``.
    """
    kept, names = context.header.get(BASELINES, ()), context.settings.space.baselines
    most_s = baseline_seconds(context.settings, each_s=each_s)
    if kept is None and names is None:
        return None, most_s
    if kept is not None:
        names = tuple(
            one["name"] for one in kept if one["digest"] is None and one["state"] == "running"
        )
    return names, min(most_s, each_s * len(names or ()))


def check_data(context: StudyContext) -> None:
    """Prepares data and teacher of a study again, where the cache is gone, and compares.

    Raises:
        UsageError: Images, labels, classes or teacher are others than when the study was begun.
        MissingError: There are no data where they lay.
        KeyboardInterrupt: Somebody wants it to stop.
    """
    settings = context.settings
    context.say(f"preparing the data ({settings.data})")
    kept = known_data(
        context,
        settings.data,
        study=context.study,
        path=settings.path,
        sides=settings.space.trained_sides.values(),
        download=settings.download,
        another="another study that takes over what it can: "
        + study_folder.another_from(settings.path),
    )
    if kept != context.header["proxy"]:
        restore(context, context.study.header())
    require_ancestor(context, context.proxy)
    teacher = teacher_facts(context, context.proxy)
    if teacher.get("teacher", {}).get("sha256") != kept.get("teacher", {}).get("sha256"):
        raise UsageError(
            "the teacher of the study is gone, and the one that was trained anew is another",
            place=str(settings.path),
            help="put back its file in the cache's folder teachers, or begin a new study with "
            "another --name",
        )


def unplanned(settings: Settings, facts: Mapping[str, Any]) -> Proxy:
    """The proxy of a search on data of these facts, but for its plan and its ancestor."""
    section = settings.space.proxy
    return Proxy(
        data=settings.data,
        resolution=section.resolution,
        num_classes=facts["num_classes"],
        stem=section.stem,
        num_seeds=section.seeds,
        recipe=Recipe(
            rungs=section.rungs,
            batch=section.batch,
            seed=settings.search.seed,
            images=section.images,
            balance=facts.get("balanced", False),
            teacher=section.teacher,
        ),
        plan=Plan(),
        device=settings.training_device,
        sides=settings.space.sides,
    )


def proxy_document(proxy: Proxy) -> dict[str, Any]:
    """What a header keeps of the proxy, beside the facts of its data and teacher."""
    return {
        "resolution": proxy.resolution,
        "stem": proxy.stem,
        "rungs": list(proxy.recipe.rungs),
        "seeds": proxy.num_seeds,
        "device": proxy.device,
        "recipe": proxy.recipe.document(),
        **({"weights": proxy.weights.document()} if proxy.weights else {}),
        **sides_entry(proxy.sides),
    }


def sides_entry(sides: Sides | None) -> dict[str, Any]:
    """What a header keeps of how resolutions follow from candidates' own; nothing of one alone."""
    return {"sides": {"base": sides.base, "step": sides.step}} if sides else {}


def predictor(context: StudyContext) -> Predictor | None:
    """What tells candidates' latencies, from the blocks that were stored when the study began.

    None where no latency is wanted, no table was there, or it tells less than half of some
    candidates: then the way to more is told.
    """
    settings, target = context.settings, context.target
    path = settings.path / study_folder.BLOCKS
    if target is None or not path.exists():
        return None
    found, note = stored_predictor(target, path=path)
    if note:
        context.warn(note)
    specs = settings.some_candidates(_ASKED)
    share = found.covered(specs)
    told = f"timed blocks predict the latency of {100 * share:.0f} % of the candidates"
    if share < _ENOUGH:
        space = settings.space_to_type
        more = command_line("archbench", "estimate", "--space", space, "--samples", 300)
        context.say(f"{told}, too few to use them: {more} times more")
        return None
    context.say(f"{told} with a mean error of {100 * found.mean_error(specs):.1f} %")
    return found


def _of_device(target: Target | None) -> dict[str, Any]:
    """The environment of another device, where candidates are timed on one."""
    is_remote = target is not None and target.conditions.is_remote
    return {"timed_in": asdict(target.environment)} if target and is_remote else {}


def _header(settings: Settings, *, environment: Environment) -> dict[str, Any]:
    """What is known before anything is tried."""
    space, search = settings.space, settings.search
    precisions, batches = space.target.precisions, space.target.batches
    return {
        "name": settings.name,
        "created": datetime.now().astimezone().isoformat(timespec="seconds"),
        **{key: getattr(search, key) for key in _SEARCH},
        "command": settings.command,
        **space_entries(space),
        "objectives": dict(space.objectives),
        "limits": dict(space.limits),
        "size": space.size(),
        "conditions": asdict(conditions_of(space)),
        **({"precisions": list(precisions)} if len(precisions) > 1 else {}),
        **({"batches": list(batches)} if len(batches) > 1 else {}),
        "environment": asdict(environment),
        BASELINES: None,
        "seconds": 0.0,
    }


def refuse_other_environment(header: Mapping[str, Any], now: Environment, *, another: str) -> None:
    """Nothing, when a study is gone on with where its numbers would come out the same.

    What it was begun in stands in its header; ``another`` is what begins another one.

    Raises:
        UsageError: The machine or its software is another, as far as that changes numbers.
    """
    begun, conditions = Environment(**header["environment"]), header.get("conditions") or {}
    backend = conditions.get("backend", "eager")
    theirs, ours = (one.what_counts(backend=backend) for one in (begun, now))
    differing = [key for key in ours if ours[key] != theirs[key]]
    if not differing:
        return
    told = "; ".join(f"{key} was {theirs[key]} and is {ours[key]}" for key in differing)
    raise UsageError(
        f"the study was begun on another machine or with other software: {told}",
        place="--resume",
        help=f"its numbers and new ones could not be compared; resume it there, or begin {another}",
    )
