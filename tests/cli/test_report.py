"""``archbench report``: what a study found, on paper and on the screen."""

from __future__ import annotations

from pathlib import Path

import pytest

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


def test_a_study_without_a_front_says_why(run: Run, tmp_path: Path) -> None:
    code, out, err = run("report", str(write_study(tmp_path / "slow", limit=0.01)))
    assert code == 0
    assert "There is no front: 12 of 12 designs over the limit" in out
    assert err.startswith("\nnext: open ")
