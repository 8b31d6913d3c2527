"""``archbench profile --where``: a table in 80 columns, a plot, and what is refused."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from archbench.cli.names import trial_place
from archbench.errors import StorageError, UsageError
from archbench.report.element import joined
from archbench.report.figure import svg_text
from archbench.report.findings.parts import parts_of, save_where, where_figure
from archbench.study.measurement import Conditions


def part(place: str, stage: int | None, kind: str, ms: float, bound: str) -> dict[str, Any]:
    return {
        "place": place,
        "stage": stage,
        "kind": kind,
        "ms": ms,
        "macs": 30_000_000,
        "operators": 14,
        "weight_bytes": 1_000_000,
        "activation_bytes": 500_000,
        "roof_share": 0.5,
        "bound_by": bound,
    }


FOUND: dict[str, Any] = {
    "name": "small",
    "whole_ms": 4.0,
    "watched_ms": 4.1,
    "between_ms": 0.5,
    "rounds": 40,
    "off_cpu_share": 0.2,
    "conditions": {**asdict(Conditions()), "resolution": [224, 224]},
    "limits": {"gflops": 110.0, "memory_gbs": 33.0, "cache_gbs": 89.0, "operator_us": 3.2},
    "parts": [
        part("stages[0].embed", 0, "conv_stem", 1.0, "compute"),
        part("stages[0].blocks[0]", 0, "levit", 2.0, "overhead"),
        part("head", None, "head", 0.5, "memory"),
    ],
}


def test_parts_stages_and_the_whole_stand_in_a_table() -> None:
    text = joined(parts_of(FOUND))
    assert max(map(len, text.splitlines())) <= 80
    assert text.split("\n\n")[0] == (
        "small: stage 0 takes 75.0 % of 4.00 ms; its slowest part is 0 levit of stage 0,\n"
        "bound by the overhead of 14 operators."
    )
    assert text.split("\n\n")[1] == (
        "part           ms   share    MACs   MB  GFLOP/s  roofline  bound by\n"
        "-----------  ----  ------  ------  ---  -------  --------  ------------\n"
        "stage 0      3.00  75.0 %  60.0 M  3.0       40\n"
        "  conv_stem  1.00  25.0 %  30.0 M  1.5       60      50 %  compute\n"
        "  0 levit    2.00  50.0 %  30.0 M  1.5       30      50 %  14 operators\n"
        "head         0.50  12.5 %  30.0 M  1.5      120      50 %  memory\n"
        "between      0.50  12.5 %\n"
        "whole        4.00          90.0 M  4.5       45"
    )
    assert "Other work held the core for 20% of the time." in text


def test_plot_shows_every_part() -> None:
    text = svg_text(where_figure(FOUND))
    for label in ("0 conv_stem", "0.0 levit", "head", "between", "small: 4.00 ms"):
        assert label in text


@pytest.mark.parametrize("suffix", [".svg", ".png"])
def test_plot_is_kept(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"where{suffix}"
    save_where(FOUND, path)
    assert path.stat().st_size > 1000


def test_other_formats_and_missing_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a format of a plot"):
        save_where(FOUND, tmp_path / "where.docx")
    with pytest.raises(StorageError, match="folder is not there"):
        save_where(FOUND, tmp_path / "no" / "where.svg")


def test_a_trial_of_a_study_is_kept_for_its_report(tmp_path: Path) -> None:
    folder = tmp_path / "edge"
    folder.mkdir()
    assert trial_place("edge:7", results=tmp_path) == (folder, 7)
    assert trial_place(f"{folder}:7", results=Path("elsewhere")) == (folder, 7)
    assert trial_place("levit_128s", results=tmp_path) is None
    assert trial_place("gone:7", results=tmp_path) is None
