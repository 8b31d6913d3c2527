"""What the tables of latency_trust.py are made of, on rows whose truth is known."""

import math
from types import ModuleType

import pytest

from tests.benchmarks import module


@pytest.fixture(scope="module")
def table() -> ModuleType:
    return module("latency_trust", "latency_trust_table")


def test_interval_of_a_share_agrees_with_wilson(table: ModuleType) -> None:
    # Wilson 1927: 1 of 10 gives 0.0179 to 0.4042
    assert table.share_interval(1, 10) == pytest.approx((0.0179, 0.4042), abs=1e-4)
    low, high = table.share_interval(0, 400)
    assert low == pytest.approx(0.0, abs=1e-12)
    assert high < 0.01


def test_shared_draws_widen_the_interval(table: ModuleType) -> None:
    few, many = table.share_interval(30, 60, draws=20), table.share_interval(30, 60)
    assert few[1] - few[0] > many[1] - many[0]


def test_true_ratio_weighs_sessions_alike(table: ModuleType) -> None:
    rows = [{"session": "a", "ratio": 1.0}] * 9 + [{"session": "b", "ratio": 1.21}]
    ratio, error = table.true_ratio([*rows, {"session": "b", "ratio": None}])
    assert ratio == pytest.approx(1.1)
    assert error > 0
    assert math.isnan(table.true_ratio(rows[:9])[1])


def compared(kind: str, outcome: str, *, ratio: float = 1.0, session: str = "a") -> dict:
    fields = {"load": "quiet", "half_width": 0.01, "rounds": 400, "placements": 20, "seconds": 3.0}
    told = {"kind": kind, "outcome": outcome, "ratio": ratio, "session": session}
    return {**fields, **told, "off_cpu_share": 0.0}


def test_comparison_table_counts_outcomes(table: ModuleType) -> None:
    outcomes = ["faster", *["tie"] * 98, "slower"]
    rows = [compared("same", out, session=str(i // 10)) for i, out in enumerate(outcomes)]
    rows += [compared("slower", "slower", ratio=1.03, session=str(i // 10)) for i in range(30)]
    lines = table.comparison_table(rows)
    assert len(lines) == 4
    assert "| quiet | same | 100 | 10 |" in lines[2]
    assert lines[2].count("| 1.0 (0.2–5.5) ") == 2
    assert "| 100.0 (61.0–100.0) |" in lines[3]  # two of each of the three share no copy


def test_comparisons_that_go_together_count_as_few(table: ModuleType) -> None:
    outcomes = ["faster"] * 10 + ["tie"] * 90
    rows = [compared("same", out, session=str(i // 10)) for i, out in enumerate(outcomes)]
    assert table.draws(rows, "faster") == 10
    assert table.draws(rows, "slower") == 20  # as many as share no copy
    scattered = [compared("same", out, session=str(i % 9)) for i, out in enumerate(outcomes)]
    assert table.draws(scattered, "faster") > 50


def timed(load: str, estimator: str, ms: float) -> dict:
    return {"network": "n", "load": load, "estimator": estimator, "ms": ms, "seconds": 1.0}


def test_process_table_takes_each_estimators_own_quiet_median_for_the_truth(
    table: ModuleType,
) -> None:
    rows = [timed("quiet", "ours", ms) for ms in (9.9, 10.0, 10.1)]
    rows += [timed("quiet", "timm", ms) for ms in (11.0, 12.0, 13.0)]
    rows += [timed("same core", "timm", ms) for ms in (24.0, 24.0, 30.0)]
    lines = table.process_table(rows)[2:]
    assert [line.split(" | ")[2] for line in lines] == ["ours", *["timm benchmark.py"] * 2]
    assert "| 1.00 | 1.0 | +0.0 |" in lines[0]
    assert "| 150.0 | +100.0 |" in lines[2]
