"""Several timings of one network: what they say together, and how far they may be off."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from archbench.study.measurement import Measurement
from archbench.study.runs import (
    PRIOR_DEVIATION,
    PRIOR_FREEDOM,
    RunToRun,
    latency_of,
    run_to_run,
    runs_of,
    student,
)
from archbench.study.trial import Taken
from tests.study import example

EXACT = RunToRun(deviation=0.0, freedom=10**6)


def timing(value: float, *, deviation: float = 0.0) -> Measurement:
    """A timing of which the passes leave this deviation of the logarithm."""
    factor = math.exp(1.959964 * deviation)
    found = vars(example.latency(value))
    of_now = {"low": value / factor, "high": value * factor, "details": {"protocol": "2"}}
    return Measurement(**{**found, **of_now})


def test_one_timing_gives_its_value_with_the_part_from_run_to_run() -> None:
    found = latency_of([timing(2.0, deviation=0.003)], RunToRun(deviation=0.004, freedom=10**6))
    assert found.value == 2.0
    assert math.log(found.high / 2.0) == pytest.approx(1.96 * 0.005, rel=1e-3)
    assert math.log(2.0 / found.low) == pytest.approx(1.96 * 0.005, rel=1e-3)
    assert (found.details["runs"], found.details["run_to_run"]) == (1, 0.004)


def test_several_give_their_geometric_mean_with_less_doubt() -> None:
    runs = RunToRun(deviation=0.01, freedom=10**6)
    found = latency_of([timing(2.0), timing(8.0)], runs)
    assert found.value == pytest.approx(4.0)
    assert math.log(found.high / found.value) == pytest.approx(1.96 * 0.01 / math.sqrt(2), rel=1e-3)
    closer = latency_of([timing(2.0, deviation=0.001), timing(8.0, deviation=1.0)], runs)
    assert closer.value == pytest.approx(2.0, rel=1e-3)


def test_disturbed_timings_count_only_where_there_is_no_stable_one() -> None:
    disturbed = replace(timing(9.0), verdict="disturbed")
    none = example.latency(None, verdict="incomplete")
    assert latency_of([disturbed, timing(2.0), none], EXACT).value == 2.0
    assert latency_of([disturbed, none], EXACT).value == 9.0
    assert latency_of([none], EXACT) == none


def test_of_timings_by_earlier_rules_the_last_counts_as_it_is() -> None:
    old = [example.latency(4.0), example.latency(5.0), example.latency(None, verdict="incomplete")]
    assert latency_of(old, RunToRun()) == old[1]
    assert run_to_run([old]) == RunToRun()


def test_without_a_pair_the_assumed_deviation_holds() -> None:
    alone = [[timing(1.0)], [timing(2.0), example.latency(None, verdict="incomplete")]]
    assert run_to_run(alone) == RunToRun() == run_to_run([])
    assert (RunToRun().deviation, RunToRun().freedom) == (PRIOR_DEVIATION, PRIOR_FREEDOM)


def test_trials_alone_have_runs_in_the_order_taken() -> None:
    first, second = timing(1.0), timing(2.0)
    taken = [
        Taken(trial=3, kind="search", measurement=first),
        Taken(reference="levit_128s", kind="reference", measurement=second),
        Taken(trial=3, kind="again", measurement=second),
    ]
    assert runs_of(taken) == {3: (first, second)}


def drawn(
    rng: np.random.Generator, number: int, *, runs: int, between: float, within: float
) -> list[Sequence[Measurement]]:
    """Timings of networks that take 1 ms."""
    deviation = math.hypot(between, within)
    values = np.exp(deviation * rng.standard_normal((number, runs)))
    return [[timing(float(v), deviation=within) for v in row] for row in values]


@pytest.mark.parametrize("between", [0.0, 0.005, 0.03])
def test_the_deviation_is_found_beside_that_of_the_passes(between: float) -> None:
    rng = np.random.default_rng(0)
    found = run_to_run(drawn(rng, 400, runs=2, between=between, within=0.004))
    assert found.deviation == pytest.approx(between, abs=0.0015)
    assert (found.pairs, found.freedom) == (400, 400 + PRIOR_FREEDOM)


@pytest.mark.parametrize("between", [0.004, 0.007, 0.02])
def test_intervals_of_the_difference_of_two_timings_hold(between: float) -> None:
    """Ten pairs, as a search of forty trials has, and a new timing of each of 40 others."""
    rng, held = np.random.default_rng(1), 0
    for _ in range(100):
        runs = run_to_run(drawn(rng, 10, runs=2, between=between, within=0.004))
        for first, second in drawn(rng, 40, runs=2, between=between, within=0.004):
            one, two = latency_of([first], runs), latency_of([second], runs)
            wide = math.hypot(math.log(one.high / one.low), math.log(two.high / two.low)) / 2
            held += abs(math.log(one.value / two.value)) <= wide
    assert 0.93 <= held / 4000 <= 0.985


@pytest.mark.parametrize(
    ("share", "freedom", "printed"),
    [
        *((0.975, 4, 2.776), (0.975, 6, 2.447), (0.975, 10, 2.228), (0.975, 20, 2.086)),
        *((0.975, 30, 2.042), (0.975, 10**6, 1.960), (0.99, 6, 3.143), (0.99, 21, 2.518)),
    ],
)
def test_student_agrees_with_printed_tables(share: float, freedom: int, printed: float) -> None:
    assert student(share, freedom=freedom) == pytest.approx(printed, rel=0.01)
