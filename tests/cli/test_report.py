"""``archbench report``: why there is no front."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Run
from tests.cli.stored import write_study


def test_a_study_without_a_front_says_why(run: Run, tmp_path: Path) -> None:
    code, out, err = run("report", str(write_study(tmp_path / "slow", limit=0.01)))
    assert code == 0
    assert "There is no front: 12 of 12 designs over the limit" in out
    assert err.startswith("\nnext: open ")
