"""What must be known before the first trial, and how a study's header keeps it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from archbench.errors import StorageError, UsageError
from archbench.search import events
from archbench.search.job import Engine
from archbench.search.jobs import Call, Progress, prepare_data, prepare_teacher, price_trial
from archbench.search.memory import held_bytes
from archbench.search.scheduler import finish
from archbench.search.settings import Request
from archbench.study.environment import Environment
from archbench.study.measurement import Conditions

if TYPE_CHECKING:
    from archbench.evaluate.price import Price
    from archbench.evaluate.proxy import Proxy
    from archbench.evaluate.target import Target
    from archbench.search.interruption import Interruption
    from archbench.train.plan import Plan

_PRICED = 3
_SLOWEST = 3.0  # times the mean trial
_PATIENCE_S = 24 * 3600.0


@dataclass(frozen=True, kw_only=True)
class Grounds:
    """What all trials of a study stand on.

    Attributes:
        proxy: What accuracy is taken on.
        target: What latency is taken on, or None.
        trial_seconds: What a trial costs a worker.
        tried: How that is made up, in words.
        feasible: Share of feasible candidates, with its interval: value, low, high.
    """

    proxy: Proxy
    target: Target | None
    trial_seconds: float
    tried: str
    feasible: tuple[float, float, float]


def prepare(
    request: Request,
    *,
    environment: Environment,
    engine: Engine,
    interruption: Interruption,
    listener: events.Listener,
    plan: Plan | None = None,
) -> tuple[Grounds, dict[str, Any]]:
    """Makes the data, takes the constants, tries some candidates; the grounds and the header.

    How trainings are computed is chosen by measuring, unless a ``plan`` is given.

    Raises:
        ArchbenchError: Data, device or candidates are missing or cannot be used.
        KeyboardInterrupt: Somebody wants it to stop.
    """
    listener(events.StageChanged(text="counting the feasible candidates"))
    share = request.space.feasible()
    specs = request.some_candidates(_PRICED)
    if not specs:
        raise request.space.infeasible(share)
    if held_bytes(os.getpid()) is None:
        listener(events.StageChanged(text="this system hides how much memory a worker holds"))
    facts = _data(request, engine=engine, interruption=interruption, listener=listener)
    for note in facts["data_notes"]:
        listener(events.StageChanged(text=note))
    proxy = unplanned(request, num_classes=facts["num_classes"])
    facts |= _teacher(proxy, engine=engine, interruption=interruption, listener=listener)
    listener(events.StageChanged(text="calibrating, and trying what a trial costs"))
    job = partial(
        price_trial,
        specs=[spec.to_document() for spec in specs],
        proxy=proxy,
        conditions=request.conditions if request.wants_latency else None,
        environment=environment,
        plan=plan,
    )
    target, price = finish(
        engine,
        Call(function=job),
        timeout_s=request.space.search.timeout_s * _PRICED,
        interruption=interruption,
    )
    timeout_s = request.space.search.timeout_s
    if price.seconds * _SLOWEST > timeout_s:
        told = (
            f"a trial may take {price.seconds * _SLOWEST:.0f} s and is ended after {timeout_s:g} s"
        )
        listener(events.Warned(text=f"{told}: give more time, search.timeout in the space"))
    grounds = Grounds(
        proxy=replace(proxy, plan=price.plan),
        target=target,
        trial_seconds=price.seconds,
        tried=_in_words(price),
        feasible=(share.value, share.low, share.high),
    )
    return grounds, _header(request, grounds=grounds, facts=facts, environment=environment)


def prepared(
    request: Request, grounds: Grounds, *, done: int, workers: int, sources: tuple[str, ...] = ()
) -> events.Prepared:
    """What is told before the first trial."""
    value, low, high = grounds.feasible
    trials = request.expected_trials
    left = max(0, trials - done)
    return events.Prepared(
        name=request.name,
        path=request.path,
        size=request.space.size(),
        feasible_share=value,
        feasible_low=low,
        feasible_high=high,
        trials=trials,
        trials_done=done,
        workers=workers,
        trial_seconds=grounds.trial_seconds,
        expected_seconds=grounds.trial_seconds * left / workers,
        tried=grounds.tried,
        sources=sources,
    )


def check_data(
    request: Request,
    *,
    proxy: Proxy,
    kept: Mapping[str, Any],
    engine: Engine,
    interruption: Interruption,
    listener: events.Listener,
) -> None:
    """Prepares data and teacher of a study again, where the cache is gone, and compares.

    Args:
        request: What is resumed.
        proxy: Of the study.
        kept: What the header keeps of the proxy.
        engine: Where they are prepared.
        interruption: Whether somebody wants it to stop.
        listener: Told what happens.

    Raises:
        UsageError: The images, labels, classes or the teacher are others than when the study was
            begun.
        KeyboardInterrupt: Somebody wants it to stop.
    """
    facts = _data(request, engine=engine, interruption=interruption, listener=listener)
    if facts["data_digest"] != kept["data_digest"]:
        raise UsageError(
            f"the data {request.data} has changed since the study was begun",
            place=str(request.path),
            help="put it back as it was, or begin a new study with another --name",
        )
    teacher = _teacher(proxy, engine=engine, interruption=interruption, listener=listener)
    if teacher.get("teacher", {}).get("sha256") != kept.get("teacher", {}).get("sha256"):
        raise UsageError(
            "the teacher of the study is gone, and the one that was trained anew is another",
            place=str(request.path),
            help="put back its file in the cache's folder teachers, or begin a new study with "
            "another --name",
        )


def restore(header: Mapping[str, Any], *, environment: Environment, place: str) -> Grounds:
    """The grounds of a study from its header.

    Raises:
        UsageError: It was begun on another machine or with other software.
        StorageError: The header lacks an entry.
    """
    from archbench.evaluate.proxy import Proxy
    from archbench.evaluate.target import Target

    try:
        begun = Environment(**header["environment"])
        _refuse_other_environment(begun, environment)
        kept = header["proxy"]
        proxy = Proxy.from_document(kept, plan=header["plan"], num_seeds=kept["seeds"])
        target = None
        if header["calibration"] is not None:
            conditions = header["conditions"]
            target = Target(
                conditions=Conditions(
                    **{**conditions, "resolution": tuple(conditions["resolution"])}
                ),
                environment=begun,
                constants=header["calibration"],
            )
        share = header["feasible_share"], header["feasible_low"], header["feasible_high"]
        return Grounds(
            proxy=proxy,
            target=target,
            trial_seconds=header["trial_seconds"],
            tried=header["tried"],
            feasible=share,
        )
    except (KeyError, TypeError) as error:
        raise StorageError(
            f"the study's header is not as this version writes it: {error}",
            place=place,
            help="begin a new study with another --name",
        ) from error


def _data(
    request: Request, *, engine: Engine, interruption: Interruption, listener: events.Listener
) -> dict[str, Any]:
    listener(events.StageChanged(text=f"preparing the data ({request.data})"))
    job = partial(
        prepare_data,
        name=request.data,
        resolution=request.space.proxy.resolution,
        download=request.download,
    )
    facts: dict[str, Any] = finish(
        engine,
        Call(function=job),
        timeout_s=_PATIENCE_S,
        interruption=interruption,
        on_sent=_progress_teller(listener),
    )
    return facts


def _teacher(
    proxy: Proxy, *, engine: Engine, interruption: Interruption, listener: events.Listener
) -> dict[str, Any]:
    """What the header keeps of the teacher; nothing where there is none."""
    if proxy.recipe.teacher == "none":
        return {}
    found = finish(
        engine,
        Call(function=partial(prepare_teacher, proxy=proxy)),
        timeout_s=_PATIENCE_S,
        interruption=interruption,
        on_sent=_progress_teller(listener),
    )
    facts, words = found
    listener(events.StageChanged(text=words))
    return {"teacher": facts}


def unplanned(request: Request, *, num_classes: int) -> Proxy:
    """The proxy of a request, but for its plan."""
    from archbench.evaluate.proxy import Proxy
    from archbench.train.plan import Plan
    from archbench.train.recipe import Recipe

    section = request.space.proxy
    return Proxy(
        data=request.data,
        resolution=section.resolution,
        num_classes=num_classes,
        stem=section.stem,
        num_seeds=section.seeds,
        recipe=Recipe(
            rungs=section.rungs, batch=section.batch, seed=request.seed, teacher=section.teacher
        ),
        plan=Plan(),
        device=request.training_device,
    )


def _header(
    request: Request, *, grounds: Grounds, facts: Mapping[str, Any], environment: Environment
) -> dict[str, Any]:
    space, proxy, target = request.space, grounds.proxy, grounds.target
    value, low, high = grounds.feasible
    return {
        "name": request.name,
        "created": datetime.now().astimezone().isoformat(timespec="seconds"),
        "seed": request.seed,
        "sampler": request.sampler,
        "pruner": request.pruner,
        "audit": request.space.search.audit,
        "trials": request.trials,
        "epochs": request.epochs,
        "command": request.command,
        "space_text": space.text,
        "space_name": space.name,
        "space_digest": space.digest,
        "axes": {a.name: [a.label(i) for i in range(len(a.values))] for a in space.axes},
        "question": space.question,
        "objectives": dict(space.objectives),
        "limits": dict(space.limits),
        "size": space.size(),
        "feasible_share": value,
        "feasible_low": low,
        "feasible_high": high,
        "conditions": asdict(request.conditions),
        "calibration": dict(target.constants) if target else None,
        "environment": asdict(environment),
        "proxy": {
            **facts,
            "resolution": proxy.resolution,
            "stem": proxy.stem,
            "rungs": list(proxy.recipe.rungs),
            "seeds": proxy.num_seeds,
            "device": proxy.device,
            "recipe": proxy.recipe.document(),
        },
        "plan": proxy.plan.document(),
        "trial_seconds": grounds.trial_seconds,
        "tried": grounds.tried,
        "seconds": 0.0,
    }


def _in_words(price: Price) -> str:
    plan = f"{price.plan.precision} {price.plan.memory_format.replace('_', ' ')}"
    latency = f"{price.latency_seconds:.1f} s for its latency and " if price.latency_seconds else ""
    return (
        f"{latency}{price.training_seconds:.1f} s of training in {plan} "
        f"({1e3 * price.step_seconds:.0f} ms a step), from {price.tried} candidates of different "
        "sizes that were built, timed and trained for some steps"
    )


def _refuse_other_environment(begun: Environment, now: Environment) -> None:
    if begun.id == now.id:
        return
    theirs, ours = asdict(begun), asdict(now)
    differing = [key for key in ours if ours[key] != theirs[key]]
    told = "; ".join(f"{key} was {theirs[key]} and is {ours[key]}" for key in differing)
    raise UsageError(
        f"the study was begun on another machine or with other software: {told}",
        place="--resume",
        help="its numbers and new ones could not be compared; resume it there, or begin a new "
        "study with another --name",
    )


def _progress_teller(listener: events.Listener) -> Callable[[Any], None]:
    told: set[str] = set()

    def tell(payload: Any) -> None:
        if isinstance(payload, Progress) and payload.what not in told:
            told.add(payload.what)
            listener(events.StageChanged(text=payload.what))

    return tell
