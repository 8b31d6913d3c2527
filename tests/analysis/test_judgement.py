"""A proxy that can rank is certified, one that only ranks size is not, and each says why."""

import re
from dataclasses import replace

import pytest

from archbench.analysis.judgement import CandidateRecord
from tests.analysis.certified import judged, sample


def test_good_proxy_is_certified() -> None:
    found = judged(sample(quality=0.95))
    assert found.state == "certified"
    assert found.sentence.startswith(
        "This proxy can rank this space: of two networks of equal cost it names the better one in "
    )
    assert found.sentence.endswith("That holds for digits.")
    assert found.advice == ""
    assert found.rungs_advised[-1] == 8


@pytest.mark.parametrize("seed", range(6))
def test_proxy_that_only_ranks_size_is_never_certified(seed: int) -> None:
    found = judged(sample(quality=0, num=40, seed=seed, between=0.04))
    assert found.state in ("refused", "undecided")
    assert "a front that it finds is not to be trusted" in found.sentence
    assert found.rungs[-1].agreement.overall.low > 0, "it does rank, by size"
    assert found.rungs_advised == ()


@pytest.mark.parametrize(
    ("candidates", "bar", "state", "told", "advice"),
    [
        (sample(quality=0, num=60, seed=1, between=0.04), 0.12, "refused", "that of the size", ""),
        (sample(quality=0.95), 0.9, "refused", "no more than guessing", "train longer: --set"),
        (
            sample(quality=0.5, num=10, seed=4),
            0.12,
            "undecided",
            "10 candidates show a tau at equal cost",
            "train more candidates: --candidates ",
        ),
    ],
    ids=["only size", "at chance", "too few"],
)
def test_proxy_that_is_not_certified_is_told_why_and_what_helps(
    candidates: list[CandidateRecord], bar: float, state: str, told: str, advice: str
) -> None:
    found = judged(candidates, bar=bar)
    assert found.state == state
    assert told in found.sentence
    assert found.advice.startswith(advice)


def test_no_more_candidates_are_asked_for_than_the_space_has() -> None:
    few = sample(quality=0.5, num=10, seed=4)
    told = judged(few, most=40).advice
    needed = re.search(r"about (\d+) would", told)
    assert 250 < int(needed[1]) < 310  # its last digit differs from machine to machine
    assert told.replace(needed[1], "N") == (
        "the space has 40 candidates, too few to decide from a sample of them (about N would): "
        "train longer: --set 'proxy.rungs=[8, 16]'; or count several seeds together "
        "(--set proxy.seeds=3); or train all of them instead of ranking them"
    )
    least = int(needed[1])
    assert judged(few, most=least - 1).advice.startswith(f"the space has {least - 1} candidates")
    assert judged(few, most=least).advice == "train more candidates: --candidates 40"


def test_too_few_candidates_say_nothing_and_no_more_are_asked_for_than_there_are() -> None:
    few = sample(quality=0.95, num=7)
    found = judged(few)
    assert (found.state, found.rungs) == ("undecided", ())
    assert "all trainings ended of 7 candidates, and 8 are the least" in found.sentence
    assert found.advice.endswith("train more candidates: --candidates 32")
    assert judged(few, most=12).advice.endswith("train more candidates: --candidates 12")
    assert judged(few, most=7).advice == "see why trainings failed"


def test_candidates_that_differ_less_than_seeds_are_told() -> None:
    found = judged(sample(quality=0.5, noise=0.06, between=0.01, num=60))
    assert found.state != "certified"
    assert "count several seeds together" in found.advice


def test_rungs_begin_at_the_first_that_is_good_and_above_chance() -> None:
    candidates = sample(quality=0.95)
    blurred = [
        replace(c, proxy={s: {**curve, 1: 0.1, 2: 0.11} for s, curve in c.proxy.items()})
        for c in candidates
    ]
    assert judged(blurred).rungs_advised == (4, 8)
    assert [rung.is_above_chance for rung in judged(blurred).rungs] == [False, False, True, True]


def test_seeds_that_count_together_are_averaged() -> None:
    candidates = sample(quality=0.95, noise=0.1, num=40)
    alone, together = judged(candidates), judged(candidates, proxy_seeds=2)
    assert together.last.value > alone.last.value


def test_candidate_that_lacks_a_training_is_left_out() -> None:
    candidates = sample(quality=0.95)
    candidates[3] = replace(candidates[3], longer={2: 0.5})
    assert judged(candidates).num_used == 31


def test_without_longer_trainings_the_other_seeds_are_the_truth() -> None:
    found = judged([replace(c, longer={}) for c in sample(quality=0.95, seeds=3)])
    assert found.state == "certified"
    assert found.last.value == pytest.approx(found.ceiling.at_equal_cost.value)


def test_one_longer_training_leaves_noise_unknown() -> None:
    found = judged([replace(c, longer={2: c.longer[2]}) for c in sample(quality=0.95)])
    assert found.ceiling is found.spread is None
    assert found.state == "certified"
