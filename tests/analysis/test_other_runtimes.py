"""Whether the order of a front holds in another runtime, and how that is told."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from archbench.analysis.other_runtimes import in_other_runtimes
from archbench.report.element import joined
from archbench.report.findings import other_runtimes
from archbench.study.measurement import Conditions
from archbench.study.trial import TrialRecord
from tests.study import example


def member(number: int, value: float) -> TrialRecord:
    latency = replace(example.latency(value), low=0.99 * value, high=1.01 * value)
    return replace(example.trial(number, accuracy=0.5), latency=latency)


MEMBERS = [member(0, 1.0), member(1, 2.0), member(2, 2.01), member(3, 4.0)]


def entry(values: dict[int, float], reason: str = "") -> dict[str, Any]:
    trials = [
        {"trial": n, "value": value, "low": 0.99 * value, "high": 1.01 * value}
        for n, value in values.items()
    ]
    return {"backend": "openvino", "trials": trials, "reason": reason}


def test_a_pair_changes_places_where_its_intervals_are_apart_on_both_sides() -> None:
    header = {"other_runtimes": [entry({0: 3.0, 1: 2.0, 2: 1.0, 3: 5.0})]}
    (found,) = in_other_runtimes(header, MEMBERS)
    assert found.swapped == ((0, 1), (0, 2))  # 1 and 2 are a tie in the search
    assert found.kendall_tau == 0.0


def test_who_is_not_on_the_front_any_more_is_left_out() -> None:
    header = {"other_runtimes": [entry({0: 1.0, 9: 2.0}), entry({}, "it is not there")]}
    first, second = in_other_runtimes(header, MEMBERS)
    assert (set(first.latencies_ms), first.kendall_tau) == ({0}, None)
    assert (second.latencies_ms, second.reason) == ({}, "it is not there")
    assert in_other_runtimes({}, MEMBERS) == []


def test_it_is_told_without_a_second_interval_and_the_rest_in_a_line(tmp_path: Path) -> None:
    members = [
        replace(example.trial(n, accuracy=0.5 + 0.1 * n), latency=one.latency)
        for n, one in enumerate(MEMBERS)
    ]
    timed = entry({0: 3.0, 1: 2.0, 2: 2.01, 3: 5.0})
    header = example.header() | {
        "conditions": asdict(Conditions(resolution=(32, 32))),
        "other_runtimes": [timed, {**entry({}, "it is slow"), "backend": "ncnn"}],
    }
    text = joined(other_runtimes.parts(example.study(tmp_path, members, header=header)))
    assert text == (
        "trial         eager, ms  openvino, ms\n"
        "-----  ----------------  ------------\n"
        "    0  1.00 (0.99–1.01)          3.00\n"
        "    1  2.00 (1.98–2.02)          2.00\n"
        "    2  2.01 (1.99–2.03)          2.01\n"
        "    3  4.00 (3.96–4.04)          5.00\n"
        "\n"
        "openvino: trials 0 and 1, trials 0 and 2 change places (Kendall's tau 0.33)\n"
        "not timed: ncnn (--json says why)"
    )
