"""When constants are taken anew: on quiet evidence that lasts, and never by the host's speed."""

from __future__ import annotations

import random
from dataclasses import replace

from archbench.measure.latency.constants import CHECKS, Constants, DriftCheck

FRESH = Constants(constants_ms={"a": 2.0, "b": 4.0}, off_cpu_share=0.0)
DISTURBED = replace(FRESH, off_cpu_share=0.5)


def after(*checks: DriftCheck, constants: Constants = FRESH) -> Constants:
    for check in checks:
        constants = constants.checked(check)
    return constants


def check(share: float, *, disturbance: str = "", weight: int = 1) -> DriftCheck:
    return DriftCheck(deviations={"a": share, "b": 0.0}, disturbance=disturbance, weight=weight)


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


def test_after_a_vain_attempt_one_quiet_check_is_enough() -> None:
    due = after(check(0.08), check(0.08), check(0.08))
    later, note = due.succeeded_by(DISTURBED)
    assert "but other work held the core for 50% of the time: the old ones stay" in note
    assert later.due == ""
    assert after(check(0.08), constants=later).due
    assert after(check(0.0), constants=later) == FRESH


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
