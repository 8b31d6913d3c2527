"""The latency protocol on a clock that only the networks move."""

import random
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from archbench.errors import MissingError
from archbench.measure.agreement import prepared
from archbench.measure.latency.calibration import Anchor, CalibratedBench, calibrate
from archbench.measure.latency.estimate import lower_mean
from archbench.measure.latency.latency import measure_latency
from archbench.measure.latency.rounds import LOOKS
from archbench.study.environment import Environment
from archbench.study.measurement import Conditions, Measurement
from tests.measure.conftest import FakeClock, MakeBench, Ticking

Measure = Callable[..., dict[str, Measurement]]
Alone = Callable[..., Measurement]


@pytest.fixture
def measure(bench: MakeBench) -> Measure:
    def measured(
        networks: dict[str, nn.Module], on: CalibratedBench | None = None, **options: object
    ) -> dict[str, Measurement]:
        return measure_latency(networks, bench=on or bench(), **options)

    return measured


@pytest.fixture
def alone(clock: FakeClock, measure: Measure) -> Alone:
    """Measures one network that takes the milliseconds given."""

    def measured(
        cpu_ms: object, on: CalibratedBench | None = None, *, budget_s: float = 10.0, **ticking: Any
    ) -> Measurement:
        network = Ticking(clock, cpu_ms, **ticking)
        return measure({"a": network}, on, budget_s=budget_s)["a"]

    return measured


def noisy(milliseconds: float, *, share: float, seed: int) -> Callable[[int], float]:
    drawn = random.Random(seed)
    return lambda number: milliseconds * (1 + drawn.uniform(-share, share))


def test_value_is_the_ratio_to_the_calibrator_times_its_constant(
    clock: FakeClock,
    environment: Environment,
    conditions: Conditions,
    bench: MakeBench,
    alone: Alone,
) -> None:
    found = alone(5.0)
    assert found.value == pytest.approx(5.0 / 2.0 * 10.0)
    assert (found.low, found.high) == pytest.approx((25.0, 25.0))
    assert (found.verdict, found.reason) == ("stable", "")
    assert (found.metric, found.unit) == ("latency", "ms")
    assert (found.conditions, found.environment_id) == (conditions, environment.id)
    assert found.details["wall_median_ms"] == pytest.approx(5.0)
    assert found.details["images_per_second"] == pytest.approx(40.0)
    # What slows down both, as a state of the machine, cancels.
    assert alone(5.0 * 1.4, bench(Ticking(clock, 2.0 * 1.4))).value == pytest.approx(25.0)


def test_value_follows_from_the_record_alone(alone: Alone) -> None:
    found = alone(noisy(5.0, share=0.3, seed=1))
    ratio = lower_mean(found.samples) / found.details["calibration_ms"]
    assert found.value == pytest.approx(ratio * found.details["calibration_constant_ms"])


def test_goes_on_while_the_interval_is_wide_but_never_beyond_400_forwards(alone: Alone) -> None:
    found = alone(noisy(5.0, share=0.05, seed=0))
    assert LOOKS[0] < found.details["forwards"] < 400
    assert found.low < found.value < found.high
    assert (found.high - found.low) / 2 <= 0.01 * found.value
    wide = alone(noisy(5.0, share=0.9, seed=0), budget_s=1e3)
    assert (wide.verdict, wide.details["forwards"]) == ("disturbed", 400)
    assert wide.reason.startswith("the interval is as wide as ±")


def test_rounds_are_shared_interleaved_and_told(
    clock: FakeClock, measure: Measure, bench: MakeBench
) -> None:
    log: list[str] = []
    told: list[tuple[str, int, int]] = []
    calibrated = bench(Ticking(clock, 2.0, name="c", log=log))
    networks = {name: Ticking(clock, 5.0, name=name, log=log) for name in "ab"}
    measure(networks, replace(calibrated, on_progress=lambda *what: told.append(what)))
    assert told == [("timing, rounds", done, 400) for done in range(1, LOOKS[0] + 1)]
    # A pass that is not timed leads each timed one.
    orders = re.findall("cc([ab]+)", "".join(log))[-20:]
    assert 5 <= orders.count("aabb") <= 15  # neither always runs behind the other
    assert orders.count("aabb") + orders.count("bbaa") == 20


def test_alone_it_stops_at_the_first_look_and_stays_where_it_lies_while_its_calibrator_moves(
    clock: FakeClock, measure: Measure, bench: MakeBench
) -> None:
    calibrator = Ticking(clock, 2.0, name="calibrator")
    network = Ticking(clock, 5.0)
    found = measure({"a": network}, bench(calibrator))["a"]
    assert found.details["forwards"] == len(found.samples) == LOOKS[0] == 34
    assert found.details["placement_rounds"] == network.copies == 0
    assert calibrator.copies == 3


