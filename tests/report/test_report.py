"""A report is written in every format, for any study, without disturbing anything."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from archbench.analysis.study import open_study
from archbench.errors import StorageError
from archbench.report import FORMATS, write_report
from archbench.study.database import Store
from archbench.study.environment import Environment

from . import plausible

NAMES = {"report.html", "pareto.png", "pareto.svg", "front.csv", "front.md"}


def written_study(folder: Path, *, number: int) -> Path:
    """A study on the disk, as a search leaves it."""
    folder.mkdir(parents=True)
    with Store.create(folder / "study.db", plausible.header()) as store:
        for record in plausible.trials(number):
            store.add_trial(record)
        for reference in plausible.references():
            store.add_reference(reference.name, reference.latency, reference.params, reference.macs)
    return folder


def test_every_format_is_written_beside_the_study(tmp_path: Path) -> None:
    study = open_study(written_study(tmp_path / "results" / "quickstart", number=30))
    files = write_report(study)
    assert {path.name for path in files} == NAMES
    assert {path.parent for path in files} == {tmp_path / "results" / "quickstart" / "report"}
    assert set(os.listdir(files[0].parent)) == NAMES


def test_a_study_whose_search_goes_on_can_be_reported(tmp_path: Path) -> None:
    folder = written_study(tmp_path / "quickstart", number=5)
    with Store.open(folder / "study.db") as store:
        write_report(open_study(folder))
        store.set_test_accuracy(0, 0.5)


def test_a_report_takes_the_place_of_an_older_one(tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("old")
    write_report(plausible.study(), tmp_path)
    assert "quickstart" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert set(os.listdir(tmp_path)) == NAMES


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"file.*cannot make the folder of the report"):
        write_report(plausible.study(), tmp_path / "file" / "report")


@pytest.mark.parametrize("name", FORMATS.names)
def test_each_format_writes_one_file_and_gives_its_path(name: str, tmp_path: Path) -> None:
    for number in (0, 15):
        study = plausible.study(records=plausible.trials(number))
        (path,) = write_report(study, tmp_path, formats=[name])
        assert os.listdir(tmp_path) == [path.name]
        assert path.parent == tmp_path
        assert path.stat().st_size > 0


@pytest.mark.parametrize("name", FORMATS.names)
def test_each_format_says_in_one_line_what_it_is(name: str) -> None:
    described = FORMATS.load(name).__doc__
    assert described
    assert described.splitlines()[0].endswith(".")


def test_ten_thousand_trials_are_reported_in_time(tmp_path: Path) -> None:
    study = plausible.study(records=plausible.trials(10_000))
    begun = time.process_time()
    write_report(study, tmp_path)
    assert time.process_time() - begun < 10
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 3_000_000


def test_the_study_of_the_tests_has_the_environment_of_a_real_one() -> None:
    assert Environment(**plausible.header()["environment"]) == plausible.ENVIRONMENT
