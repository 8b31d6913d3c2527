"""Times with cold caches, on a clock that only the networks move."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from archbench.measure.cold import ColdTime, cold_times
from archbench.measure.latency.calibration import CalibratedBench
from archbench.measure.latency.clock import Forward
from tests.measure.conftest import FakeClock, MakeBench, Milliseconds, Ticking


def piece(network: Ticking) -> tuple[Forward, Tensor]:
    example = torch.zeros(1, 3, 8, 8)
    return lambda: network(example), example


def cold_time(
    clock: FakeClock, milliseconds: float | Milliseconds, *, bench: CalibratedBench
) -> ColdTime:
    return cold_times({"a": piece(Ticking(clock, milliseconds))}, bench=bench)["a"]


def test_the_second_pass_is_the_one_behind_an_equal_piece(
    clock: FakeClock, bench: MakeBench
) -> None:
    found = cold_time(clock, lambda number: 3.0 if number % 2 else 5.0, bench=bench())
    assert (found.ratio, found.again) == pytest.approx((2.5, 1.5))


def test_a_machine_that_slows_down_meanwhile_changes_nothing(
    clock: FakeClock, bench: MakeBench
) -> None:
    slowing = bench(Ticking(clock, lambda number: 2.0 * (1 + number // 4)))
    found = cold_time(clock, lambda number: 5.0 * (1 + number // 8), bench=slowing)
    assert found.ratio == pytest.approx(2.5)


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
