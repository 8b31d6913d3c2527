"""What becomes of a front where latencies are others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from archbench.analysis.front import FrontRule, transfer
from archbench.analysis.statistics import kendall_tau_of
from archbench.study.trial import TrialRecord
from tests.study import example

RULE = FrontRule(
    objectives={"proxy_accuracy": "max", "latency_ms": "min"},
    limits={"latency_ms": 2.0},
    chance=0.1,
    num_validation=1000,
)


def trial(number: int, accuracy: float, latency_ms: float | None) -> TrialRecord:
    latency = example.latency(latency_ms, verdict="stable" if latency_ms else "incomplete")
    return example.trial(number, accuracy=accuracy, latency=latency)


HERE = [trial(0, 0.5, 1.0), trial(1, 0.7, 1.5), trial(2, 0.6, 1.8)]


def moved_to(
    latencies: Sequence[float | None], *, trials: Sequence[int] = (0, 1, 2)
) -> dict[str, Any]:
    here = [HERE[number] for number in trials]
    there = [
        trial(record.number, record.proxy_accuracy or 0.0, latency)
        for record, latency in zip(here, latencies, strict=True)
    ]
    return transfer(RULE, here=here, there=there, members=[0, 1])


def test_twice_as_slow_keeps_the_front_and_loses_nothing() -> None:
    found = moved_to([2.0, 3.0, 3.6])
    assert found == {
        "front": [0, 1],
        "kept": [0, 1],
        "left": [],
        "joined": [],
        "kendall_tau": 1.0,
        "compared": 3,
        "lost": pytest.approx(0.0),
    }


def test_members_leave_others_join_and_the_hypervolume_of_members_falls() -> None:
    found = moved_to([2.0, 4.0, 1.0])
    assert found["front"] == [2, 1]
    assert (found["kept"], found["left"], found["joined"]) == ([1], [0], [2])
    assert found["kendall_tau"] == pytest.approx(-1 / 3)
    # In a box of 4 ms x 0.9: all cover 3 x 0.5, members 2 x 0.4; the slowest stands at the edge.
    assert found["lost"] == pytest.approx(1 - (2 * 0.4) / (3 * 0.5))


def test_members_alone_do_not_say_what_was_lost() -> None:
    assert moved_to([2.0, 3.0], trials=[0, 1])["lost"] is None


def test_a_network_that_does_not_run_there_leaves() -> None:
    found = moved_to([2.0, None, 3.0])
    assert found["left"] == [1]
    assert found["compared"] == 2


def test_a_limit_of_the_search_does_not_hold_elsewhere() -> None:
    assert moved_to([2.5, 3.0, 3.6])["kept"] == [0, 1]


def test_fewer_than_two_or_all_alike_have_no_order() -> None:
    assert kendall_tau_of([]) is None
    assert kendall_tau_of([(1.0, 2.0)]) is None
    assert kendall_tau_of([(1.0, 2.0), (1.0, 3.0)]) is None
