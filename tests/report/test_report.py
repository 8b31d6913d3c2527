"""A report is written in every format, for any study, and is data whatever its texts hold."""

import csv
import io
import math
import os
import re
import time
from dataclasses import replace
from pathlib import Path

import pytest

from archbench.analysis.study import open_study
from archbench.errors import StorageError
from archbench.report import FORMATS, write_report
from archbench.report.formats import csv as csv_format
from archbench.report.formats import markdown
from archbench.report.plain import escaped
from archbench.study.database import Store
from archbench.study.trial import TrialRecord
from tests.cli.stored import write_study

from . import plausible
from .hostile import PAYLOADS

NAMES = {"report.html", "pareto.png", "pareto.svg", "front.csv", "front.md"}


def test_every_format_is_written_beside_the_study(tmp_path: Path) -> None:
    study = open_study(write_study(tmp_path / "results" / "quickstart", trials=30))
    files = write_report(study)
    assert {path.name for path in files} == set(os.listdir(files[0].parent)) == NAMES
    assert {path.parent for path in files} == {tmp_path / "results" / "quickstart" / "report"}


def test_a_study_whose_search_goes_on_can_be_reported(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "quickstart", trials=5)
    with Store.open(folder / "study.db") as store:
        write_report(open_study(folder))
        store.update(0, test_accuracy=0.5)


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
def test_each_format_says_what_it_is_and_writes_one_file(name: str, tmp_path: Path) -> None:
    for number in (0, 1, 15):
        study = plausible.study(records=plausible.trials(number), beside=[])
        (path,) = write_report(study, tmp_path, formats=[name])
        assert os.listdir(tmp_path) == [path.name]
        assert path.parent == tmp_path
        assert path.stat().st_size > 0
    assert str(FORMATS.load(name).__doc__).splitlines()[0].endswith(".")


def test_ten_thousand_trials_are_reported_in_time(tmp_path: Path) -> None:
    study = plausible.study(records=plausible.trials(10_000))
    begun = time.process_time()
    write_report(study, tmp_path)
    assert time.process_time() - begun < 10
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 3_000_000


def complete() -> TrialRecord:
    return next(record for record in plausible.trials() if record.state == "complete")


def rows_of(content: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(content.decode(), newline="")))


def test_without_a_front_a_spreadsheet_has_the_head_alone() -> None:
    assert len(rows_of(csv_format.content(plausible.study(records=[])))) == 1


_FORMULAS = (
    "=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "  =1", "＝1",
)  # fmt: skip


@pytest.mark.parametrize("text", [*_FORMULAS, *(p for p in PAYLOADS if "\ud800" not in p)])
def test_no_text_begins_a_formula(text: str) -> None:
    study = plausible.study(records=[replace(complete(), digest=text)])
    head, row = rows_of(csv_format.content(study))
    cell = row[head.index("digest")]
    assert cell in (text, f"'{text}")
    assert not cell.strip().startswith(("=", "+", "-", "@", "＝"))


def test_numbers_below_zero_stay_numbers() -> None:
    record = complete()
    odd = replace(record, latency=replace(record.latency, low=-0.5))
    head, row = rows_of(csv_format.content(plausible.study(records=[odd])))
    assert math.isclose(float(row[head.index("latency_low_ms")]), -0.5)


def test_without_a_front_markdown_says_why() -> None:
    study = plausible.study(records=[])
    text = markdown.content(study).decode()
    assert text == "# quickstart\n\nThere is no front: no design has been tried yet.\n"


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_payload_stays_text_in_markdown(payload: str) -> None:
    head = plausible.header(
        name=payload,
        space_name=payload,
        conditions={**plausible.header()["conditions"], "device": payload},
    )
    study = plausible.study(records=[replace(complete(), digest=payload)], head=head)
    text = markdown.content(study).decode()
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 3
    outside_code = re.sub(r"`[^`]*`", "", text.replace("\\`", ""))
    assert "<" not in outside_code
    for row in rows:
        assert len(re.findall(r"(?<!\\)\|", row)) == 11


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("a|b", "a\\|b"),
        ("*b* _i_", "\\*b\\* \\_i\\_"),
        ("[x](javascript:1)", "\\[x\\](javascript:1)"),
        ("<b>&amp;", "&lt;b&gt;&amp;amp;"),
        ("see https://example.org", "see https\\://example.org"),
        ("www.example.org", "www\\.example.org"),
        ("@someone #12", "\\@someone \\#12"),
        ("- item", "&#45; item"),
        ("12. item", "&#49;2. item"),
        ("=====", "&#61;===="),
        ("7 of 25: 0.62 ms, --data folder:PATH", "7 of 25: 0.62 ms, --data folder:PATH"),
        ("two\nlines", "two lines"),
    ],
)
def test_what_means_something_is_escaped_and_the_rest_is_left(text: str, written: str) -> None:
    assert escaped(text) == written


def test_code_may_hold_backticks() -> None:
    study = plausible.study(path=Path("results/a`b"))
    text = markdown.content(study).decode()
    assert "``" in text.splitlines()[-1]
