"""``archbench report``: what a study found, on paper and on the screen."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from archbench.analysis.study import open_study
from tests.cli.conftest import Run
from tests.cli.stored import write_study


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return write_study(tmp_path / "results" / "toy")


def test_a_report_fits_80_columns(run: Run, study: Path) -> None:
    out = run("report", str(study)).out
    assert max(len(line) for line in out.splitlines() if str(study) not in line) <= 80


def test_a_study_is_found_by_its_name(run: Run, study: Path, tmp_path: Path) -> None:
    assert run("report", "toy", "--results", str(tmp_path / "results")).code == 0


def test_only_the_formats_that_are_asked_for_are_written(
    run: Run, study: Path, tmp_path: Path
) -> None:
    out = tmp_path / "elsewhere"
    ended = run("report", str(study), "--format", "csv", "--format", "html", "--out", str(out))
    assert ended.code == 0
    assert sorted(file.suffix for file in out.iterdir()) == [".csv", ".html"]
    assert not (study / "report").exists()


def test_a_study_without_a_front_says_why(run: Run, tmp_path: Path) -> None:
    code, out, err = run("report", str(write_study(tmp_path / "slow", limit=0.01)))
    assert code == 0
    assert "There is no front: 12 of 12 designs over the limit" in out
    assert err.startswith("\nnext: open ")


def test_a_trial_of_a_study_can_be_profiled(run: Run, study: Path) -> None:
    best = open_study(study).front_records()[-1]
    ended = run("profile", f"{study}:{best.number}", "--no-latency", "--json")
    (model,) = json.loads(ended.out)["models"]
    assert model["name"] == f"toy:{best.number}"
    assert model["resolution"] == [32, 32]


def test_a_trial_that_is_not_there_is_refused(run: Run, study: Path) -> None:
    ended = run("profile", f"{study}:99", "--no-latency")
    assert ended.code == 2
    assert "there is no trial 99 in the study" in ended.err
