"""What must be known before the first trial, and how a study's header keeps it."""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from functools import partial
from typing import Any

from archbench.analysis.baseline import BASELINES
from archbench.analysis.study_header import backend_in_words
from archbench.command_line import command_line
from archbench.evaluate.block_table import Predictor, stored_predictor
from archbench.evaluate.price import Price
from archbench.evaluate.proxy import Proxy
from archbench.evaluate.quantised import quantisation_of
from archbench.evaluate.target import Target
from archbench.models.rewrite import Sides
from archbench.search import events
from archbench.search.affordable import baseline_seconds, require_baseline_time, require_time
from archbench.search.backend_choice import choose_backend
from archbench.search.context import StudyContext
from archbench.search.data_facts import prepared_data, teacher_facts
from archbench.search.earlier import Match, earlier_anchors, known_plan
from archbench.search.engines.local import held_bytes
from archbench.search.inheritance import with_ancestor
from archbench.search.opening import PREPARED, restore
from archbench.search.preparation_jobs import find_target, price_trial
from archbench.search.settings import Settings, conditions_of, space_entries
from archbench.study import study_folder
from archbench.study.environment import Environment
from archbench.train.recipe import Plan, Recipe

_SEARCH = ("seed", "sampler", "pruner", "audit", "trials", "epochs", "hours")
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
        **{key: header[key] for key in PREPARED},
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