def test_preemption_leaves_the_value_and_marks_it(alone: Alone) -> None:
    found = alone(5.0, waiting_ms=5.0)
    assert found.value == pytest.approx(25.0)
    assert found.verdict == "disturbed"
    assert "other work held the core for 42% of the time" in found.reason
    assert found.details["off_cpu_share"] == pytest.approx(5 / 12)
    assert found.details["run_delay_share"] == pytest.approx(0.5)
    assert found.details["wall_median_ms"] == pytest.approx(10.0)


def test_a_latency_does_not_depend_on_who_else_is_timed(
    clock: FakeClock, measure: Measure, bench: MakeBench
) -> None:
    """A pass behind another network finds that one's data in the caches, and takes longer."""
    log: list[str] = []

    def found(*names: str) -> dict[str, Measurement]:
        def ticking(name: str, cpu_ms: float) -> Ticking:
            def taken(number: int) -> float:
                behind = next((other for other in reversed(log[:-1]) if other != name), name)
                is_warm = log[-2:] == [name, name]
                return cpu_ms if is_warm else cpu_ms * (1.3 if behind == "large" else 1.1)

            return Ticking(clock, taken, name=name, log=log)

        calibrated = bench(ticking("large", 4.0))
        return measure({name: ticking(name, 1.0) for name in names}, calibrated)

    alone, among = found("a"), found("a", "b", "c", "d")
    assert alone["a"].value == pytest.approx(2.5)  # 10 ms by 4 ms
    assert [one.value for one in among.values()] == pytest.approx([2.5] * 4)


def test_a_loaded_machine_gives_a_number_with_its_mark_and_not_none(alone: Alone) -> None:
    found = alone(12.0, budget_s=3.0, waiting_ms=20 * 12.0)
    assert found.value == pytest.approx(60.0)
    assert found.verdict == "disturbed"
    assert "other work held the core for" in found.reason


def test_a_drifting_calibrator_marks_it(clock: FakeClock, bench: MakeBench, alone: Alone) -> None:
    creeping = Ticking(clock, lambda number: 2.0 * 1.002**number)
    found = alone(noisy(5.0, share=0.1, seed=0), bench(creeping))
    assert found.verdict == "disturbed"
    assert "the calibration network drifted by" in found.reason
    assert found.details["calibration_drift"] > 0.05


def test_a_core_that_was_slowed_down_for_heat_marks_it(clock: FakeClock, alone: Alone) -> None:
    def heat(number: int) -> float:
        clock.throttle_count += number == 1 + 8 + 3
        return 5.0

    found = alone(heat)
    assert found.verdict == "stable"
    assert found.details["repeated_because"] == "cores were slowed down for heat 1 times meanwhile"


def test_a_disturbed_one_is_repeated_once_and_marked(clock: FakeClock, measure: Measure) -> None:
    # The first pass looks at the output, 8 warm up, those to the first look are disturbed.
    before = 1 + 8 + 2 * LOOKS[0]
    waiting = Ticking(clock, 5.0, waiting_ms=lambda number: 5.0 if number < before else 0.0)
    quiet = Ticking(clock, 5.0)
    found = measure({"waiting": waiting, "quiet": quiet})
    assert found["waiting"].verdict == "stable"
    assert found["waiting"].details["repeats"] == 1
    assert "other work held the core" in str(found["waiting"].details["repeated_because"])
    assert len(found["waiting"].samples) == 2 * LOOKS[0]
    assert found["waiting"].details["first_sample_used"] == LOOKS[0]
    assert "repeats" not in found["quiet"].details
    assert quiet.passes == before


def test_still_disturbed_after_one_repeat_within_the_budget_says_so(
    clock: FakeClock, measure: Measure, alone: Alone
) -> None:
    network = Ticking(clock, 5.0, waiting_ms=5.0)
    found = measure({"a": network})["a"]
    assert (found.verdict, found.details["repeats"]) == ("disturbed", 1)
    assert network.passes == 1 + 8 + 2 * 2 * LOOKS[0]
    hurried = alone(5.0, waiting_ms=5.0, budget_s=0.3)
    assert (hurried.verdict, hurried.details.get("repeats")) == ("disturbed", None)


def test_a_slow_network_gets_five_passes_beyond_the_budget_or_no_number(
    clock: FakeClock, measure: Measure, alone: Alone
) -> None:
    network = Ticking(clock, 3000.0)
    found = measure({"a": network, "quick": Ticking(clock, 5.0)}, budget_s=10.0)
    assert (found["a"].verdict, found["a"].value) == ("disturbed", pytest.approx(15000.0))
    assert found["a"].reason == "only 5 of 20 wanted forward passes fitted into the budget"
    assert network.passes == 1 + 2 + 5  # no pass leads one that is long
    start = clock.wall()
    found = alone(3000.0, budget_s=4.0)
    assert (found.verdict, found.value, found.low) == ("incomplete", None, None)
    assert found.reason == "only 1 of 5 needed forward passes fitted into the budget"
    assert len(found.samples) == 1
    assert clock.wall() - start < 3 * 4.0 + 3.0


