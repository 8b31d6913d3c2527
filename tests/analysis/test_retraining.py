"""What full trainings say of an order, how sure that is, and how a pick follows them."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from archbench.analysis.pick import finalists, pick
from archbench.analysis.retraining import KEY, Retraining, packed
from archbench.analysis.study import StudyReader, open_study
from archbench.analysis.wish import Wish
from archbench.errors import StorageError, UsageError
from archbench.study.database import Store
from tests.analysis.test_pick import DESIGNS, design
from tests.study import example

NUM_IMAGES = 1000


def ended(
    trial: int, right: Sequence[bool], *, seed: int = 0, test: int | None = 700
) -> dict[str, Any]:
    """A full training that told these images rightly, and so many of 1,000 held-out ones."""
    reached: dict[str, Any] = {"epoch": 3, "epochs": 4, "right": packed(right), "seconds": 20.0}
    reached["test"] = {"right": test, "images": 1000} if test is not None else None
    return {"trial": trial, "seed": seed, "ended": reached}


def entry(*trainings: dict[str, Any], name: str = "0" * 16) -> dict[str, Any]:
    """A retraining as a header keeps it."""
    how = {"recipe": "short", "data": "cluttered_digits", "epochs": 4, "resolution": None}
    known = {"name": name, "how": how, "data_digests": {"32": "d"}, "num_validation": NUM_IMAGES}
    return {**known, "trainings": list(trainings)}


def right(count: int, *, other: int = 0) -> list[bool]:
    """So many of the images, the first ones; of which some are told wrongly and later ones not."""
    found = [place < count for place in range(NUM_IMAGES)]
    for place in range(other):
        found[place], found[count + place] = False, True
    return found


def study(folder: Path, *retrained: dict[str, Any]) -> StudyReader:
    """The study of ``test_pick``: 1 is the most accurate of those well below 8 ms, then 4, 6."""
    header = {**example.header(), KEY: list(retrained)}
    folder.mkdir(exist_ok=True)
    return example.study(folder, DESIGNS, header=header)


def retraining(folder: Path, *trainings: dict[str, Any]) -> Retraining:
    found = study(folder, entry(*trainings)).retraining
    assert found is not None
    return found


def test_an_order_that_holds_says_by_how_much(tmp_path: Path) -> None:
    found = retraining(tmp_path, ended(1, right(800)), ended(4, right(700)), ended(6, right(650)))
    assert [one.number for one in found.results] == [1, 4, 6]
    assert (found.state, found.tau) == ("held", 1.0)
    told = "The order held: trial 1 is still first of 3 designs, above trial 4 by 10.0 points (95 %"
    assert found.sentence.startswith(told)
    assert not found.sentence.endswith("tie.")


def test_the_first_may_stay_while_others_change_places(tmp_path: Path) -> None:
    found = retraining(tmp_path, ended(1, right(800)), ended(4, right(600)), ended(6, right(700)))
    assert found.state == "held"
    assert found.sentence.startswith("Trial 1 is still first of 3 designs, above trial 6 by 10.0")
    assert found.tau == pytest.approx(1 / 3)


def test_a_runner_up_that_is_surely_better_overtakes(tmp_path: Path) -> None:
    found = retraining(tmp_path, ended(1, right(700)), ended(4, right(760)))
    assert found.state == "overtaken"
    assert found.sentence.startswith(
        "The order did not hold: trial 4 overtook trial 1 by 6.0 points"
    )


def test_a_difference_within_the_noise_is_a_tie(tmp_path: Path) -> None:
    found = retraining(tmp_path, ended(1, right(700)), ended(4, right(704, other=60)))
    assert found.state == "tie"
    assert "trial 4 came out above trial 1 by 0.4 points" in found.sentence
    assert found.sentence.endswith("which is a tie.")


def test_images_count_by_pair(tmp_path: Path) -> None:
    """McNemar's variance, by hand: 504 of 1,000 images told apart, 4 more on one side."""
    found = retraining(tmp_path, ended(1, right(700)), ended(4, right(704, other=250)))
    apart = found.difference(*found.by_proxy)
    assert apart.value == pytest.approx(0.004)
    by_images = 1.96 * ((504 / 1000 - 0.004**2) / 1000) ** 0.5
    assert (apart.high - apart.low) / 2 == pytest.approx(by_images, rel=0.01)


def test_what_seeds_differ_by_beyond_single_images_is_added(tmp_path: Path) -> None:
    found = retraining(tmp_path, ended(1, right(700)), ended(4, right(704)))
    apart = found.difference(*found.by_proxy)
    assert found.seed_degrees == 0
    # Student's t of 24 degrees: each of seven designs was trained three more times
    by_seeds = 2.06 * 2**0.5 * found.seed_sd
    assert (apart.high - apart.low) / 2 == pytest.approx(by_seeds, rel=0.01)


def test_seeds_that_differ_widen_the_interval_and_are_told(tmp_path: Path) -> None:
    alike = [ended(1, right(700)), ended(4, right(800))]
    once = retraining(tmp_path / "once", *alike)
    again = [ended(1, right(740), seed=1), ended(4, right(700), seed=1)]
    twice = retraining(tmp_path / "twice", *alike, *again)
    assert once.difference(*once.by_proxy).is_resolved
    assert not twice.difference(*twice.by_proxy).is_resolved
    assert twice.seed_degrees == 2
    assert "by 2 repeated trainings" in twice.noise
    assert "--seeds 2 would measure it" in once.noise


