"""Calibration constants: taken once, kept, and never trusted when damaged or foreign."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from archbench.errors import IncomparableError
from archbench.measure.latency.calibration import Calibration, calibrate
from archbench.measure.latency.reference_networks import CALIBRATORS, Calibrator
from archbench.measure.machine_cache import settings_of
from archbench.measure.macs import count_operators
from archbench.study.environment import Environment, usable_cores
from archbench.study.measurement import Conditions
from tests.measure.conftest import FakeClock, Ticking, calibrator, signed_again

Take = Callable[..., Calibration]


@pytest.fixture
def networks(clock: FakeClock) -> dict[str, Ticking]:
    return {"small": Ticking(clock, 2.0), "large": Ticking(clock, 12.0)}


@pytest.fixture
def take(clock: FakeClock, environment: Environment, networks: dict[str, Ticking]) -> Take:
    def taken(
        conditions: Conditions | None = None, *, machine: Environment = environment, **options: Any
    ) -> Calibration:
        return calibrate(
            conditions or Conditions(),
            environment=machine,
            clock=clock,
            calibrators=tuple(calibrator(name, network) for name, network in networks.items()),
            **options,
        )

    return taken


def only_file(folder: Path) -> Path:
    (path,) = (folder / "cache" / "calibration").iterdir()
    return path


def test_constants_are_the_times_of_the_networks_and_are_kept(
    take: Take, networks: dict[str, Ticking], tmp_path: Path
) -> None:
    told: list[tuple[str, int, int]] = []
    first = take(on_progress=lambda *what: told.append(what))
    assert told == [("taking calibration constants, rounds", done, 60) for done in range(1, 61)]
    assert first.constants_ms == pytest.approx({"small": 2.0, "large": 12.0})
    assert first.note == ""
    passes = networks["small"].passes
    assert take().constants_ms == first.constants_ms
    assert networks["small"].passes == passes
    assert json.loads(only_file(tmp_path).read_text())["schema"] == "archbench.calibration/2"


@pytest.mark.parametrize(
    ("conditions", "machine", "is_taken"),
    [
        ({"threads": 2}, {}, True),
        ({"precision": "bf16"}, {}, True),
        ({"batch": 16, "resolution": (64, 96)}, {}, False),
        ({}, {"cores": 64}, True),
    ],
)
def test_constants_belong_to_a_machine_and_to_conditions_but_for_batch_and_resolution(
    take: Take,
    environment: Environment,
    networks: dict[str, Ticking],
    conditions: dict[str, Any],
    machine: dict[str, Any],
    is_taken: bool,
) -> None:
    if conditions.get("threads", 1) > usable_cores():
        pytest.skip("too few cores")
    take()
    passes = networks["small"].passes
    take(Conditions(**conditions), machine=replace(environment, **machine))
    assert (networks["small"].passes > passes) == is_taken


def test_torch_settings_matter() -> None:
    before = torch.get_float32_matmul_precision()
    highest = settings_of(Conditions())
    try:
        torch.set_float32_matmul_precision("medium")
        assert settings_of(Conditions()) != highest
    finally:
        torch.set_float32_matmul_precision(before)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda text: text[: len(text) // 2], "could not be read"),
        (lambda text: "", "could not be read"),
        (lambda text: "[]", "could not be read"),
        (lambda text: text.replace("calibration/2", "calibration/0"), "another schema"),
        (lambda text: text.replace('"threads": "1"', '"threads": "2"'), "another settings"),
        (lambda text: text.replace('"small"', '"tiny"'), "could not be read"),
        (lambda text: text.replace('"small": ', '"small": -'), "a constant is not a duration"),
        (lambda text: text.replace('"small": ', '"small": Infinity, "x": '), "is not a duration"),
        (lambda text: text.replace('"looks": []', '"looks": 3'), "could not be read"),
    ],
    ids=["cut", "empty", "list", "schema", "settings", "missing", "negative", "infinite", "looks"],
)
def test_a_damaged_file_is_measured_again_and_said(
    take: Take, tmp_path: Path, damage: Callable[[str], str], said: str
) -> None:
    good = take()
    path = only_file(tmp_path)
    path.write_text(signed_again(damage(path.read_text())))
    found = take()
    assert found.constants_ms == pytest.approx(good.constants_ms)
    assert said in found.note
    assert "constants taken anew" in found.note
    assert take().note == ""


def test_a_folder_that_cannot_be_written_is_said(take: Take, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("not a folder")
    found = take()
    assert found.constants_ms["small"] == pytest.approx(2.0)
    assert "constants could not be kept" in found.note


@pytest.mark.parametrize(
    ("machine", "asked", "what"),
    [({"cpu": "slide rule"}, {}, "environment"), ({}, {"precision": "bf16"}, "precision")],
)
def test_constants_of_another_machine_or_other_conditions_are_refused(
    take: Take, environment: Environment, machine: dict[str, str], asked: dict[str, str], what: str
) -> None:
    here, conditions = replace(environment, **machine), Conditions(**asked)
    with (
        pytest.raises(IncomparableError, match=f"taken with another {what}; take them with"),
        take().bench(conditions, environment=here),
    ):
        pass


@pytest.mark.parametrize("family", ["attention", "convolution"])
def test_each_family_has_a_small_and_a_large_network(family: str) -> None:
    small, large = (
        count_operators(entry.build(), torch.zeros(entry.shape)).macs
        for entry in CALIBRATORS
        if entry.family == family
    )
    assert 10e6 < small < 50e6
    assert 300e6 < large < 500e6


@pytest.mark.parametrize("entry", CALIBRATORS, ids=lambda entry: entry.name)
def test_calibrators_are_the_same_each_time_and_leave_randomness_alone(entry: Calibrator) -> None:
    images = torch.ones(entry.shape)
    state = torch.random.get_rng_state()
    with torch.inference_mode():
        first, second = entry.build()(images), entry.build()(images)
    assert torch.equal(first, second)
    assert torch.isfinite(first).all()
    assert torch.equal(torch.random.get_rng_state(), state)
