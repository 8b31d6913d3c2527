"""Which one design is picked, and what is said of it."""

from dataclasses import replace
from pathlib import Path

import pytest

from archbench.analysis.pick import finalists, pick
from archbench.analysis.study import StudyReader
from archbench.analysis.wish import Wish, step_of
from archbench.errors import NegativeResultError, UsageError
from archbench.report.findings import front
from archbench.study.trial import PRECISION, QuantisedAccuracy, TrialRecord
from tests.study import example


def design(number: int, accuracy: float, latency_ms: float, *, width: float = 0.01, dim: int = 0,
           depth: int = 1) -> TrialRecord:  # fmt: skip
    """A design that was trained four times, with almost the same result each time."""
    curve = tuple(
        example.point(8, accuracy + off, seed=seed)
        for seed, off in enumerate((0.001, -0.001, 0.0005, -0.0005))
    )
    latency = replace(
        example.latency(latency_ms), low=latency_ms * (1 - width), high=latency_ms * (1 + width)
    )
    choices = {"dim": dim or 16 * (number + 1), "depth": depth}
    return example.trial(number, accuracy=accuracy, latency=latency, curve=curve, choices=choices)


DESIGNS = [
    design(0, 0.50, 1.0),
    design(1, 0.70, 2.0),
    design(2, 0.72, 7.9, width=0.04),  # may as well take more than 8 ms
    design(3, 0.73, 8.6),
    design(4, 0.60, 2.1, dim=32, depth=2),  # one axis from trial 1
    design(5, 0.45, 1.5),
    design(6, 0.55, 3.0),
]


@pytest.fixture
def study(tmp_path: Path) -> StudyReader:
    return example.study(tmp_path, DESIGNS, header=example.header())


@pytest.mark.parametrize(
    ("wish", "chosen", "keeps", "admitted"),
    [
        (Wish(limits={"latency_ms": 8.0}), 1, (0.99, 1.0), 5),  # trial 2 may break the limit
        (Wish(limits={"latency_ms": 8.0}, sure=0.6), 2, (0.6, 0.8), 6),
        (Wish(accuracy=0.58), 1, (0.9, 1.0), 4),
        (Wish(is_knee=True), 1, (0.9, 1.0), 4),
    ],
    ids=["within a limit", "less sure", "the cheapest", "where the front bends"],
)
def test_the_best_that_keeps_a_wish_is_picked(
    study: StudyReader, wish: Wish, chosen: int, keeps: tuple[float, float], admitted: int
) -> None:
    answer = pick(study, wish)
    assert answer.chosen.record.number == chosen
    assert keeps[0] <= answer.chosen.keeps <= keeps[1]
    assert answer.admitted == admitted


def test_the_next_step_names_the_design_that_a_pick_takes(tmp_path: Path) -> None:
    """Not the most accurate of the front, which may as well break the limit."""
    proxy = {**example.header()["proxy"], "data": "folder:photos"}
    header = example.header(limits={"latency_ms": 8.0}, proxy=proxy)
    study = example.study(tmp_path, DESIGNS, header=header)
    assert study.front_records()[-1].number == 2
    assert study.likely_best == study.recommended == DESIGNS[1]
    assert pick(study, Wish()).chosen.record == DESIGNS[1]
    for told in (study.verdict(), front.finding(study).next_step):
        assert f"archbench train {tmp_path}:1 " in told


def test_one_more_millisecond_buys_what_a_design_within_it_reaches(study: StudyReader) -> None:
    answer = pick(study, Wish(limits={"latency_ms": 8.0}))
    more, less = answer.more, answer.less
    assert (more.value, less.value) == (9.0, 7.0)
    assert more.choice.record.number == 3
    assert more.accuracy.value == pytest.approx(0.03, abs=0.01)
    assert less.choice.record.number == 1


def test_runner_up_of_the_cheapest_is_named_with_its_chance(study: StudyReader) -> None:
    answer = pick(study, Wish(accuracy=0.58))
    assert answer.runner_up.record.number == 4
    assert answer.as_good == pytest.approx(0, abs=0.1)


def test_a_trial_that_differs_in_one_axis_says_what_it_does(study: StudyReader) -> None:
    changes = pick(study, Wish(limits={"latency_ms": 4.0})).changes
    (shown,) = [change for change in changes if change.axis == "depth"]
    assert (shown.axis, shown.before, shown.after, shown.trial) == ("depth", 1, 2, 4)
    assert shown.accuracy.is_resolved
    assert shown.accuracy.value == pytest.approx(-0.1, abs=0.01)
    assert shown.cost == pytest.approx(0.1)
    assert {change.trial for change in changes} == {0, 2, 3, 4, 5, 6}


