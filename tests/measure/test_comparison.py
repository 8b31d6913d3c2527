"""How often networks seem different that are not, and how often a difference is found."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from archbench.errors import IncomparableError
from archbench.measure.latency.estimate import (
    BETWEEN_PROCESSES,
    LOOK_LEVEL,
    PLACEMENT_LEVEL,
    Comparison,
    compare_processes,
    compare_rounds,
    log_half_widths,
    lower_mean,
    lower_means,
    over_placements,
    placement_logs,
)
from archbench.measure.latency.latency import measure_latency
from archbench.measure.latency.rounds import LOOKS, PLACEMENT_LOOKS, PLACEMENT_ROUNDS
from archbench.study.measurement import Conditions, Measurement
from tests.measure.conftest import FakeClock, MakeBench, Ticking
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
    off = np.log(lower_means(second) / lower_means(first))
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
    samples = timings(kind, runs=500, rounds=LOOKS[-1], seed=1, networks=3, noise=0.02)
    samples[1] *= 1.03
    found = apart_at_the_end(samples, wanted=0.005)
    assert np.mean(found > 0) >= 0.95
    assert not np.any(found < 0)


def placed(samples: list[Array], *, seed: int, deviation: float) -> list[Array]:
    """The samples of networks that take more or less in each place where they lie."""
    drawn = np.random.default_rng(seed)
    found = []
    for entry in samples:
        number = entry.shape[1] // PLACEMENT_ROUNDS
        luck = np.exp(drawn.standard_normal((len(entry), number)) * deviation)
        found.append(entry * np.repeat(luck, PLACEMENT_ROUNDS, axis=1))
    return found


def held_over_placements(samples: list[Array], *, wanted: float) -> Array:
    """1 where the interval held the truth, with runs that stop when it is narrow."""
    logs, held = placement_logs(samples[0], samples[1], rounds=PLACEMENT_ROUNDS), []
    for look in PLACEMENT_LOOKS:
        off, width = over_placements(logs[:, :look], level=PLACEMENT_LEVEL)
        stops = (width <= wanted) | (look == PLACEMENT_LOOKS[-1])
        held.append((np.abs(off) <= width)[stops])
        logs = logs[~stops]
    return np.concatenate(held)


@pytest.mark.parametrize(
    ("deviation", "runs", "off"),
    [
        (0.0, 500, 0.03),  # 500 runs tell 2 % apart
        (0.005, 500, 0.03),
        pytest.param(0.005, 10_000, 0.02, marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("noise", [0.03, 0.012])
@pytest.mark.parametrize("kind", KINDS)
def test_interval_over_placements_is_nominal_where_being_narrow_ends_the_run(
    kind: str, noise: float, deviation: float, runs: int, off: float
) -> None:
    held = []
    for seed in range(runs // 500):
        rounds = PLACEMENT_LOOKS[-1] * PLACEMENT_ROUNDS
        samples = timings(kind, runs=500, rounds=rounds, seed=3 + seed, noise=noise)
        samples = placed(samples, seed=104 + seed, deviation=deviation)
        held.append(held_over_placements(samples, wanted=0.005))
    assert len(np.concatenate(held)) == runs
    assert np.mean(np.concatenate(held)) == pytest.approx(0.95, abs=off)


def test_copies_that_stay_where_they_lie_seem_different_and_placed_anew_do_not() -> None:
    first, second = timings("quiet", runs=300, rounds=400, seed=7)
    luck = np.exp(np.random.default_rng(8).standard_normal((300, 1)) * 0.01)
    assert np.mean(apart(first, luck * second) != 0) > 0.25
    off, width = over_placements(
        placement_logs(*placed([first, second], seed=9, deviation=0.01), rounds=PLACEMENT_ROUNDS),
        level=PLACEMENT_LEVEL,
    )
    assert np.mean(np.abs(off) > width) <= 0.08  # 300 runs tell 2.5 % apart


def test_one_disturbed_placement_of_eight_counts_no_more_than_the_others() -> None:
    logs = np.array([[0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 5.0]])
    assert over_placements(logs, level=0.95)[0][0] == pytest.approx(0.045)


def test_ratio_is_a_mean_over_places_where_both_were_placed_anew() -> None:
    samples = placed(timings("quiet", runs=1, rounds=200, seed=2), seed=1, deviation=0.02)
    details = {"placement_rounds": PLACEMENT_ROUNDS}

    def compared(rounds: int, *, other: dict[str, int]) -> Comparison:
        first, second = (entry[0, :rounds] for entry in samples)
        found = measured(first, details=details), measured(second, details=other)
        return compare_rounds(NAMES, *found)

    found = compared(200, other=details)
    assert (found.rounds, found.placements) == (200, 10)
    assert compared(200, other={}).placements == 0
    assert compared(200, other={"placement_rounds": 0}).placements == 0
    assert compared(90, other=details).placements == 0  # four places are too few


def test_networks_that_are_compared_are_placed_anew(clock: FakeClock, bench: MakeBench) -> None:
    calibrator = Ticking(clock, 2.0, name="calibrator")
    networks = {"a": Ticking(clock, 5.0), "b": Ticking(clock, 5.0), "stays": Stubborn(clock, 5.0)}
    found = measure_latency(networks, bench=bench(calibrator), together=0.005, budget_s=30.0)
    assert [entry.details["placement_rounds"] for entry in found.values()] == [20, 20, 0]
    assert {len(entry.samples) for entry in found.values()} == {10 * PLACEMENT_ROUNDS}
    assert networks["a"].copies == networks["b"].copies == calibrator.copies == 9
    assert compare_rounds(NAMES, found["a"], found["b"]).placements == 10
    assert compare_rounds(NAMES, found["a"], found["stays"]).placements == 0


class Stubborn(Ticking):
    """A network that cannot be copied."""

    def __deepcopy__(self, memo: dict[int, object]) -> Ticking:
        raise TypeError("it holds what cannot be copied")


def test_ratio_says_how_much_longer_the_second_takes() -> None:
    first, second = (entry[0] for entry in timings("quiet", runs=1, rounds=100, seed=2))
    found = compare_rounds(NAMES, measured(first), measured(1.5 * second))
    assert found.outcome == "slower"
    assert found.ratio is not None
    assert found.ratio.value == pytest.approx(1.5, abs=0.03)
    assert (found.first, found.second, found.rounds) == ("a", "b", 100)
    back = compare_rounds(NAMES, measured(1.5 * second), measured(first))
    assert back.outcome == "faster"
    assert back.ratio is not None
    assert back.ratio.value == pytest.approx(1 / found.ratio.value)


def test_equal_times_tie_and_only_shared_rounds_count() -> None:
    same = timings("all", runs=1, rounds=50, seed=3)[0][0]
    found = compare_rounds(NAMES, measured(same), measured(same[:40]))
    assert (found.outcome, found.rounds) == ("tie", 40)


def test_a_network_without_a_value_is_unknown_with_the_reason() -> None:
    broken = measured([], verdict="incomplete", reason="it raised ValueError")
    for compared in (compare_rounds, compare_processes):
        found = compared(NAMES, measured([1.0] * 20), broken)
        assert (found.outcome, found.ratio) == ("unknown", None)
        assert found.reason == "b: it raised ValueError"
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


def test_samples_of_networks_that_are_compared_pair_up(clock: FakeClock, bench: MakeBench) -> None:
    drawn = np.random.default_rng(0)
    networks = {
        "steady": Ticking(clock, 5.0),
        "noisy": Ticking(clock, lambda number: 5.0 + drawn.uniform()),
        "waiting": Ticking(clock, 5.0, waiting_ms=5.0),
    }
    found = measure_latency(networks, bench=bench(), together=0.005, budget_s=30.0)
    assert {len(entry.samples) for entry in found.values()} == {PLACEMENT_ROUNDS * 40}
    assert found["waiting"].verdict == "disturbed"
    assert "repeats" not in found["waiting"].details
