"""Networks are compared in one run, and with what was kept of another."""

from dataclasses import replace
from pathlib import Path

import pytest

from archbench.errors import IncomparableError, StorageError, UsageError
from archbench.evaluate.comparison import Compared, compare, read_stored, save
from archbench.report.findings.speed import comparison
from tests.evaluate.toy import SPEC


@pytest.fixture(scope="module")
def twice() -> Compared:
    return compare([SPEC, SPEC], budget_s=0.5)


def test_the_same_network_twice_is_two_contestants(twice: Compared) -> None:
    assert list(twice.latencies) == ["toy", "toy (2)"]
    first, second = twice.latencies.values()
    assert abs(len(first.samples) - len(second.samples)) <= 1
    assert first.details["forms"] == second.details["forms"]
    (pair,) = twice.pairs
    assert (pair.first, pair.second) == ("toy", "toy (2)")
    assert pair.rounds >= 5
    assert pair.outcome in {"slower", "faster", "tie"}


def test_what_is_kept_is_read_again(twice: Compared, tmp_path: Path) -> None:
    save(twice, tmp_path / "new" / "kept.json")
    found = read_stored(tmp_path / "new" / "kept.json")
    assert found == twice.latencies


def test_a_kept_result_is_compared_by_name(twice: Compared) -> None:
    found = compare([SPEC], budget_s=0.5, against=twice.latencies)
    (pair,) = found.stored
    assert (pair.first, pair.second, pair.rounds) == ("stored toy", "toy", 0)
    assert found.pairs == ()


def test_a_kept_result_of_other_conditions_is_refused(twice: Compared) -> None:
    stored = {"toy": twice.latencies["toy"]}
    with pytest.raises(IncomparableError, match=r"other conditions: .*batch 1.*batch 2"):
        compare([SPEC], batch=2, budget_s=0.5, against=stored)
    elsewhere = {"toy": replace(stored["toy"], environment_id="elsewhere")}
    with pytest.raises(IncomparableError, match="stored under other environment: elsewhere"):
        compare([SPEC], budget_s=0.5, against=elsewhere)


def test_a_kept_result_without_these_networks_is_refused(twice: Compared) -> None:
    latency = twice.latencies["toy"]
    with pytest.raises(UsageError, match=r"holds none of toy; it holds x, y"):
        compare([SPEC], budget_s=0.5, against={"x": latency, "y": latency})


def test_networks_are_compared_each_at_its_own_resolution() -> None:
    larger = {**SPEC, "name": "larger", "resolution": 64}
    found = compare([SPEC, larger], budget_s=0.5)
    sides = [latency.conditions.resolution for latency in found.latencies.values()]
    assert sides == [(16, 16), (64, 64)]
    (pair,) = found.pairs
    assert (pair.rounds >= 5, pair.outcome) == (True, "slower")
    text = comparison(found.document()).text()
    assert "batch 1, each network at its own resolution" in text
    assert [line.split()[:2] for line in text.split("\n")[4:6]] == [
        ["toy", "16x16"],
        ["larger", "64x64"],
    ]
    assert "larger is " in text
    assert "do different work" in text
    kept = compare([larger], budget_s=0.5, against=found.latencies)
    assert [pair.second for pair in kept.stored] == ["larger"]


@pytest.mark.parametrize("text", ["{", "[]", '{"schema": "other/1"}'])
def test_a_file_that_is_no_comparison_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "kept.json"
    path.write_text(text)
    with pytest.raises(StorageError, match="it is not a stored comparison"):
        read_stored(path)
