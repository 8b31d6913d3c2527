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


def _clock(*step_seconds: float, first: Iterable[tuple[float, ...]] = ()) -> Callable[[], float]:
    """A clock, read before and after each step, on which these times take turns."""

    def times() -> Iterator[float]:
        now, rounds = 0.0, itertools.chain(first, itertools.repeat(step_seconds))
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


@pytest.mark.parametrize(
    ("seconds", "chosen"),
    [((1.0, 0.9, 0.8, 0.6), "bf16 channels_last"), ((1.0, 0.95, 0.93, 0.92), "fp32 contiguous")],
)
def test_fastest_candidate_is_chosen_where_it_is_not_hardly_faster(
    seconds: tuple[float, ...], chosen: str
) -> None:
    plan = _choose(tiny_network(), step_clock=_clock(*seconds))
    assert (plan.name, plan.device, plan.rejected) == (chosen, "cpu", {})
    assert plan.seconds == pytest.approx(dict(zip(NAMES, seconds, strict=True)))


def test_hopeless_candidate_is_not_timed_to_the_end() -> None:
    warm = (1.0, 1.0, 30.0, 1.0)
    plan = _choose(tiny_network(), step_clock=_clock(1.0, 1.0, 1.0, first=[warm, warm]))
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


def test_common_plan_is_judged_over_all_networks_and_takes_nothing_that_one_rejects() -> None:
    plan = common_plan([_measured(1.0, 1.0, 0.5, 0.6), _measured(10.0, 10.0, 16.0, 8.0)])
    assert plan.name == "bf16 channels_last"
    hopeless = {"bf16 contiguous": "30.0 times slower in the warm-up"}
    plan = common_plan([_measured(1.0, 1.0, 0.3), _measured(1.0, 1.0, rejected=hopeless)])
    assert (plan.name, plan.rejected) == ("fp32 contiguous", hopeless)


def test_common_plan_of_none_or_of_two_devices_is_refused() -> None:
    with pytest.raises(UsageError, match="plans of 0 devices have nothing in common"):
        common_plan([])
    with pytest.raises(UsageError, match="plans of 2 devices have nothing in common"):
        common_plan([_measured(1.0), Plan(device="cuda")])
