"""What a worker does before the first trial: data, teacher, ancestor, runtime, a trial's cost."""

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from archbench.data.look import Look, look_at
from archbench.evaluate.ancestor import Ancestor, find_ancestor
from archbench.evaluate.foreign import Foreign, noise, planned_network
from archbench.evaluate.price import (
    PLAN_BUDGET_S,
    Price,
    image_seconds,
    most_macs_per_second,
    price,
)
from archbench.evaluate.proxy import Proxy, describe, open_data, teacher_in_words
from archbench.evaluate.runtime_choice import time_backend
from archbench.evaluate.target import Target, calibrated
from archbench.measure.backend import require_backend
from archbench.measure.macs import count_operators
from archbench.models import as_spec
from archbench.progress import of_waits
from archbench.search.jobs import Document
from archbench.search.scheduler import Send, progress_to
from archbench.study.environment import Environment
from archbench.study.measurement import Conditions
from archbench.train.recipe import Plan


def prepare_data(
    send: Send,
    *,
    name: str,
    resolution: int,
    sides: Sequence[int],
    download: bool,
    balance: bool | None,
) -> dict[str, Any]:
    """What a study's header keeps of the data, which every worker finds in the cache then.

    They are there at further ``sides`` too, if any are given, each with its digest.
    """
    load = partial(open_data, name, download=download, progress=progress_to(send))
    facts = describe(load(resolution=resolution), balance=balance)
    if sides:
        facts["prepared"] = [
            {"resolution": side, "data_digest": load(resolution=side).digest}
            for side in sorted(sides)
        ]
        listed = ", ".join(f"{side} px" for side in sorted(sides))
        facts["data_notes"] += [f"images are prepared at {listed}, as resolutions of training"]
    return facts


def look_at_data(send: Send, *, name: str, resolution: int, download: bool) -> Look:
    """What is seen of the data before their images are decoded."""
    return look_at(name, resolution=resolution, download=download, progress=progress_to(send))


def try_images(send: Send, *, specs: Sequence[Document], proxy: Proxy) -> tuple[float, float]:
    """Seconds of learning from an image and of validating one, the mean over these candidates."""
    return image_seconds([as_spec(spec) for spec in specs], proxy=proxy)


def try_machine(send: Send) -> float:
    """MACs that this machine computes in a second at best, on the threads of a worker."""
    return most_macs_per_second()


def prepare_teacher(send: Send, *, proxy: Proxy) -> tuple[dict[str, Any], str] | None:
    """The teacher's facts, also in words; every worker finds it in the cache then."""
    teacher = proxy.teacher(progress=progress_to(send))
    return (teacher.facts(), teacher_in_words(teacher)) if teacher else None


def prepare_ancestor(send: Send, *, weights: str, base: Document, download: bool) -> Ancestor:
    """The ancestor of a study's trainings, whose weights every worker finds then."""
    told = progress_to(send)
    return find_ancestor(weights, base=as_spec(base), download=download, on_progress=told)


def check_ancestor(send: Send, *, ancestor: Ancestor) -> None:
    """Nothing, where the weights of the ancestor are there as they were."""
    ancestor.read()


def count_built(send: Send, *, document: Document) -> dict[str, int]:
    """The counts of a network of another library, which is built for them.

    Raises:
        UncountedOperatorError: They cannot be had.
        ArchbenchError: There is no such network.
    """
    found = planned_network(document)
    assert isinstance(found, Foreign)
    counted = count_operators(found.network, noise(found.resolution, batch=1))
    return {key: getattr(counted, key) for key in ("params", "macs", "activations")}


def time_base(
    send: Send,
    *,
    spec: Document,
    conditions: Conditions,
    precisions: Sequence[str],
    environment: Environment,
    images: tuple[str, int],
) -> dict[str, Any]:
    """What the base network of a space takes in a backend; see ``time_backend``."""
    return time_backend(
        as_spec(spec),
        conditions,
        precisions=precisions,
        environment=environment,
        images=images,
        on_progress=of_waits(progress_to(send)),
    )


def find_target(
    send: Send,
    *,
    timed: Sequence[Document],
    conditions: Conditions,
    environment: Environment,
    images: tuple[str, int],
    batches: tuple[int, ...] = (),
    anchors: Sequence[Document] = (),
    int8: Conditions | None = None,
) -> tuple[Target, float]:
    """The target with this machine's constants, and the seconds that a timing takes on average.

    The anchors are those of an earlier study on this machine, else of the networks to be ``timed``.
    With further batches each network is timed at these, too; under the conditions of ``int8`` one
    is timed in int8.
    """
    told = of_waits(progress_to(send))
    if int8:
        require_backend(int8)
    networks = [as_spec(spec) for spec in timed]
    target = calibrated(conditions, environment=environment, images=images, on_progress=told)
    target = replace(target, batches=batches)
    begin = time.monotonic()
    if anchors:
        target = target.anchored([], known=anchors)
        for network in networks:
            target.measure(network, on_progress=told)
    else:
        target = target.anchored(networks, on_progress=told)
    seconds = (time.monotonic() - begin) / len(networks)
    if int8 and int8 != conditions:
        begin = time.monotonic()
        target.at("int8").measure(networks[len(networks) // 2], on_progress=told)
        seconds += time.monotonic() - begin
    return target, seconds


def price_trial(
    send: Send,
    *,
    specs: Sequence[Document],
    proxy: Proxy,
    latency_seconds: float = 0.0,
    plan: Plan | None = None,
    plan_budget_s: float = PLAN_BUDGET_S,
    int8: Conditions | None = None,
) -> Price:
    """What a trial costs on average, of which a timing takes ``latency_seconds``.

    The proxy is as it will be, but for the plan, which an earlier study may have chosen; else its
    choice has ``plan_budget_s`` seconds for each candidate. Under the conditions of ``int8``
    networks are quantised, too.
    """
    if int8:
        require_backend(int8)
    return price(
        [as_spec(spec) for spec in specs],
        proxy=proxy,
        latency_seconds=latency_seconds,
        quantised=int8,
        plan=plan,
        plan_budget_s=plan_budget_s,
    )
