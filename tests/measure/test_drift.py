"""Constants that no longer hold are found while others are measured, and renewed by themselves."""

import json
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from archbench.measure.latency.calibration import Calibration, calibrate, check_drift
from archbench.measure.latency.latency import measure_latency
from archbench.measure.machine import Counters
from archbench.measure.machine_cache import CHECKS, Constants, DriftCheck, constants_file
from archbench.study.environment import Environment
from archbench.study.measurement import Conditions
from tests.measure.conftest import FakeClock, Ticking, calibrator

Process = Callable[..., Calibration]
Kept = Callable[[], dict[str, Any]]


@pytest.fixture
def networks(clock: FakeClock) -> dict[str, Ticking]:
    return {name: Ticking(clock, ms) for name, ms in {"a": 2.0, "b": 4.0, "c": 8.0}.items()}


@pytest.fixture
def process(
    clock: FakeClock, environment: Environment, conditions: Conditions, networks: dict[str, Ticking]
) -> Process:
    """What a process does: it gets the constants and checks whether they drifted."""

    def run(*, busy: bool = False, calibration: Calibration | None = None) -> Calibration:
        found = calibration or calibrate(
            conditions,
            environment=environment,
            clock=clock,
            calibrators=tuple(calibrator(name, kept) for name, kept in networks.items()),
        )
        ticks = iter((0, 100 if busy else 0))

        def read_counters() -> Counters:
            processes = {1: ("compiler", next(ticks))}
            return Counters(ticks=0, stolen=0, throttled=None, processes=processes)

        with found.bench(conditions, environment=environment, clock=clock) as bench:
            check_drift(replace(bench, counters=read_counters))
        return found

    return run


@pytest.fixture
def kept(environment: Environment, process: Process) -> Kept:
    path = constants_file(environment, process().settings).path
    return lambda: json.loads(path.read_text())


@pytest.mark.parametrize("slowness", [1.0, 1.5])
def test_constants_that_hold_stay_however_slow_the_host_is(
    process: Process, networks: dict[str, Ticking], kept: Kept, slowness: float
) -> None:
    for network in networks.values():
        network.cpu_ms *= slowness
    before = kept()
    for _ in range(5):
        found = process()
        assert found.generation == 1
        assert found.details()["calibrators_apart"] == pytest.approx(0.0, abs=1e-9)
    assert kept() == before


def test_a_network_that_left_the_others_renews_them_and_the_old_are_kept(
    process: Process, networks: dict[str, Ticking], kept: Kept
) -> None:
    for network in networks.values():
        network.cpu_ms *= 1.5
    networks["c"].cpu_ms *= 1.1
    processes = [process() for _ in range(5)]
    assert [found.generation for found in processes] == [1, 1, 1, 2, 2]
    # It is said once, by the process that took them.
    notes = [found.details().get("calibration_note", "") for found in processes]
    assert notes[:3] + notes[4:] == [""] * 4
    assert "constants taken anew (c takes 10% more beside" in notes[3]
    assert "latencies differ from those before by up to 10.0%" in notes[3]
    # The level of the old ones stays: how fast the host is today is no matter of constants.
    assert processes[4].constants_ms == pytest.approx({"a": 2.0, "b": 4.0, "c": 8.8})
    document = kept()
    assert document["generation"] == 2
    (old,) = document["history"]
    assert old["constants_ms"] == pytest.approx({"a": 2.0, "b": 4.0, "c": 8.0})
    assert old["given_up_because"].startswith("c takes 10% more beside")
    assert document["doubt"] == {"looks": [], "due": ""}


def test_beside_other_processes_nothing_is_concluded(
    process: Process, networks: dict[str, Ticking], kept: Kept
) -> None:
    networks["c"].cpu_ms *= 1.1
    before = kept()
    for _ in range(5):
        found = process(busy=True)
    assert found.checks[-1].disturbance == "other processes worked: compiler"
    assert kept() == before


