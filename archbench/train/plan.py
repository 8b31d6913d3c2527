"""In which precision and memory format does this machine train fastest, and is it as exact."""

import copy
import itertools
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import nn

from archbench.data import DataSet
from archbench.errors import UsageError
from archbench.train.recipe import Plan, Recipe
from archbench.train.step import Feed, Trainer, reproducible

_DEFAULT = Plan()  # what all others are compared with
_CANDIDATES = (
    _DEFAULT,
    Plan(memory_format="channels_last"),
    Plan(precision="bf16"),
    Plan(precision="bf16", memory_format="channels_last"),
)
_WARMUP_ROUNDS = 2
_ROUNDS = 10
_FEWEST_ROUNDS = 3
_MARGIN = 1.1  # faster by less is not worth a change of the numbers
_HOPELESS = 2.0  # slower than the fastest by this in the warm-up: not timed further
_LOSS_TOLERANCE = 0.1  # relative; bf16 rounds at 0.4 %


def choose_plan(
    network: nn.Module,
    dataset: DataSet,
    *,
    width: int,
    recipe: Recipe | None = None,
    device: str | torch.device = "cpu",
    budget_s: float = 10.0,
    clock: Callable[[], float] = time.monotonic,
    step_clock: Callable[[], float] | None = None,
) -> Plan:
    """The fastest way to train copies of a network, from steps of each candidate in turn.

    Another precision or format than fp32 and contiguous must be 10 % faster, and its mean loss
    within 10 % of that of fp32. Holds a copy of the network for each of the four candidates. What
    is fast depends on the network (the backward pass of a strided depthwise convolution in bf16
    was seen 30 times slower on CPUs), so a plan for many networks is ``common_plan`` of several.

    The network is left as it is; the width is that of its widest stage, for the learning rate. No
    round begins after ``budget_s``; if fewer than three fitted in, the plan is fp32 and contiguous,
    and says so. ``step_clock`` is by default the thread's CPU time where one CPU thread does all
    the work, which other processes disturb least, and a monotonic clock elsewhere.
    """
    where, recipe = torch.device(device), recipe or Recipe()
    if step_clock is None:
        has_one_thread = where.type == "cpu" and torch.get_num_threads() == 1
        step_clock = time.thread_time if has_one_thread else time.perf_counter
    feed = Feed(dataset, recipe=recipe, seed=0, device=where)
    classes = dataset.num_classes
    made = partial(Trainer, recipe=recipe, width=width, num_classes=classes, device=where)
    trainers = {plan.name: made(copy.deepcopy(network), plan=plan) for plan in _CANDIDATES}
    seconds, losses = ({name: list[float]() for name in trainers} for _ in range(2))
    rejected: dict[str, str] = {}
    begin = clock()
    with reproducible(where):
        endless = itertools.chain.from_iterable(map(feed.epoch, itertools.count()))
        for index, batch in enumerate(itertools.islice(endless, _WARMUP_ROUNDS + _ROUNDS)):
            for name in trainers:
                started = step_clock()
                loss, _ = trainers[name].step(*batch, share=1.0).tolist()  # waits for the device
                seconds[name].append(step_clock() - started)
                losses[name].append(loss)
            if index + 1 == _WARMUP_ROUNDS:
                rejected = _hopeless(seconds)
                for name in rejected:
                    del trainers[name], seconds[name], losses[name]
            if clock() - begin > budget_s:
                break
    enough = _WARMUP_ROUNDS + _FEWEST_ROUNDS
    measured = {
        name: statistics.quantiles(taken[_WARMUP_ROUNDS:], n=4, method="inclusive")[0]
        for name, taken in seconds.items()
        if len(taken) >= enough
    }
    rejected |= {name: "the budget ended first" for name in trainers if name not in measured}
    rejected |= _inexact(losses)
    return _fastest([measured], rejected, device=str(where))


def common_plan(plans: Sequence[Plan]) -> Plan:
    """The plan for all networks of which some were measured on one device.

    A candidate must be eligible for each of them, and is judged by its geometric mean.

    Raises:
        UsageError: There is no plan, or they are of different devices.
    """
    devices = {plan.device for plan in plans}
    if len(devices) != 1:
        raise UsageError(
            f"plans of {len(devices)} devices have nothing in common",
            place="plan",
            help="measure some networks on one device",
        )
    rejected = {name: reason for plan in plans for name, reason in plan.rejected.items()}
    return _fastest([plan.seconds for plan in plans], rejected, device=devices.pop())


def _hopeless(seconds: Mapping[str, Sequence[float]]) -> dict[str, str]:
    """Those that are not worth timing, each with the reason; never the default."""
    fastest = min(map(min, seconds.values()))
    factors = {name: min(taken) / fastest for name, taken in seconds.items()}
    return {
        name: f"{factor:.1f} times slower in the warm-up"
        for name, factor in factors.items()
        if factor > _HOPELESS and name != _DEFAULT.name
    }


def _inexact(losses: Mapping[str, Sequence[float]]) -> dict[str, str]:
    means = {name: statistics.fmean(taken) for name, taken in losses.items()}
    expected = means[_DEFAULT.name]
    return {
        name: f"mean loss {loss:.4g}, not {expected:.4g} as in {_DEFAULT.name}"
        for name, loss in means.items()
        if name != _DEFAULT.name and not abs(loss - expected) <= _LOSS_TOLERANCE * expected
    }


def _fastest(
    timings: Sequence[Mapping[str, float]], rejected: Mapping[str, str], *, device: str
) -> Plan:
    """The eligible candidate of the smallest geometric mean; a later one by the margin only."""
    seconds = {
        plan.name: statistics.geometric_mean([timing[plan.name] for timing in timings])
        for plan in _CANDIDATES
        if all(plan.name in timing for timing in timings)
    }
    best = _DEFAULT
    for plan in _CANDIDATES if best.name in seconds else ():
        is_eligible = plan.name in seconds and plan.name not in rejected
        if is_eligible and seconds[plan.name] * _MARGIN <= seconds[best.name]:
            best = plan
    return replace(best, seconds=seconds, rejected=dict(rejected), device=device)
