"""An effect is what pairs of seeds and two intervals say, and no more."""

import math
from dataclasses import asdict, replace

import pytest
from scipy import stats

from archbench.analysis.ablation import (
    Difference,
    comparison,
    finding,
    latency_difference,
    paired_difference,
)
from archbench.models.catalogue import Paper
from tests.search.ablation.toy import latency

PRINTED = asdict(Paper(row="A5", source="LeViT, table 5", top1=70.4, base_top1=71.9))
FORM = {0: 0.70, 1: 0.74, 2: 0.71, 3: 0.78}
BASE = {0: 0.69, 1: 0.70, 2: 0.70, 3: 0.72}


def test_interval_is_students_t_of_the_pairs() -> None:
    found = paired_difference(FORM, BASE)
    expected = stats.ttest_rel(list(FORM.values()), list(BASE.values())).confidence_interval(0.95)
    assert found is not None
    assert found.value == pytest.approx(0.03)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    # by hand: differences .01 .04 .01 .06, s = .0245, t(3) = 3.182, half = .0390
    assert found.low == pytest.approx(0.03 - 0.03898, abs=1e-4)


def test_what_all_seeds_share_does_not_widen_the_interval() -> None:
    shifts = (0, 0.1, 0.2, -0.1)
    moved, base = ({seed: d[seed] + shifts[seed] for seed in d} for d in (FORM, BASE))
    found, expected = paired_difference(moved, base), paired_difference(FORM, BASE)
    assert found is not None
    assert expected is not None
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_only_seeds_that_both_have_are_paired() -> None:
    assert paired_difference({**FORM, 9: 0.1}, {**BASE, 8: 0.9}) == paired_difference(FORM, BASE)
    assert paired_difference({0: 0.5}, {1: 0.5}) is None


def test_one_seed_gives_no_interval() -> None:
    found = paired_difference({0: 0.5}, {0: 0.25})
    assert found == Difference(value=0.25)
    assert not found.is_seen
    assert finding(found, num_pairs=1) == "one seed, so no interval"


def test_latency_interval_recovers_both_intervals() -> None:
    form = replace(latency(5.0), low=4.7, high=5.1)
    base = replace(latency(4.0), low=3.8, high=4.4)
    found = latency_difference(form, base)
    assert found is not None
    assert found.value == pytest.approx(1.0)
    assert found.low == pytest.approx(1.0 - math.hypot(0.3, 0.4))
    assert found.high == pytest.approx(1.0 + math.hypot(0.1, 0.2))


def test_latency_that_could_not_be_had_has_no_difference() -> None:
    none = replace(latency(1.0), value=None, low=None, high=None, verdict="incomplete")
    assert latency_difference(none, latency(1.0)) is None
    assert latency_difference(latency(1.0), none) is None
    assert latency_difference(latency(1.0), None) is None


@pytest.mark.parametrize(
    ("value", "low", "high", "told"),
    [
        (0.1, 0.05, 0.15, "better"),
        (-0.1, -0.15, -0.05, "worse"),
        (0.1, -0.05, 0.25, "no difference seen with 5 seeds"),
        (0.0, 0.0, 0.0, "no difference seen with 5 seeds"),
    ],
)
def test_finding_is_what_the_interval_allows(
    value: float, low: float, high: float, told: str
) -> None:
    assert finding(Difference(value=value, low=low, high=high), num_pairs=5) == told


@pytest.mark.parametrize(
    ("top1", "ours", "sign"),
    [
        (70.4, (-0.02, -0.03, -0.01), "sign confirmed"),
        (70.4, (0.02, 0.01, 0.03), "opposite sign"),
        (70.4, (-0.02, -0.05, 0.01), "not separable with 5 seeds"),
        (73.0, (0.02, 0.01, 0.03), "sign confirmed"),
        (71.9, (0.02, 0.01, 0.03), "the paper prints no difference"),
    ],
)
def test_sign_is_held_against_the_paper(
    top1: float, ours: tuple[float, float, float], sign: str
) -> None:
    printed = {**PRINTED, "top1": top1}
    value, low, high = ours
    found = comparison(printed, Difference(value=value, low=low, high=high), num_pairs=5)
    assert found.sign == sign
    assert found.difference == pytest.approx(top1 - 71.9)


def test_sign_of_what_was_not_trained_is_not_known() -> None:
    assert comparison(PRINTED, None, num_pairs=0).sign == "not trained yet"