def test_networks_that_raise_are_set_aside_with_their_samples_and_the_others_go_on(
    clock: FakeClock, measure: Measure
) -> None:
    def break_later(number: int) -> object:
        if number == 1 + 8 + 2 * 5:
            raise IndexError("no more")
        return torch.zeros(1)

    wrong, later = nn.Linear(7, 7).eval(), Ticking(clock, 5.0, output=break_later)
    found = measure({"wrong": wrong, "later": later, "good": Ticking(clock, 5.0)})
    assert [found[bad].verdict for bad in ("wrong", "later")] == ["incomplete"] * 2
    assert found["wrong"].reason.startswith("it raised RuntimeError: ")
    assert "shapes cannot be multiplied" in found["wrong"].reason
    assert (found["later"].reason, found["later"].value) == ("it raised IndexError: no more", None)
    assert len(found["later"].samples) == 5
    assert (found["good"].verdict, found["good"].value) == ("stable", pytest.approx(25.0))


NAN, INFINITE = torch.tensor([1.0, float("nan")]), torch.tensor(float("-inf"))


@pytest.mark.parametrize(
    ("cpu_ms", "output", "reason"),
    [
        (5.0, NAN, "its output is not finite"),
        (5.0, (torch.zeros(2), INFINITE), "its output is not finite"),
        (5.0, {"logits": INFINITE}, "its output is not finite"),
        (0.0, torch.zeros(1), "it takes less time than the clock can tell"),
    ],
)
def test_an_output_that_is_not_finite_or_comes_too_fast_gives_no_number(
    cpu_ms: float, output: object, reason: str, alone: Alone
) -> None:
    found = alone(cpu_ms, output=lambda number: output)
    assert (found.verdict, found.value, found.reason) == ("incomplete", None, reason)


def test_a_lost_device_is_not_the_network_s_fault(clock: FakeClock, measure: Measure) -> None:
    def lose(number: int) -> object:
        raise torch.AcceleratorError("device-side assert triggered")

    with pytest.raises(torch.AcceleratorError, match="device-side assert"):
        measure({"a": Ticking(clock, 5.0, output=lose)})


def test_calibrator_is_the_nearest_of_the_family(
    clock: FakeClock, measure: Measure, bench: MakeBench
) -> None:
    small, large = (Ticking(clock, ms, name=f"calibrator_{ms}") for ms in (2.0, 12.0))
    calibrated = bench(small, large, constants_ms=(2.0, 12.0))
    networks = {str(ms): Ticking(clock, ms) for ms in (1.0, 4.0, 6.0, 50.0)}
    found = measure(networks, calibrated)
    chosen = [entry.details["calibrator"] for entry in found.values()]
    assert chosen == ["calibrator_2.0"] * 2 + ["calibrator_12.0"] * 2


def test_anchors_cancel_what_slows_networks_down_by_their_size(
    clock: FakeClock, conditions: Conditions, measure: Measure, bench: MakeBench
) -> None:
    def anchor(name: str, milliseconds: float, constant_ms: float) -> Anchor:
        network = prepared(Ticking(clock, milliseconds), torch.zeros(1), conditions=conditions)
        return Anchor(name=name, constant_ms=constant_ms, ready=lambda precision: network)

    def timed(milliseconds: float, *, slower: float) -> Measurement:
        anchors = (anchor("small", 1.0, 10.0), anchor("large", 4.0 * slower, 40.0))
        plain = bench()
        on = replace(plain, calibration=replace(plain.calibration, anchors=anchors))
        return measure({"a": Ticking(clock, milliseconds)}, on)["a"]

    quiet = timed(20.0, slower=1.0)
    assert quiet.details["calibrator"] == "0.50 small, 0.50 large"
    assert quiet.value == pytest.approx(20.0 * 10.0)
    # Half as much slower as the large one, and not at all, as the small one, whose size it has.
    assert timed(20.0 * 1.21**0.5, slower=1.21).value == pytest.approx(200.0, rel=0.02)
    small = timed(5.0, slower=1.21)
    assert small.details["calibrator"] == "small"
    assert small.value == pytest.approx(5.0 * 10.0)


@pytest.mark.skipif(torch.cuda.is_available(), reason="has a GPU")
def test_a_gpu_that_is_not_there_is_missing(environment: Environment) -> None:
    with pytest.raises(MissingError, match="this machine has no cuda device"):
        calibrate(Conditions(device="cuda"), environment=environment)


@pytest.mark.gpu
def test_times_on_a_gpu_by_events(environment: Environment) -> None:
    conditions = Conditions(device="cuda", batch=8, resolution=(64, 64))
    network = nn.Sequential(nn.Conv2d(3, 64, 3), nn.ReLU(), nn.Conv2d(64, 64, 3)).eval()
    calibration = calibrate(conditions, environment=environment)
    with calibration.bench(conditions, environment=environment) as bench:
        found = measure_latency({"a": network}, bench=bench)["a"]
    assert found.verdict != "incomplete", found.reason
    assert "off_cpu_share" not in found.details
    assert next(network.parameters()).device.type == "cpu"
