"""When constants are taken anew: on quiet evidence that lasts, and never by the host's speed."""

from __future__ import annotations

import random

import pytest

from archbench.measure.latency.constants import (
    LOOKS,
    Doubt,
    Look,
    changed,
    deviations,
    doubted,
    postponed,
    spread,
)


def after(*looks: Look, taken_disturbed: str = "") -> Doubt:
    doubt = Doubt()
    for look in looks:
        doubt = doubted(doubt, look, taken_disturbed=taken_disturbed)
    return doubt


def look(share: float, *, disturbance: str = "", weight: int = 1) -> Look:
    return Look(deviations={"a": share, "b": 0.0}, disturbance=disturbance, weight=weight)


def test_the_common_speed_of_the_host_is_no_deviation() -> None:
    found, state = deviations({"a": 3.0, "b": 6.0, "c": 4.8}, {"a": 2.0, "b": 4.0, "c": 3.0})
    assert state == pytest.approx(0.5)
    assert found == pytest.approx({"a": 0.0, "b": 0.0, "c": 0.0667}, abs=1e-4)
    assert spread(found) == pytest.approx(0.0667, abs=1e-4)


def test_three_quiet_looks_on_end_renew() -> None:
    assert after(look(0.08), look(0.07)).due == ""
    due = after(look(0.08), look(0.07), look(0.09)).due
    assert due == "a takes 8% more beside b than when they were taken"


def test_a_long_look_counts_for_all() -> None:
    assert after(look(0.08, weight=LOOKS)).due


def test_a_look_that_finds_them_together_makes_the_others_void() -> None:
    assert after(look(0.08), look(0.08), look(0.02), look(0.08)) == after(look(0.08))


def test_between_the_limits_nothing_is_renewed_and_nothing_forgotten() -> None:
    assert after(*[look(0.04)] * 10).due == ""
    assert after(look(0.08), look(0.04), look(0.08)).due


def test_deviations_that_change_sides_are_noise() -> None:
    assert after(look(0.08), look(-0.08), look(0.08), look(-0.08)).due == ""


def test_disturbed_looks_say_nothing() -> None:
    assert after(*[look(0.2, disturbance="other work")] * 5) == Doubt()
    busy = look(0.0, disturbance="other work")
    assert after(look(0.08), busy, look(0.08)) == after(look(0.08), look(0.08))


def test_constants_taken_while_disturbed_are_renewed_at_the_first_quiet_look() -> None:
    disturbed = look(0.0, disturbance="other work")
    assert after(disturbed, taken_disturbed="work went on").due == ""
    due = after(disturbed, look(0.0), taken_disturbed="work went on").due
    assert due == "they were taken while work went on"


def test_after_a_vain_attempt_one_quiet_look_is_enough() -> None:
    due = after(look(0.08), look(0.08), look(0.08))
    later = postponed(due)
    assert later.due == ""
    assert doubted(later, look(0.08)).due
    assert doubted(later, look(0.0)) == Doubt()


def test_one_network_has_nobody_to_be_compared_with() -> None:
    alone = Look(deviations={"a": 0.5})
    assert after(alone, alone, alone) == Doubt()


def test_noise_of_two_percent_renews_hardly_ever() -> None:
    rng, renewed = random.Random(0), 0
    for _ in range(200):
        noisy = (
            Look(deviations={name: rng.gauss(0.0, 0.01) for name in "abcd"}) for _ in range(20)
        )
        renewed += bool(after(*noisy).due)
    assert renewed <= 4


def test_a_change_of_eight_percent_is_found_through_the_noise() -> None:
    rng, found = random.Random(1), 0
    for _ in range(200):
        noisy = (
            Look(
                deviations={name: rng.gauss(0.08 if name == "a" else 0.0, 0.01) for name in "abcd"}
            )
            for _ in range(4)
        )
        found += bool(after(*noisy).due)
    assert found >= 195


def test_changed_is_the_largest_share() -> None:
    assert changed({"a": 2.0, "b": 4.0}, {"a": 2.1, "b": 3.6}) == pytest.approx(0.1)