def test_few_designs_have_a_tau_without_an_interval(tmp_path: Path) -> None:
    found = retraining(tmp_path, ended(1, right(800)), ended(4, right(700)))
    assert found.tau_interval is None
    assert found.tau_text == (
        "proxy tau near the front in full training: 1.00 of 2 designs, too few for an interval "
        "(8 are the least)"
    )


def test_eight_designs_have_an_interval(tmp_path: Path) -> None:
    designs = [design(n, 0.5 + n / 50, 1.0 + n / 10) for n in range(8)]
    order = random.Random(0).sample(range(8), 8)
    trained = [ended(n, right(600 + 20 * order[n])) for n in range(8)]
    header = {**example.header(), KEY: [entry(*trained)]}
    found = example.study(tmp_path, designs, header=header).retraining
    assert found is not None
    interval = found.tau_interval
    assert interval is not None
    assert interval.value == pytest.approx(found.tau)
    assert interval.low < interval.value < interval.high


def test_one_design_has_no_order(tmp_path: Path) -> None:
    found = retraining(tmp_path, ended(1, right(800)))
    assert (found.state, found.tau) == ("unfinished", None)
    assert found.sentence == "Only trial 1 was trained in full, so there is no order to judge."


def test_the_last_whole_retraining_counts(tmp_path: Path) -> None:
    whole = entry(ended(1, right(700)), ended(4, right(760)), name="a" * 16)
    failed = {"trial": 6, "seed": 0, "ended": None, "failure": "the loss was not finite"}
    begun = entry(ended(1, right(900)), {"trial": 4, "seed": 0, "ended": None}, name="b" * 16)
    whole["trainings"].append(failed)
    found = study(tmp_path, whole, begun).retraining
    assert found is not None
    assert found.entry["name"] == "a" * 16
    assert (found.left, found.failures) == (
        0,
        ["trial 6, seed 0 failed: the loss was not finite"],
    )
    only = study(tmp_path / "only", begun).retraining
    assert only is not None
    assert only.left == 1


def test_a_damaged_record_is_refused(tmp_path: Path) -> None:
    path = study(tmp_path, entry(ended(1, right(700)))).path
    with Store.open(path / "study.db") as store:
        kept = store.header()[KEY]
        kept[0]["trainings"][0]["ended"]["right"] = "ff"
        store.set_header(KEY, kept)
    with pytest.raises(StorageError, match="full trainings of another number of images"):
        open_study(path)


def test_a_pick_follows_full_training(tmp_path: Path) -> None:
    trained = entry(ended(1, right(700)), ended(4, right(760)))
    answer = pick(study(tmp_path, trained), Wish(limits={"latency_ms": 8.0}))
    assert (answer.chosen.record.number, answer.runner_up.record.number) == (4, 1)
    assert answer.chosen.in_full.accuracy.value == pytest.approx(0.76)
    assert answer.chosen.in_full.test.value == pytest.approx(0.7)
    assert answer.as_good < 0.05


def test_full_training_of_others_does_not_beat_a_pick_without(tmp_path: Path) -> None:
    trained = entry(ended(4, right(900)), ended(6, right(760)))
    answer = pick(study(tmp_path, trained), Wish(limits={"latency_ms": 8.0}))
    assert answer.chosen.record.number == 1
    assert answer.chosen.in_full is None


def test_an_accuracy_is_that_of_full_training_where_there_was_one(tmp_path: Path) -> None:
    wish = Wish(accuracy=0.8)
    found = study(tmp_path, entry(ended(0, right(900)), ended(1, right(950))))
    assert pick(found, wish).chosen.record.number == 0


def test_finalists_are_picks_and_then_who_may_be_as_good(tmp_path: Path) -> None:
    close = [design(7, 0.699, 3.0), *DESIGNS]
    found = example.study(tmp_path, close, header=example.header())
    wish = Wish(limits={"latency_ms": 4.0})
    chosen = finalists(found, [wish], top=3)
    assert [one.record.number for one in chosen[:2]] == [1, 7]
    assert [one.is_pick for one in chosen] == [True, False, False]
    both = finalists(found, [wish, Wish(limits={"latency_ms": 1.8})], top=3)
    assert {one.record.number for one in both if one.is_pick} == {0, 1}
    with pytest.raises(UsageError, match="2 designs are picks of their own, and 1 are to be"):
        finalists(found, [wish, Wish(limits={"latency_ms": 1.8})], top=1)


def test_finalists_go_by_the_short_trainings_alone(tmp_path: Path) -> None:
    wish = Wish(limits={"latency_ms": 8.0})
    before = finalists(study(tmp_path / "before"), [wish], top=3)
    trained = entry(ended(1, right(700)), ended(4, right(760)))
    after = finalists(study(tmp_path / "after", trained), [wish], top=3)
    assert [one.record.number for one in after] == [one.record.number for one in before]


def test_an_ancestor_near_the_front_is_among_the_finalists(tmp_path: Path) -> None:
    cheap = DESIGNS[0]  # on the front, and far from the most accurate
    header = {
        **example.header(),
        "ancestor": {"spec": {}, "digest": cheap.digest, "accuracy": None},
    }
    found = example.study(tmp_path, DESIGNS, header=header)
    chosen = finalists(found, [Wish(limits={"latency_ms": 8.0})], top=2)
    assert [one.record.number for one in chosen] == [1, 0]