def test_disturbed_constants_are_taken_again_at_the_first_quiet_chance(
    process: Process, networks: dict[str, Ticking], environment: Environment
) -> None:
    networks["a"].waiting_ms = 5.0
    first = process()
    assert "taken while other work held the core for 26% of the time" in first.note
    networks["a"].waiting_ms = 0.0
    assert process().generation == 1  # found quiet
    renewed = process()
    assert renewed.generation == 2
    assert "constants taken anew (they were taken while other work" in renewed.note
    assert process().note == ""


def test_a_renewal_that_is_disturbed_waits(
    process: Process, networks: dict[str, Ticking], kept: Kept
) -> None:
    networks["c"].cpu_ms *= 1.1
    for _ in range(3):
        process()
    networks["a"].waiting_ms = 5.0
    vain = process()
    assert vain.generation == 1
    assert "the old ones stay for now" in vain.note
    assert kept()["doubt"]["due"] == ""
    networks["a"].waiting_ms = 0.0
    assert [process().generation for _ in range(2)] == [1, 2]


def test_a_study_with_older_constants_says_nothing_of_the_newer(
    process: Process, networks: dict[str, Ticking], kept: Kept
) -> None:
    old = process()
    networks["c"].cpu_ms *= 1.1
    for _ in range(4):
        process()
    before = kept()
    for _ in range(5):
        study = replace(old, checks=[])
        process(calibration=study)
        assert study.checks[-1].deviations["c"] == pytest.approx(0.1)
    assert kept() == before


def test_a_measurement_says_how_far_the_networks_are_apart(
    process: Process,
    clock: FakeClock,
    environment: Environment,
    conditions: Conditions,
    networks: dict[str, Ticking],
) -> None:
    process()
    networks["c"].cpu_ms *= 1.1
    calibration = replace(process(), checks=[])
    with calibration.bench(conditions, environment=environment, clock=clock) as bench:
        found = measure_latency({"it": Ticking(clock, 3.0)}, bench=bench)["it"]
    assert found.details["calibration_generation"] == 1
    assert found.details["calibrators_apart"] == pytest.approx(0.1)


FRESH = Constants(constants_ms={"a": 2.0, "b": 4.0}, off_cpu_share=0.0)


def after(*checks: DriftCheck) -> Constants:
    constants = FRESH
    for one in checks:
        constants = constants.checked(one)
    return constants


def check(share: float, *, weight: int = 1) -> DriftCheck:
    return DriftCheck(deviations={"a": share, "b": 0.0}, weight=weight)


@pytest.mark.parametrize(
    ("checks", "is_due"),
    [
        ([check(0.08, weight=CHECKS)], True),  # a long check counts for all
        ([check(0.04)] * 10, False),  # between the limits nothing is renewed
        ([check(0.08), check(0.04), check(0.08)], True),  # and nothing forgotten
        ([check(0.08), check(-0.08), check(0.08), check(-0.08)], False),  # noise changes sides
        ([DriftCheck(deviations={"a": 0.5})] * 3, False),  # nobody to be compared with
    ],
)
def test_constants_are_due_by_their_checks(checks: list[DriftCheck], is_due: bool) -> None:
    assert bool(after(*checks).due) == is_due


def test_a_check_that_finds_them_together_makes_the_others_void() -> None:
    assert after(check(0.08), check(0.08), check(0.02), check(0.08)) == after(check(0.08))


@pytest.mark.parametrize(
    ("change", "checks", "least", "most"),
    [(0.0, 20, 0, 4), (0.08, 4, 195, 200)],
    ids=["noise_renews_hardly_ever", "eight_percent_are_found_through_the_noise"],
)
def test_of_200_machines_with_noise_so_many_renew(
    change: float, checks: int, least: int, most: int
) -> None:
    rng, renewed = random.Random(0), 0
    for _ in range(200):
        drawn = (
            {name: rng.gauss(change if name == "a" else 0.0, 0.01) for name in "abcd"}
            for _ in range(checks)
        )
        renewed += bool(after(*(DriftCheck(deviations=found) for found in drawn)).due)
    assert least <= renewed <= most
