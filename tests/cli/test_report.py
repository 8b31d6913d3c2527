"""``archbench report`` and ``insight``: what they say where little is known."""

import json
from pathlib import Path

from archbench.analysis.importance import Insight
from archbench.report.element import joined
from archbench.report.findings.importance import told
from tests.cli.conftest import Run
from tests.cli.stored import write_study


def test_a_study_without_a_front_says_why(run: Run, tmp_path: Path) -> None:
    code, out, err = run("report", str(write_study(tmp_path / "slow", limit=0.01)))
    assert code == 0
    assert "There is no front: 12 of 12 designs over the limit" in out
    assert err.startswith("\nnext: open ")


def test_a_study_elsewhere_is_named_by_its_path_in_the_next_step(run: Run) -> None:
    write_study(Path("my results") / "toy")
    ended = run("insight", "toy", "--results", "my results")
    assert ended.err == "\nnext: archbench report 'my results/toy'\n"


def test_few_trials_are_told() -> None:
    text = joined(told("small", Insight(num_trials=9, cost="latency_ms")))
    assert text.endswith("not separable with 9 trials; at least 16 are needed")


def test_the_document_is_given_where_no_report_can_be_written(run: Run, tmp_path: Path) -> None:
    study = write_study(tmp_path / "toy")
    (study / "report").write_text("no folder")
    code, out, err = run("report", str(study), "--json")
    assert (code, json.loads(out)["schema"]) == (0, "archbench.study/1")
    assert err.startswith("warning: the report could not be written beside the study: ")
    assert run("report", str(study)).code == 4


def test_a_report_is_not_written_through_a_link(run: Run, tmp_path: Path) -> None:
    study = write_study(tmp_path / "toy")
    (tmp_path / "other").mkdir()
    (study / "report").symlink_to(tmp_path / "other")
    for options in ([], ["--json"]):
        code, _, err = run("report", str(study), *options)
        assert code == 4
        assert "it is a link to" in err
    assert list((tmp_path / "other").iterdir()) == []
