from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Iterator

import pytest
import torch
from torch import Tensor, nn

from archbench.errors import UsageError
from archbench.train.plan import choose_plan, common_plan
from archbench.train.recipe import Plan, Recipe
from tests.train.tiny import RESOLUTION, WIDTH, tiny_dataset, tiny_network

RECIPE = Recipe(batch=8)
NAMES = ("fp32 contiguous", "fp32 channels_last", "bf16 contiguous", "bf16 channels_last")


def _clock(*step_seconds: float) -> Callable[[], float]:
    """A clock, read before and after each step, on which these times take turns."""
    return _clock_of(itertools.repeat(step_seconds))


def _clock_of(rounds: Iterable[tuple[float, ...]]) -> Callable[[], float]:
    def times() -> Iterator[float]:
        now = 0.0
        for seconds in itertools.chain.from_iterable(rounds):
            yield now
            now += seconds
            yield now

    return times().__next__


def _choose(network: nn.Module, *, step_clock: Callable[[], float], budget_s: float = 99.0) -> Plan:
    return choose_plan(
        network,
        tiny_dataset(),
        width=WIDTH,
        recipe=RECIPE,
        budget_s=budget_s,
        clock=itertools.count().__next__,
        step_clock=step_clock,
    )


def test_fastest_candidate_is_chosen() -> None:
    plan = _choose(tiny_network(), step_clock=_clock(1.0, 0.9, 0.8, 0.6))
    assert (plan.precision, plan.memory_format, plan.device) == ("bf16", "channels_last", "cpu")
    assert plan.seconds == pytest.approx(dict(zip(NAMES, (1.0, 0.9, 0.8, 0.6), strict=True)))
    assert plan.rejected == {}


def test_candidate_that_is_hardly_faster_is_not_chosen() -> None:
    plan = _choose(tiny_network(), step_clock=_clock(1.0, 0.95, 0.93, 0.92))
    assert (plan.precision, plan.memory_format) == ("fp32", "contiguous")


def test_hopeless_candidate_is_not_timed_to_the_end() -> None:
    warm, rest = (1.0, 1.0, 30.0, 1.0), (1.0, 1.0, 1.0)
    stalling = _clock_of(itertools.chain([warm, warm], itertools.repeat(rest)))
    plan = _choose(tiny_network(), step_clock=stalling)
    assert plan.rejected == {"bf16 contiguous": "30.0 times slower in the warm-up"}
    assert set(plan.seconds) == {"fp32 contiguous", "fp32 channels_last", "bf16 channels_last"}


def test_budget_that_is_too_short_leaves_fp32_and_says_so() -> None:
    plan = _choose(tiny_network(), step_clock=_clock(1.0, 0.5, 0.5, 0.5), budget_s=3.0)
    assert (plan.precision, plan.memory_format, plan.seconds) == ("fp32", "contiguous", {})
    assert plan.rejected == dict.fromkeys(NAMES, "the budget ended first")


class _WrongInBf16(nn.Linear):
    def forward(self, images: Tensor) -> Tensor:
        logits = super().forward(images.flatten(1))
        return logits if logits.dtype == torch.float32 else 40.0 * logits


def test_candidate_with_another_loss_is_not_chosen() -> None:
    plan = _choose(_WrongInBf16(3 * RESOLUTION**2, 4), step_clock=_clock(1.0, 1.0, 0.5, 0.5))
    assert plan.precision == "fp32"
    assert set(plan.rejected) == {"bf16 contiguous", "bf16 channels_last"}
    assert "mean loss" in plan.rejected["bf16 contiguous"]


def test_choosing_leaves_the_network_and_the_random_state() -> None:
    network, state = tiny_network(), torch.get_rng_state()
    before = [tensor.clone() for tensor in network.state_dict().values()]
    _choose(network, step_clock=_clock(1.0, 1.0, 1.0, 1.0))
    assert all(map(torch.equal, before, network.state_dict().values()))
    assert torch.equal(torch.get_rng_state(), state)


def test_document_is_json_and_reads_back() -> None:
    plan = Plan(precision="bf16", seconds={"fp32 contiguous": 0.5}, device="cpu")
    assert Plan(**json.loads(json.dumps(plan.document()))) == plan


def _measured(*seconds: float, rejected: dict[str, str] | None = None) -> Plan:
    timed = dict(zip(NAMES, seconds, strict=False))
    return Plan(seconds=timed, rejected=rejected or {}, device="cpu")


def test_common_plan_is_judged_over_all_networks() -> None:
    one, other = _measured(1.0, 1.0, 0.5, 0.6), _measured(10.0, 10.0, 16.0, 8.0)
    plan = common_plan([one, other])
    assert (plan.precision, plan.memory_format) == ("bf16", "channels_last")


def test_common_plan_takes_nothing_that_one_network_rejects() -> None:
    hopeless = {"bf16 contiguous": "30.0 times slower in the warm-up"}
    one, other = _measured(1.0, 1.0, 0.3), _measured(1.0, 1.0, rejected=hopeless)
    plan = common_plan([one, other])
    assert (plan.precision, plan.memory_format) == ("fp32", "contiguous")
    assert plan.rejected == hopeless


def test_common_plan_of_none_or_of_two_devices_is_refused() -> None:
    with pytest.raises(UsageError, match="plans of 0 devices have nothing in common"):
        common_plan([])
    with pytest.raises(UsageError, match="plans of 2 devices have nothing in common"):
        common_plan([_measured(1.0), Plan(device="cuda")])
