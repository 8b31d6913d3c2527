"""What will a trial cost: a few candidates are built, timed and trained for some steps."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from archbench.data import DataSet, Split
from archbench.evaluate.proxy import Proxy, widest
from archbench.evaluate.target import Target
from archbench.measure.device import require_device
from archbench.models import ArchSpec
from archbench.train.loop import train
from archbench.train.plan import choose_plan, common_plan
from archbench.train.recipe import Plan

PLAN_BUDGET_S = 4.0
_STEPS = 6
_VALIDATED_IMAGES = 256


@dataclass(frozen=True, kw_only=True)
class Price:
    """What one trial costs one worker, on average over the candidates tried.

    Attributes:
        plan: In which precision and memory format they will be trained.
        latency_seconds: Measuring the latency; 0 where it is not measured.
        step_seconds: One training step.
        training_seconds: All trainings of a trial with their validations.
        tried: Number of candidates.
    """

    plan: Plan
    latency_seconds: float
    step_seconds: float
    training_seconds: float
    tried: int

    @property
    def seconds(self) -> float:
        """The whole trial."""
        return self.latency_seconds + self.training_seconds


def price(
    specs: Sequence[ArchSpec],
    *,
    proxy: Proxy,
    target: Target | None,
    plan: Plan | None = None,
    plan_budget_s: float = PLAN_BUDGET_S,
    clock: Callable[[], float] = time.monotonic,
) -> Price:
    """The cost of a trial and the plan of all trainings, from candidates that are really tried.

    Args:
        specs: Candidates, best of different sizes.
        proxy: As it will be, but for the plan.
        target: As it will be; None where no latency is measured.
        plan: The plan, where it is given; else the fastest is chosen.
        plan_budget_s: Seconds for the choice of each candidate's plan.
        clock: Monotonic seconds.

    Raises:
        ArchbenchError: A candidate cannot be built, timed or trained.
    """
    require_device(proxy.device)
    dataset = proxy.dataset()
    latency_seconds, begin = 0.0, clock()
    if target:
        for spec in specs:
            target.measure(spec)
        latency_seconds = (clock() - begin) / len(specs)
    plan = plan or _chosen_plan(specs, proxy=proxy, dataset=dataset, budget_s=plan_budget_s)
    planned = replace(proxy, plan=plan)
    paces = [_pace(spec, dataset=dataset, proxy=planned, clock=clock) for spec in specs]
    step_seconds, image_seconds = map(statistics.fmean, zip(*paces, strict=True))
    num_steps = math.ceil(len(dataset.train) / proxy.recipe.batch) * proxy.recipe.epochs
    num_images = len(dataset.validation) * len(proxy.recipe.rungs)
    return Price(
        plan=plan,
        latency_seconds=latency_seconds,
        step_seconds=step_seconds,
        training_seconds=proxy.num_seeds * (num_steps * step_seconds + num_images * image_seconds),
        tried=len(specs),
    )


def _chosen_plan(
    specs: Sequence[ArchSpec], *, proxy: Proxy, dataset: DataSet, budget_s: float
) -> Plan:
    plans = [
        choose_plan(
            proxy.network(spec, seed=0),
            dataset,
            width=widest(proxy.spec(spec)),
            recipe=proxy.recipe,
            device=proxy.device,
            budget_s=budget_s,
        )
        for spec in specs
    ]
    return common_plan(plans)


def _pace(
    spec: ArchSpec, *, dataset: DataSet, proxy: Proxy, clock: Callable[[], float]
) -> tuple[float, float]:
    """Seconds of a training step, and of an image of the validation.

    From a training of a few steps on a slice of the data; the first step does not count.
    """
    slice_ = replace(
        dataset,
        train=_first(dataset.train, _STEPS * proxy.recipe.batch),
        validation=_first(dataset.validation, _VALIDATED_IMAGES),
    )
    ends: list[float] = []
    train(
        proxy.network(spec, seed=0),
        slice_,
        recipe=replace(proxy.recipe, rungs=(1,)),
        seed=0,
        plan=proxy.plan,
        width=widest(proxy.spec(spec)),
        device=proxy.device,
        teacher=proxy.teacher(),
        on_progress=lambda step, steps: ends.append(clock()),
    )
    validated = clock() - ends[-1]
    steps = [b - a for a, b in pairwise(ends)] or [validated]
    return statistics.median(steps), validated / len(slice_.validation)


def _first(split: Split, count: int) -> Split:
    return replace(split, images=split.images[:count], labels=split.labels[:count])
