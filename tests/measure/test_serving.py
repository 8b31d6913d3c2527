"""Tails, memory and energy, with a clock and counters that the test moves."""

from pathlib import Path

import pytest
import torch

from archbench.measure.serving import energy_per_image, peak_memory, serve
from archbench.study.measurement import Conditions
from tests.measure.conftest import FakeClock, MakeBench, Ticking

IMAGES = torch.zeros(1, 3, 8, 8)


def test_tails_are_those_of_the_wall_clock_and_the_rate_is_calibrated(
    clock: FakeClock, bench: MakeBench
) -> None:
    network = Ticking(clock, 5.0, waiting_ms=lambda number: 95.0 if number % 9 == 0 else 0.0)
    found = serve(lambda: network(IMAGES), bench=bench(), budget_s=10.0)
    assert found["ms"] == pytest.approx(25.0)  # 5 ms where 2 ms are known to be 10
    assert found["images_per_second"] == pytest.approx(40.0)
    tails = [found[name]["value"] for name in ("p50", "p95", "p99")]
    assert tails == pytest.approx([5.0, 100.0, 100.0])
    assert len(found["wall_ms"]) >= 100


def test_no_p99_from_few_passes(clock: FakeClock, bench: MakeBench) -> None:
    network = Ticking(clock, 5.0)
    found = serve(lambda: network(IMAGES), bench=bench(), budget_s=0.0)
    assert len(found["wall_ms"]) == 20
    reason = "fewer than 100 passes were made"
    assert found["p99"] == {"unit": "ms", "value": None, "reason": reason}


def test_peak_is_above_what_was_resident_or_has_a_reason(tmp_path: Path) -> None:
    found = peak_memory(lambda: None, device="cpu", process=tmp_path)
    assert found.value is None
    assert "does not tell" in found.reason
    (tmp_path / "clear_refs").write_text("")
    (tmp_path / "status").write_text("Name:\tx\nVmHWM:\t1500 kB\nVmRSS:\t1000 kB\n")
    found = peak_memory(lambda: None, device="cpu", process=tmp_path)
    assert found.value == 500 * 1024
    assert (tmp_path / "clear_refs").read_text() == "5"


def test_peak_of_this_process_holds_what_a_pass_takes() -> None:
    found = peak_memory(lambda: torch.ones(2**24), device="cpu")  # 64 MB
    assert found.value is None or 60e6 < found.value < 90e6


def test_energy_is_that_of_all_packages_by_image(clock: FakeClock, tmp_path: Path) -> None:
    zones = [tmp_path / "intel-rapl:0", tmp_path / "intel-rapl:1", tmp_path / "intel-rapl:0:0"]
    for zone in zones:
        zone.mkdir()
        (zone / "energy_uj").write_text("1000000")

    def forward() -> None:
        clock.advance(cpu_ms=100.0)
        for zone in zones:
            path = zone / "energy_uj"
            path.write_text(str(int(path.read_text()) + 40_000))

    found = energy_per_image(
        forward, conditions=Conditions(batch=4), clock=clock, powercap=tmp_path
    )
    assert found.value == pytest.approx(2 * 40 / 4)  # mJ; the zone inside a package counts no more
    assert found.unit == "mJ"


def test_without_counters_or_where_they_began_anew_there_is_no_energy(
    clock: FakeClock, tmp_path: Path
) -> None:
    for powercap in (tmp_path, tmp_path / "none"):
        told = {"conditions": Conditions(), "clock": clock, "powercap": powercap}
        found = energy_per_image(lambda: None, **told)
        assert found.value is None
        assert "no RAPL counter" in found.reason
    path = tmp_path / "intel-rapl:0" / "energy_uj"
    path.parent.mkdir()
    path.write_text("5000000")

    def forward() -> None:
        clock.advance(cpu_ms=300.0)
        path.write_text("10")

    found = energy_per_image(forward, conditions=Conditions(), clock=clock, powercap=tmp_path)
    assert (found.value, found.reason) == (None, "the counter began anew, or did not move")
