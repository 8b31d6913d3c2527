"""Times of parts in a running network and alone, on a clock that only the parts move."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from archbench.measure.latency.clock import Forward
from archbench.measure.parts import bounds_ms, cold_times, roofline, time_parts, traffic
from archbench.study.environment import Environment
from archbench.study.measurement import Conditions
from tests.measure.conftest import FakeClock, MakeBench, Milliseconds, Ticking, signed_again

IMAGES = torch.zeros(1, 3, 8, 8)


class TwoParts(nn.Module):
    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self.clock = clock
        self.first, self.second = Ticking(clock, 3.0), Ticking(clock, 4.0, waiting_ms=50.0)
        self.eval()

    def forward(self, images: Tensor) -> object:
        self.first(images)
        self.clock.advance(cpu_ms=1.0)
        return self.second(images)


def test_parts_are_timed_and_what_is_between_is_not(clock: FakeClock, bench: MakeBench) -> None:
    network = TwoParts(clock)
    parts = {"a": network.first, "b": network.second}
    ms, found = time_parts(network, IMAGES, parts=parts, bench=bench())
    # The calibration network takes 2 ms where it is known to take 10.
    assert ms == pytest.approx({"a": 15.0, "b": 20.0})
    assert (found["whole_ms"], found["watched_ms"]) == pytest.approx((40.0, 40.0))
    assert (found["between_ms"], found["off_cpu_share"]) == pytest.approx((5.0, 50 / 58))


def test_rounds_end_with_the_budget_but_not_before_five_and_no_hook_stays(
    clock: FakeClock, bench: MakeBench
) -> None:
    network = TwoParts(clock)
    parts = {"a": network.first}
    _, found = time_parts(network, IMAGES, parts=parts, bench=bench(), budget_s=0.0)
    assert found["rounds"] == 5
    assert not network.first._forward_hooks
    assert not network.first._forward_pre_hooks


def piece(network: Ticking) -> tuple[Forward, Tensor]:
    return lambda: network(IMAGES), IMAGES


@pytest.mark.parametrize(
    ("calibrator_ms", "piece_ms", "multiples"),
    [
        (2.0, lambda i: 3.0 if i % 2 else 5.0, (2.5, 1.5)),
        (
            lambda number: 2.0 * (1 + number // 4),
            lambda number: 5.0 * (1 + number // 8),
            (2.5, 2.5),
        ),
    ],
    ids=["second_pass_behind_an_equal_piece", "machine_that_slows_down"],
)
def test_cold_times_are_multiples_of_the_calibrator_s(
    clock: FakeClock,
    bench: MakeBench,
    calibrator_ms: float | Milliseconds,
    piece_ms: Milliseconds,
    multiples: tuple[float, float],
) -> None:
    pieces = {"a": piece(Ticking(clock, piece_ms))}
    found = cold_times(pieces, bench=bench(Ticking(clock, calibrator_ms)))["a"]
    assert (found.ratio, found.again) == pytest.approx(multiples)


def test_order_is_drawn_anew_in_each_round(clock: FakeClock, bench: MakeBench) -> None:
    log: list[str] = []
    names = "abcdef"
    networks = {name: piece(Ticking(clock, 1.0, name=name, log=log)) for name in names}
    cold_times(networks, bench=bench(), rounds=5)
    assert log[::2] == log[1::2]  # each runs twice in a row
    firsts = log[::2]
    rounds = ["".join(firsts[i : i + 6]) for i in range(0, len(firsts), 6)]
    assert len(rounds) == 6  # one warms up
    assert all(sorted(round_) == list(names) for round_ in rounds)
    assert len(set(rounds)) > 3


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 8)
        self.second = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        y = self.second(self.first(x)).transpose(0, 1)  # a view
        return y + 1


def test_each_operator_reads_its_inputs_and_writes_its_outputs_once() -> None:
    network = Small().eval()
    parts = {"a": network.first, "b": network.second}
    found = traffic(network, torch.zeros(2, 4), parts=parts)
    weights, inputs, outputs = 4 * (4 * 8 + 8), 4 * 2 * 4, 4 * 2 * 8
    assert list(found["a"].values()) == [1, weights, inputs + outputs]
    assert list(found["b"].values()) == list(found[""].values()) == [1, 0, 2 * outputs]
    assert not network.first._forward_hooks


def test_bounds_are_what_each_limit_asks_for() -> None:
    limits = {"gflops": 100.0, "memory_gbs": 10.0, "cache_gbs": 50.0, "operator_us": 4.0}
    moved = {"weight_bytes": 10**7, "activation_bytes": 10**8, "operators": 14}
    found = bounds_ms(limits, moved, macs=10**8)
    assert found == pytest.approx({"compute": 2.0, "memory": 1.0 + 2.0, "overhead": 0.056})


def test_limits_are_kept_and_damaged_ones_taken_anew(
    clock: FakeClock, environment: Environment, conditions: Conditions, tmp_path: Path
) -> None:
    def take() -> dict[str, Any]:
        return roofline(conditions, environment=environment, clock=clock)

    first = take()
    assert first["environment_id"] == environment.id
    assert first["note"] == ""
    (path,) = tmp_path.glob("cache/roofline/*.json")
    kept = path.read_text()
    path.write_text(signed_again(kept.replace(f'"gflops": {first["gflops"]}', '"gflops": 12.5')))
    assert take()["gflops"] == 12.5  # read, not taken
    path.write_text(kept[:40])
    assert "taken anew" in take()["note"]
    assert path.read_text().startswith("{")