def test_a_change_that_no_trial_shows_is_foretold_and_says_so(study: StudyReader) -> None:
    changes = pick(study, Wish(limits={"latency_ms": 2.2}, accuracy=0.55, sure=0.5)).changes
    foretold = [change for change in changes if change.trial is None]
    assert all(change.cost is None for change in foretold)
    both = next(n for n in pick(study, Wish(limits={"latency_ms": 1.2})).changes if n.trial is None)
    assert both.axis == "depth"


def test_two_alike_are_as_good_in_half_of_the_cases(tmp_path: Path) -> None:
    twins = [design(8, 0.701, 2.0, dim=300), design(9, 0.701, 2.0, dim=300)]
    study = example.study(tmp_path, [DESIGNS[0], *twins, *DESIGNS[4:]], header=example.header())
    answer = pick(study, Wish(limits={"latency_ms": 4.0}))
    assert answer.as_good == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize(
    ("wish", "told"),
    [
        (
            Wish(limits={"latency_ms": 0.5}),
            "no design stays within 0.50 ms with 90 % probability; the near",
        ),
        (Wish(limits={"latency_ms": 1.0}), r"trial 0 with 1.00 ms \(50 %\): take it with --sure"),
        (
            Wish(accuracy=0.9),
            "no design reaches 90.0 % accuracy with 90 % probability; the nearest is trial 3",
        ),
    ],
)
def test_what_nothing_keeps_names_the_nearest(study: StudyReader, wish: Wish, told: str) -> None:
    with pytest.raises(NegativeResultError, match=told):
        pick(study, wish)


def test_a_study_without_a_trained_design_has_nothing_to_pick(tmp_path: Path) -> None:
    study = example.study(tmp_path, [], header=example.header())
    with pytest.raises(NegativeResultError, match="no design has been tried yet"):
        pick(study, Wish(is_knee=True))


@pytest.mark.parametrize(
    ("name", "value", "step"),
    [("latency_ms", 8, 1.0), ("latency_ms", 1, 0.2), ("latency_ms", 0.6, 0.1), ("macs", 4e8, 5e7)],
)
def test_a_step_is_one_that_a_person_would_ask_about(name: str, value: float, step: float) -> None:
    assert step_of(name, value) == pytest.approx(step)


def test_int8_is_a_single_change_of_a_design_and_a_precision_to_pick_in(tmp_path: Path) -> None:
    chosen = [replace(one, choices={**one.choices, PRECISION: "fp32"}) for one in DESIGNS]
    quantised = [
        replace(
            one,
            number=10 + one.number,
            design=one.number,
            curve=(),
            quantised=tuple(
                QuantisedAccuracy(seed=point.seed, accuracy=point.accuracy - 0.02, seconds=1.0)
                for point in one.curve
            ),
            proxy_accuracy=(one.proxy_accuracy or 0.0) - 0.02,
            latency=example.latency((one.latency.value or 0.0) / 2),
            choices={**one.choices, PRECISION: "int8"},
        )
        for one in chosen
        if one.latency
    ]
    header = {**example.header(), "precisions": ["fp32", "int8"]}
    study = example.study(tmp_path, [*chosen, *quantised], header=header)
    wish = Wish(limits={"latency_ms": 2.2})
    assert pick(study, Wish(limits={"latency_ms": 1.5})).chosen.record.number == 11
    answer = pick(study, replace(wish, precision="fp32"))
    assert answer.chosen.record.number == 1
    change = next(one for one in answer.changes if one.axis == PRECISION)
    assert (change.before, change.after, change.trial) == ("fp32", "int8", 11)
    assert change.accuracy.value == pytest.approx(-0.02, abs=0.005)
    assert change.accuracy.is_resolved
    answer = pick(study, replace(wish, precision="int8"))
    assert answer.chosen.record.number == 11
    back = next(one for one in answer.changes if one.axis == PRECISION)
    assert back.accuracy.value == pytest.approx(0.02, abs=0.005)
    foretold = [one for one in answer.changes if one.trial is None]
    assert {one.axis for one in foretold} <= {"dim", "depth"}
    (trained,) = finalists(study, [Wish(limits={"latency_ms": 1.5})], top=1)
    assert (trained.record.number, trained.is_pick) == (1, True), "whose int8 is the pick"
    with pytest.raises(UsageError, match="no designs in fp16"):
        pick(study, replace(wish, precision="fp16"))
