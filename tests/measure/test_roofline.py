"""Limits of a machine: kept, taken anew where they are damaged, and what follows from them."""

from __future__ import annotations

from pathlib import Path

import pytest

from archbench.measure.roofline import Roofline, roofline
from archbench.study.environment import Environment
from archbench.study.measurement import Conditions
from tests.measure.conftest import FakeClock

LIMITS = Roofline(
    gflops=100.0, memory_gbs=10.0, cache_gbs=50.0, operator_us=4.0, environment_id="here"
)


def test_bounds_are_what_each_limit_asks_for() -> None:
    found = LIMITS.bounds_ms(flops=2e8, weight_bytes=1e7, activation_bytes=1e8, operators=14)
    assert found == pytest.approx({"compute": 2.0, "memory": 1.0 + 2.0, "overhead": 0.056})


def test_limits_are_kept_and_damaged_ones_taken_anew(
    clock: FakeClock, environment: Environment, conditions: Conditions, tmp_path: Path
) -> None:
    def take() -> Roofline:
        return roofline(conditions, environment=environment, folder=tmp_path, clock=clock)

    first = take()
    assert first.environment_id == environment.id
    assert first.note == ""
    (path,) = tmp_path.glob("*.json")
    kept = path.read_text()
    path.write_text(kept.replace(f'"gflops": {first.gflops}', '"gflops": 12.5'))
    assert take().gflops == 12.5  # read, not taken
    path.write_text(kept[:40])
    assert "taken anew" in take().note
    assert path.read_text().startswith("{")
