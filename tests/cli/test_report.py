"""``archbench report`` and ``insight``: what they say where little is known."""

import json
from pathlib import Path

import pytest

from archbench.analysis.importance import Insight
from archbench.errors import StorageError
from archbench.report.element import joined
from archbench.report.findings.importance import told
from archbench.report.gallery import gallery
from tests.cli.conftest import Run
from tests.cli.stored import write_study
from tests.report.browser import read


def test_a_study_without_a_front_says_why(run: Run, tmp_path: Path) -> None:
    code, out, err = run("report", str(write_study(tmp_path / "slow", limit=0.01)))
    assert code == 0
    assert "There is no front: 12 of 12 designs over the limit" in out
    assert err == ""


def test_a_study_elsewhere_is_named_by_its_path_in_the_next_step(run: Run) -> None:
    write_study(Path("my results") / "toy")
    ended = run("insight", "toy", "--results", "my results")
    again = (
        "archbench search 'my results/toy/space.yaml' --name toy --results 'my results' --resume"
    )
    assert ended.err == f"\nnext: {again} --trials 16\n"


def test_few_trials_are_told() -> None:
    text = joined(told(Insight(num_trials=9, cost="latency_ms")))
    assert text.startswith("9 trained trials are too few to single out any choice; at least 16 are")


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


def test_a_folder_of_results_gets_a_page_of_all(run: Run, tmp_path: Path) -> None:
    results = tmp_path / "my results"
    write_study(results / "toy", trials=8)
    write_study(results / "other", trials=8)
    (results / "broken").mkdir()
    (results / "broken" / "study.db").write_text("no database")
    run("report", "toy", "--results", str(results))
    assert run("report", "--results", str(results)).out == f"{results / 'index.html'}\n"
    seen = read((results / "index.html").read_text())
    assert sorted(seen.within("h3")) == ["", "broken", "other"], "the third is a link"
    assert seen.attributes("href")[-1] == "toy/report/report.html"
    assert "cannot be read" in seen.text
    told = run("report", "toy", "other", "--results", str(results))
    assert told.out == f"{results / 'toy-and-other.html'}\n"
    assert run("report", "toy", "other", "--results", str(results), "--json").code == 2
    with pytest.raises(StorageError, match="there is no study here"):
        gallery(tmp_path)
