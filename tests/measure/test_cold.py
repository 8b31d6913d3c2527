"""Times with cold caches, on a clock that only the networks move."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from archbench.errors import IncomparableError
from archbench.measure.cold import ColdPiece, Multiple, cold_times
from archbench.measure.latency.calibration import Calibration
from archbench.study.environment import Environment
from archbench.study.measurement import Conditions
from tests.measure.conftest import FakeClock, Ticking

Calibrate = Callable[..., Calibration]


def piece(network: Ticking) -> ColdPiece:
    example = torch.zeros(1, 3, 8, 8)
    return ColdPiece(forward=lambda: network(example), example=example)


def test_time_is_the_ratio_to_the_calibration_network(
    clock: FakeClock, environment: Environment, conditions: Conditions, calibration: Calibrate
) -> None:
    constants = calibration()
    found = cold_times(
        {"a": piece(Ticking(clock, 5.0)), "b": piece(Ticking(clock, 1.0))},
        conditions=conditions,
        environment=environment,
        calibration=constants,
        clock=clock,
    )
    # The calibration network of the fixture takes 2 ms and its constant is 10 ms.
    assert found["a"].ratio == pytest.approx(2.5)
    assert found["b"].milliseconds(constants) == pytest.approx(5.0)
    assert found["b"].milliseconds_again(constants) == pytest.approx(5.0)


def test_the_second_pass_is_the_one_behind_an_equal_piece(
    clock: FakeClock, environment: Environment, conditions: Conditions, calibration: Calibrate
) -> None:
    found = cold_times(
        {"a": piece(Ticking(clock, lambda number: 3.0 if number % 2 else 5.0))},
        conditions=conditions,
        environment=environment,
        calibration=calibration(),
        clock=clock,
    )["a"]
    assert (found.ratio, found.again) == pytest.approx((2.5, 1.5))


def test_a_slower_machine_gives_the_same_ratio(
    clock: FakeClock, environment: Environment, conditions: Conditions, calibration: Calibrate
) -> None:
    ratios = [
        cold_times(
            {"a": piece(Ticking(clock, 5.0 * slowness))},
            conditions=conditions,
            environment=environment,
            calibration=calibration(Ticking(clock, 2.0 * slowness)),
            clock=clock,
        )["a"].ratio
        for slowness in (1.0, 1.7)
    ]
    assert ratios[0] == pytest.approx(ratios[1])


def test_a_machine_that_slows_down_meanwhile_changes_nothing(
    clock: FakeClock, environment: Environment, conditions: Conditions, calibration: Calibrate
) -> None:
    found = cold_times(
        {"a": piece(Ticking(clock, lambda number: 5.0 * (1 + number // 8)))},
        conditions=conditions,
        environment=environment,
        calibration=calibration(Ticking(clock, lambda number: 2.0 * (1 + number // 4))),
        clock=clock,
    )
    assert found["a"].ratio == pytest.approx(2.5)


def test_order_is_drawn_anew_in_each_round(
    clock: FakeClock, environment: Environment, conditions: Conditions, calibration: Calibrate
) -> None:
    log: list[str] = []
    names = "abcdef"
    cold_times(
        {name: piece(Ticking(clock, 1.0, name=name, log=log)) for name in names},
        conditions=conditions,
        environment=environment,
        calibration=calibration(),
        rounds=5,
        clock=clock,
    )
    assert log[::2] == log[1::2]  # each runs twice in a row
    firsts = log[::2]
    rounds = ["".join(firsts[i : i + 6]) for i in range(0, len(firsts), 6)]
    assert len(rounds) == 6  # one warms up
    assert all(sorted(round_) == list(names) for round_ in rounds)
    assert len(set(rounds)) > 3


def test_constants_of_other_conditions_are_refused(
    clock: FakeClock, environment: Environment, calibration: Calibrate
) -> None:
    with pytest.raises(IncomparableError, match="another precision"):
        cold_times(
            {},
            conditions=Conditions(precision="bf16"),
            environment=environment,
            calibration=calibration(),
            clock=clock,
        )


def test_milliseconds_follow_the_constant(calibration: Calibrate) -> None:
    constants = calibration()
    name = constants.calibrators[0].name
    assert Multiple(calibrator=name, ratio=0.5).milliseconds(constants) == pytest.approx(5.0)
