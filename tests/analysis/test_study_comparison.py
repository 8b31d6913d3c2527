"""Two fronts side by side: who beats whom, and when nothing is to be said."""

from pathlib import Path
from typing import Any

import pytest

from archbench.analysis.study import StudyReader
from archbench.analysis.study_comparison import compare_studies
from archbench.errors import IncomparableError, UsageError
from archbench.study.trial import Snapshot
from tests.report import plausible
from tests.study import example


def _study(name: str, points: list[tuple[float, float]], **changes: Any) -> StudyReader:
    """A study of trials with these latencies, in ms, and accuracies."""
    trials = [
        example.trial(number, latency_ms=ms, accuracy=accuracy)
        for number, (ms, accuracy) in enumerate(points)
    ]
    header = plausible.header(name=name, limits={}, **changes)
    snapshot = Snapshot(header=header, trials=tuple(trials), measurements=(), references=())
    return StudyReader(Path(name), snapshot=snapshot)


def test_a_member_is_beaten_by_what_is_no_worse_and_better_in_one() -> None:
    one, other = _study("one", [(1.0, 0.5), (2.0, 0.9)]), _study("other", [(1.0, 0.6), (3.0, 0.8)])
    found = compare_studies([one, other])
    assert {(m.study, m.record.number): m.beaten_by for m in found.members} == {
        ("one", 0): ("other", 0),
        ("one", 1): None,
        ("other", 0): None,
        ("other", 1): ("one", 1),
    }
    chance, worst = 0.1071, 3.0  # of the box, whose best corner is 0 ms and 1
    area = (worst - 1) * (0.5 - chance) + (worst - 2) * (0.9 - 0.5)
    assert found.hypervolumes is not None
    assert found.hypervolumes[0] == pytest.approx(area / (worst * (1 - chance)))
    assert not found.differences


def test_beyond_the_intervals_it_is_sure() -> None:
    near = compare_studies([_study("one", [(1.0, 0.50)]), _study("other", [(1.0, 0.51)])])
    far = compare_studies([_study("one", [(2.0, 0.50)]), _study("other", [(1.0, 0.90)])])
    assert [m.surely for m in near.members if m.beaten_by] == [False]
    assert [m.surely for m in far.members if m.beaten_by] == [True]


def test_studies_of_other_data_are_not_judged() -> None:
    proxy = {**plausible.header()["proxy"], "data_digest": "f" * 16, "rungs": [4, 16]}
    found = compare_studies([_study("one", [(1, 0.5)]), _study("other", [(1, 0.9)], proxy=proxy)])
    assert found.differences["epochs"] == ("8", "16")
    assert set(found.differences) == {"data", "epochs"}
    assert found.hypervolumes is None
    assert not any(member.beaten_by for member in found.members)


def test_another_recipe_matters_but_for_its_seed_and_its_earlier_rungs() -> None:
    proxy, recipe = plausible.header()["proxy"], {"rungs": [2, 4, 8], "batch": 32, "seed": 0}
    first = _study("one", [(1, 0.5)], proxy={**proxy, "recipe": recipe})
    again = {**proxy, "rungs": [8], "recipe": {**recipe, "rungs": [8], "seed": 1}}
    assert not compare_studies([first, _study("other", [(1, 0.9)], proxy=again)]).differences
    batch = {**proxy, "recipe": {**recipe, "batch": 64}}
    found = compare_studies([first, _study("other", [(1, 0.9)], proxy=batch)])
    assert found.differences == {"batch": ("32", "64")}


def test_another_machine_matters_for_latencies_alone() -> None:
    machine = {**plausible.header()["environment"], "cpu": "another"}
    pair = [_study("one", [(1, 0.5)]), _study("other", [(1, 0.9)], environment=machine)]
    assert compare_studies(pair).differences == {"cpu": ("AMD EPYC 9R45", "another")}
    objectives = {"proxy_accuracy": "max", "macs": "min"}
    exact = [
        _study("one", [(1, 0.5)], objectives=objectives),
        _study("other", [(1, 0.9)], objectives=objectives, environment=machine),
    ]
    assert not compare_studies(exact).differences


def test_studies_of_other_objectives_are_refused() -> None:
    objectives = {"proxy_accuracy": "max", "macs": "min"}
    with pytest.raises(IncomparableError, match="one was searched for proxy_accuracy, latency_ms"):
        compare_studies([_study("one", []), _study("other", [], objectives=objectives)])


def test_a_study_that_is_named_twice_is_refused() -> None:
    study = _study("one", [(1, 0.5)])
    with pytest.raises(UsageError, match="one: a study is named twice"):
        compare_studies([study, study])
