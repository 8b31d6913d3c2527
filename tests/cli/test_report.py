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


def test_a_report_shows_verdict_front_and_files(run: Run, study: Path) -> None:
    code, out, err = run("report", str(study))
    assert code == 0
    found = open_study(study)
    lines = out.splitlines()
    assert lines[0].startswith("toy: 12 trials (")
    assert " ".join(found.verdict().split()) in " ".join(out.split())
    front = [line.split()[0] for line in lines if line[:5].strip().isdigit()]
    assert front == [str(record.number) for record in found.front_records()]
    assert f"  {study}/report/" in out
    page = study / "report" / "report.html"
    assert page.is_file()
    best = found.front_records()[-1].number
    assert err == (
        f"\nnext: open {page}, or archbench train {study}:{best} --data cluttered_digits "
        "--epochs 30\n"
    )


def test_a_report_fits_80_columns(run: Run, study: Path) -> None:
    out = run("report", str(study)).out
    assert max(len(line) for line in out.splitlines() if str(study) not in line) <= 80


def test_a_study_is_found_by_its_name(run: Run, study: Path, tmp_path: Path) -> None:
    assert run("report", "toy", "--results", str(tmp_path / "results")).code == 0


def test_a_report_as_json_is_the_study(run: Run, study: Path) -> None:
    ended = run("report", str(study), "--json")
    document = json.loads(ended.out)
    assert ended.err == ""
    assert document == open_study(study).document()
    assert document["schema"] == "archbench.study/1"


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
