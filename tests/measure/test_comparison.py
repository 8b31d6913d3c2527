"""How often networks seem different that are not, and how often a difference is found."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from archbench.errors import IncomparableError
from archbench.measure.calibration import Calibration
from archbench.measure.comparison import BETWEEN_PROCESSES, compare_processes, compare_rounds
from archbench.measure.estimate import lower_mean
from archbench.measure.interval import log_half_widths, lower_ratios
from archbench.measure.latency import measure_latency
from archbench.measure.rounds import LOOK_LEVEL, LOOKS
from archbench.records.environment import Environment
from archbench.records.measurement import Conditions, Measurement
from tests.measure.conftest import FakeClock, Ticking
from tests.measure.synthetic import KINDS, Array, timings

NAMES = ("a", "b")


def measured(samples: Sequence[float], **changed: object) -> Measurement:
    value = lower_mean(samples) if len(samples) else None
    fields: dict[str, object] = {
        "metric": "latency",
        "unit": "ms",
        "samples": tuple(samples),
        "value": value,
        "low": value and value * 0.99,
        "high": value and value * 1.01,
        "conditions": Conditions(),
        "environment_id": "here",
        "verdict": "stable",
    }
    return Measurement(**{**fields, **changed})


def apart(first: Array, second: Array) -> Array:
    """1 where the second seems slower, -1 where it seems faster, 0 at a tie; one for each run."""
    off = np.log(lower_ratios(second, first))
    width = log_half_widths(second, first, level=LOOK_LEVEL)
    return np.where(np.abs(off) > width, np.sign(off), 0.0)


def apart_at_the_end(samples: list[Array], *, wanted: float) -> Array:
    """As `apart`, where a run stops when both are known well beside the calibrator, the last."""
    found = []
    for look in LOOKS:
        first, second, calibration = (entry[:, :look] for entry in samples)
        widths = [log_half_widths(one, calibration, level=LOOK_LEVEL) for one in (first, second)]
        stops = (np.maximum(*widths) <= wanted) | (look == LOOKS[-1])
        found.append(apart(first, second)[stops])
        samples = [entry[~stops] for entry in samples]
    return np.concatenate(found)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_network_twice_seems_faster_in_at_most_1_of_20(kind: str) -> None:
    samples = timings(kind, runs=1000, rounds=LOOKS[-1], seed=0, networks=3, noise=0.012)
    found = apart_at_the_end(samples, wanted=0.005)
    assert np.mean(found < 0) <= 0.05
    assert np.mean(found != 0) <= 0.06  # 1,000 runs tell 1.4 % apart


@pytest.mark.parametrize("kind", ["quiet", "drift", "spikes"])
def test_three_percent_are_found_nearly_always(kind: str) -> None:
    first, second, calibration = timings(
        kind, runs=500, rounds=LOOKS[-1], seed=1, networks=3, noise=0.02
    )
    found = apart_at_the_end([first, 1.03 * second, calibration], wanted=0.005)
    assert np.mean(found > 0) >= 0.95
    assert not np.any(found < 0)


def test_ratio_says_how_much_longer_the_second_takes() -> None:
    first, second = (entry[0] for entry in timings("quiet", runs=1, rounds=100, seed=2))
    found = compare_rounds(NAMES, measured(first), measured(1.5 * second))
    assert found.outcome == "slower"
    assert found.difference == pytest.approx(0.5, abs=0.03)
    assert (found.first, found.second, found.rounds) == ("a", "b", 100)
    back = compare_rounds(NAMES, measured(1.5 * second), measured(first))
    assert back.outcome == "faster"
    assert back.ratio is not None
    assert found.ratio is not None
    assert back.ratio.value == pytest.approx(1 / found.ratio.value)


def test_equal_times_tie() -> None:
    same = timings("all", runs=1, rounds=50, seed=3)[0][0]
    assert compare_rounds(NAMES, measured(same), measured(same)).outcome == "tie"


def test_only_shared_rounds_count() -> None:
    first, second = (entry[0] for entry in timings("quiet", runs=1, rounds=60, seed=4))
    assert compare_rounds(NAMES, measured(first), measured(second[:40])).rounds == 40


def test_a_network_without_a_value_is_unknown_with_the_reason() -> None:
    broken = measured([], verdict="incomplete", reason="it raised ValueError")
    for compared in (compare_rounds, compare_processes):
        found = compared(NAMES, measured([1.0] * 20), broken)
        assert (found.outcome, found.ratio, found.difference) == ("unknown", None, None)
        assert found.reason == "b: it raised ValueError"


def test_too_few_rounds_are_unknown() -> None:
    found = compare_rounds(NAMES, measured([1.0] * 4), measured([1.0] * 4))
    assert (found.outcome, found.reason) == ("unknown", "only 4 rounds of 5 needed ones")


@pytest.mark.parametrize("compared", [compare_rounds, compare_processes])
@pytest.mark.parametrize(
    "changed", [{"conditions": Conditions(batch=2)}, {"environment_id": "there"}]
)
def test_other_conditions_or_machines_are_refused(
    compared: Callable[..., object], changed: dict[str, object]
) -> None:
    with pytest.raises(IncomparableError, match="cannot compare measurements of different"):
        compared(NAMES, measured([1.0] * 20), measured([1.0] * 20, **changed))


def test_between_processes_the_interval_holds_what_differs_from_one_to_the_next() -> None:
    found = compare_processes(NAMES, measured([1.0] * 20), measured([1.02] * 20))
    assert found.ratio is not None
    assert found.ratio.value == pytest.approx(1.02)
    assert found.ratio.half_width > 1.96 * 2**0.5 * BETWEEN_PROCESSES
    assert (found.outcome, found.rounds) == ("tie", 0)


def test_constants_that_were_renewed_in_between_change_no_ratio() -> None:
    def taken(constant: float, *, calibrator: str = "a", generation: int = 1) -> Measurement:
        details = {
            "calibrator": calibrator,
            "calibration_constant_ms": constant,
            "calibration_generation": generation,
        }
        return measured([constant] * 20, details=details)

    same = compare_processes(NAMES, taken(2.0), taken(2.2, generation=2))
    assert same.ratio is not None
    assert (same.ratio.value, same.reason) == (pytest.approx(1.0), "")
    other = compare_processes(NAMES, taken(2.0), taken(2.2, calibrator="b", generation=2))
    assert other.ratio is not None
    assert other.ratio.value == pytest.approx(1.1)
    assert other.reason == "calibration constants were renewed in between"
    assert compare_processes(NAMES, taken(2.0), taken(2.2, calibrator="b")).reason == ""


def test_samples_of_networks_that_are_compared_pair_up(
    clock: FakeClock,
    environment: Environment,
    conditions: Conditions,
    calibration: Callable[..., Calibration],
) -> None:
    drawn = np.random.default_rng(0)
    networks = {
        "steady": Ticking(clock, 5.0),
        "noisy": Ticking(clock, lambda number: 5.0 + drawn.uniform()),
        "waiting": Ticking(clock, 5.0, waiting_ms=5.0),
    }
    found = measure_latency(
        networks,
        conditions=conditions,
        environment=environment,
        calibration=calibration(),
        together=0.005,
        clock=clock,
    )
    numbers = {len(entry.samples) for entry in found.values()}
    assert len(numbers) == 1
    assert numbers.pop() > LOOKS[0]
    assert found["waiting"].verdict == "disturbed"
    assert "repeats" not in found["waiting"].details
