"""From whose weights do a study's trainings begin, and what does that network reach itself?"""

import statistics
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

from archbench.errors import ArchbenchError, SpecError
from archbench.evaluate.ancestor import NONE, Ancestor
from archbench.evaluate.proxy import Proxy
from archbench.models import ArchSpec, as_spec, count
from archbench.search.context import Context, StudyContext
from archbench.search.jobs import TrainJob, time_each, train_again
from archbench.search.preparation_jobs import check_ancestor, prepare_ancestor
from archbench.search.settings import Settings
from archbench.space import SearchSpace, choices_for
from archbench.train.checkpoint import remove_checkpoints


def with_ancestor(context: Context, proxy: Proxy, *, settings: Settings) -> Proxy:
    """The proxy with the ancestor that the space wants, whose weights are on this machine then.

    Raises:
        ArchbenchError: See ``archbench.evaluate.ancestor.find_ancestor``.
        KeyboardInterrupt: Somebody wants it to stop.
    """
    weights = settings.space.proxy.weights
    if weights == NONE:
        return proxy
    base = {**settings.space.base, "name": ""}
    find = partial(prepare_ancestor, weights=weights, base=base, download=settings.download)
    ancestor: Ancestor = context.call(find)
    context.say(f"trainings begin from the weights of {ancestor.name} ({ancestor.file})")
    return replace(proxy, weights=ancestor)


def require_ancestor(context: Context, proxy: Proxy) -> None:
    """Nothing, where the weights that trainings begin with are there as they were, or none are.

    Raises:
        ArchbenchError: They are gone, or are others.
        KeyboardInterrupt: Somebody wants it to stop.
    """
    if proxy.weights is not None:
        context.call(partial(check_ancestor, ancestor=proxy.weights))


def ancestor_entries(context: StudyContext, start: Mapping[str, Any]) -> dict[str, Any]:
    """What the header of a new study keeps of its ancestor, which is tried first where it can be.

    ``start`` are the entries that say what is tried first else. Nothing without an ancestor.
    """
    if context.proxy.weights is None:
        return {}
    spec = context.proxy.weights.read().spec
    found = _candidate(spec, space=context.settings.space, proxy=context.proxy)
    digest = found.digest if found else None
    about = {"spec": (found or spec).to_document(), "digest": digest, "accuracy": None}
    first = [{"choices": {}, "spec": about["spec"]}] if found else []
    return {"ancestor": about, "start": [*first, *start.get("start", ())]}


def _candidate(ancestor: ArchSpec, *, space: SearchSpace, proxy: Proxy) -> ArchSpec | None:
    """The candidate that the proxy trains as the very network that the ancestor is, if any.

    The first embed of an ancestor that was trained on a proxy may be adapted to small images, and
    that of the base is not. It is trained at the resolution of the proxy, as the base is.
    """
    proxy = replace(proxy, sides=None)
    base, document = space.base, ancestor.to_document()
    document |= {key: base[key] for key in ("resolution", "num_classes")}
    first, *later = document["stages"]
    for embed in (first["embed"], base["stages"][0]["embed"]):
        with suppress(SpecError):
            stages = [{**first, "embed": embed}, *later]
            spec = as_spec({**document, "stages": stages})
            is_same = proxy.spec(spec).digest == proxy.spec(ancestor).digest
            if is_same and choices_for(space, spec) is not None:
                return spec
    return None


def train_ancestor(context: StudyContext) -> None:
    """Trains the ancestor as candidates are, once, where it is none of them, and times it.

    It is timed where it is of the target's resolution. Where it cannot be trained that is told.

    Raises:
        KeyboardInterrupt: Somebody wants it to stop.
    """
    study, proxy, target = context.study, context.proxy, context.target
    about = study.header().get("ancestor")
    if about is None or about["digest"] is not None or about["accuracy"] is not None:
        return
    assert proxy.weights is not None
    name, timeout_s = proxy.weights.name, context.settings.search.timeout_s
    context.say(f"training {name} itself, which is no candidate")
    try:
        accuracy = statistics.fmean(
            _trained(context, about["spec"], seed=seed, timeout_s=timeout_s)
            for seed in range(proxy.num_seeds)
        )
        spec = as_spec(about["spec"])
        if target is not None and tuple(spec.resolution) == target.conditions.resolution:
            times = partial(time_each, specs={name: about["spec"]}, target=target)
            latency = context.call(times, timeout_s=timeout_s)[name]
            counted = count(spec)
            study.add_reference(name, latency, counted.params, counted.macs)
    except ArchbenchError as error:
        context.warn(f"{name} itself could not be trained: {error.message}")
    else:
        study.set_header("ancestor", {**about, "accuracy": accuracy})
        context.say(f"{name} itself reaches {100 * accuracy:.1f} %")


def _trained(
    context: StudyContext, spec: Mapping[str, Any], *, seed: int, timeout_s: float
) -> float:
    checkpoint = context.checkpoints / f"ancestor-seed-{seed}.checkpoint.safetensors"
    proxy = replace(context.proxy, sides=None)
    job = TrainJob(number=0, spec=spec, proxy=proxy, seed=seed, checkpoint=checkpoint)
    accuracy: float = context.call(partial(train_again, job=job), timeout_s=timeout_s)
    remove_checkpoints(checkpoint)
    return accuracy
