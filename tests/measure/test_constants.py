"""When constants are taken anew: on quiet evidence that lasts, and never by the host's speed."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from archbench.measure.latency.constants import CHECKS, Constants, DriftCheck, deviations, spread

FRESH = Constants(constants_ms={"a": 2.0, "b": 4.0}, off_cpu_share=0.0)
DISTURBED = replace(FRESH, off_cpu_share=0.5)


def after(*checks: DriftCheck, constants: Constants = FRESH) -> Constants:
    for check in checks:
        constants = constants.checked(check)
    return constants


def check(share: float, *, disturbance: str = "", weight: int = 1) -> DriftCheck:
    return DriftCheck(deviations={"a": share, "b": 0.0}, disturbance=disturbance, weight=weight)


def test_the_common_speed_of_the_host_is_no_deviation() -> None:
    found, state = deviations({"a": 3.0, "b": 6.0, "c": 4.8}, {"a": 2.0, "b": 4.0, "c": 3.0})
    assert state == pytest.approx(0.5)
    assert found == pytest.approx({"a": 0.0, "b": 0.0, "c": 0.0667}, abs=1e-4)
    assert spread(found) == pytest.approx(0.0667, abs=1e-4)


def test_three_quiet_checks_on_end_renew() -> None:
    assert after(check(0.08), check(0.07)).due == ""
    due = after(check(0.08), check(0.07), check(0.09)).due
    assert due == "a takes 8% more beside b than when they were taken"


def test_a_long_check_counts_for_all() -> None:
    assert after(check(0.08, weight=CHECKS)).due


def test_a_check_that_finds_them_together_makes_the_others_void() -> None:
    assert after(check(0.08), check(0.08), check(0.02), check(0.08)) == after(check(0.08))


def test_between_the_limits_nothing_is_renewed_and_nothing_forgotten() -> None:
    assert after(*[check(0.04)] * 10).due == ""
    assert after(check(0.08), check(0.04), check(0.08)).due


def test_deviations_that_change_sides_are_noise() -> None:
    assert after(check(0.08), check(-0.08), check(0.08), check(-0.08)).due == ""


def test_disturbed_checks_say_nothing() -> None:
    assert after(*[check(0.2, disturbance="other work")] * 5) == FRESH
    busy = check(0.0, disturbance="other work")
    assert after(check(0.08), busy, check(0.08)) == after(check(0.08), check(0.08))


def test_constants_taken_while_disturbed_are_renewed_at_the_first_quiet_check() -> None:
    busy = check(0.0, disturbance="other work")
    assert after(busy, constants=DISTURBED).due == ""
    due = after(busy, check(0.0), constants=DISTURBED).due
    assert due == "they were taken while other work held the core for 50% of the time"


def test_after_a_vain_attempt_one_quiet_check_is_enough() -> None:
    due = after(check(0.08), check(0.08), check(0.08))
    later, note = due.succeeded_by(DISTURBED)
    assert "but other work held the core for 50% of the time: the old ones stay" in note
    assert later.due == ""
    assert after(check(0.08), constants=later).due
    assert after(check(0.0), constants=later) == FRESH


def test_constants_after_disturbed_ones_keep_no_level() -> None:
    taken = replace(FRESH, constants_ms={"a": 3.3, "b": 6.0})
    found, note = DISTURBED.succeeded_by(taken)
    assert found.constants_ms == taken.constants_ms
    assert note.endswith("latencies differ from those before by up to 65.0%")


def test_one_network_has_nobody_to_be_compared_with() -> None:
    alone = DriftCheck(deviations={"a": 0.5})
    assert after(alone, alone, alone) == FRESH


def test_noise_of_two_percent_renews_hardly_ever() -> None:
    rng, renewed = random.Random(0), 0
    for _ in range(200):
        noisy = (
            DriftCheck(deviations={name: rng.gauss(0.0, 0.01) for name in "abcd"})
            for _ in range(20)
        )
        renewed += bool(after(*noisy).due)
    assert renewed <= 4


def test_a_change_of_eight_percent_is_found_through_the_noise() -> None:
    rng, found = random.Random(1), 0
    for _ in range(200):
        drawn = (
            {name: rng.gauss(0.08 if name == "a" else 0.0, 0.01) for name in "abcd"}
            for _ in range(4)
        )
        noisy = (DriftCheck(deviations=deviations) for deviations in drawn)
        found += bool(after(*noisy).due)
    assert found >= 195
