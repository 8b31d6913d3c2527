"""Times of parts inside a running network, on a clock that only the parts move."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from archbench.measure.latency.calibration import Calibration
from archbench.measure.parts import time_spans
from archbench.study.environment import Environment
from archbench.study.measurement import Conditions
from tests.measure.conftest import FakeClock, Ticking

Calibrate = Callable[..., Calibration]


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


def test_parts_are_timed_and_what_is_between_is_not(
    clock: FakeClock, environment: Environment, conditions: Conditions, calibration: Calibrate
) -> None:
    network = TwoParts(clock)
    found = time_spans(
        network,
        torch.zeros(1, 3, 8, 8),
        parts={"a": network.first, "b": network.second},
        conditions=conditions,
        environment=environment,
        calibration=calibration(),
        clock=clock,
    )
    # The calibration network takes 2 ms where it is known to take 10.
    assert found.parts == pytest.approx({"a": 15.0, "b": 20.0})
    assert found.whole == pytest.approx(40.0)
    assert found.watched == pytest.approx(40.0)
    assert found.off_cpu == pytest.approx(50 / 58)


def test_no_hook_stays(
    clock: FakeClock, environment: Environment, conditions: Conditions, calibration: Calibrate
) -> None:
    network = TwoParts(clock)
    time_spans(
        network,
        torch.zeros(1, 3, 8, 8),
        parts={"a": network.first},
        conditions=conditions,
        environment=environment,
        calibration=calibration(),
        clock=clock,
    )
    assert not network.first._forward_hooks
    assert not network.first._forward_pre_hooks


def test_rounds_end_with_the_budget_but_not_before_five(
    clock: FakeClock, environment: Environment, conditions: Conditions, calibration: Calibrate
) -> None:
    network = TwoParts(clock)
    found = time_spans(
        network,
        torch.zeros(1, 3, 8, 8),
        parts={"a": network.first},
        conditions=conditions,
        environment=environment,
        calibration=calibration(),
        budget_s=0.0,
        clock=clock,
    )
    assert found.rounds == 5
