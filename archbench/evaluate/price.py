"""What will a trial cost: candidates are trained for some steps, and the rest is told from that."""

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import torch

from archbench.data import DataSet, Split
from archbench.evaluate.proxy import Proxy, widest
from archbench.evaluate.quantised import int8_accuracy
from archbench.measure.machine import require_device
from archbench.models import ArchSpec
from archbench.study.measurement import Conditions
from archbench.train.loop import train
from archbench.train.plan import choose_plan, common_plan
from archbench.train.recipe import Plan

PLAN_BUDGET_S = 15.0  # reached by slow networks alone; what was not timed is not chosen
_STEPS = 6
_VALIDATED_IMAGES, _VALIDATED_NOISE = 256, 64
_LARGE, _PRODUCTS = 512, 64


@dataclass(frozen=True, kw_only=True)
class Price:
    """What one trial costs one worker, on average over the candidates tried.

    The latency takes 0 seconds where it is not measured; in ``training_seconds`` are all trainings
    of a trial, by the plan, with their validations, and what it takes to quantise their networks
    where they are to be int8.
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

    def in_words(self) -> str:
        """What a trial costs, and how that was found."""
        took_s = self.latency_seconds
        latency = f"{took_s:.1f} s for its latency and " if took_s else ""
        return (
            f"{latency}{self.training_seconds:.1f} s of training ({1e3 * self.step_seconds:.0f} ms "
            f"per step), estimated from {self.tried} sample candidates"
        )


def price(
    specs: Sequence[ArchSpec],
    *,
    proxy: Proxy,
    latency_seconds: float = 0.0,
    quantised: Conditions | None = None,
    plan: Plan | None = None,
    plan_budget_s: float = PLAN_BUDGET_S,
    clock: Callable[[], float] = time.monotonic,
) -> Price:
    """The cost of a trial and the plan of all trainings, from candidates that are really tried.

    Best they are of different sizes. Timing one takes ``latency_seconds``; a plan that is not given
    is the fastest, which takes so many seconds for each candidate to find. One is quantised under
    the conditions of int8 where there are any.

    Raises:
        ArchbenchError: A candidate cannot be built or trained.
    """
    require_device(proxy.device)
    plan = plan or common_plan(
        [
            choose_plan(
                proxy.network(spec, seed=0),
                proxy.dataset(spec),
                width=widest(proxy.spec(spec)),
                recipe=proxy.recipe,
                device=proxy.device,
                budget_s=plan_budget_s,
            )
            for spec in specs
        ]
    )
    planned = replace(proxy, plan=plan)
    paces = [_pace(spec, proxy.dataset(spec), proxy=planned, clock=clock) for spec in specs]
    step_seconds, image_seconds = map(statistics.fmean, zip(*paces, strict=True))
    dataset = proxy.dataset(specs[0])  # at other resolutions it is of as many images
    num_images = proxy.recipe.epoch_images(len(dataset.train))
    num_steps = math.ceil(num_images / proxy.recipe.batch) * proxy.recipe.epochs
    num_validated = len(dataset.validation) * len(proxy.recipe.rungs)
    each = num_steps * step_seconds + num_validated * image_seconds
    if quantised is not None:
        middle = specs[len(specs) // 2]
        network, data, begin = planned.network(middle, seed=0), planned.dataset(middle), clock()
        int8_accuracy(network, data, split=data.validation, conditions=quantised)
        each += clock() - begin
    return Price(
        plan=plan,
        latency_seconds=latency_seconds,
        step_seconds=step_seconds,
        training_seconds=proxy.num_seeds * each,
        tried=len(specs),
    )


def image_seconds(
    specs: Sequence[ArchSpec], *, proxy: Proxy, clock: Callable[[], float] = time.monotonic
) -> tuple[float, float]:
    """Seconds of learning from an image and of validating one, the mean over candidates.

    Learning is in the precision that is faster, as the plan will be. They are tried on noise, so
    that no image has to be prepared.

    Raises:
        ArchbenchError: A candidate cannot be built or trained.
    """
    require_device(proxy.device)
    noises = [_noise(spec, proxy=proxy) for spec in specs]
    tried = []
    for precision in ("fp32", "bf16"):
        planned = replace(proxy, plan=Plan(precision=precision))
        paces = [
            _pace(*pair, proxy=planned, clock=clock) for pair in zip(specs, noises, strict=True)
        ]
        tried.append([statistics.fmean(taken) for taken in zip(*paces, strict=True)])
    step_seconds, validated = map(min, *tried)
    return step_seconds / proxy.recipe.batch, validated


def _noise(spec: ArchSpec, *, proxy: Proxy) -> DataSet:
    side = proxy.spec(spec).resolution.height

    def split(number: int) -> Split:
        labels = torch.arange(number) % proxy.num_classes
        return Split(torch.randint(256, (number, 3, side, side), dtype=torch.uint8), labels)

    return DataSet(
        name="noise",
        description="noise",
        digest="",
        flip=False,
        resolution=side,
        class_names=tuple(map(str, range(proxy.num_classes))),
        train=split(_STEPS * proxy.recipe.batch),
        validation=split(_VALIDATED_NOISE),
        test=split(_VALIDATED_NOISE),
    )


def _pace(
    spec: ArchSpec, dataset: DataSet, *, proxy: Proxy, clock: Callable[[], float]
) -> tuple[float, float]:
    """Seconds of a training step after the first, and of an image of the validation, tried out."""
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


def most_macs_per_second() -> float:
    """MACs a second of a large matrix product in fp32 on this process's threads: the best of some.

    No network is computed faster in fp32 on these threads, whatever the runtime.
    """
    matrix = torch.rand(_LARGE, _LARGE)
    seconds = []
    for _ in range(_PRODUCTS):
        begin = time.perf_counter()
        matrix @ matrix
        seconds.append(time.perf_counter() - begin)
    return float(_LARGE**3 / min(seconds))
