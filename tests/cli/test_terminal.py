"""The same result in terminals of several widths, quietly, and in other forms."""

import csv
import io
import json
import re
from pathlib import Path

import pytest

from archbench.analysis.study import open_study
from archbench.report.element import ReportTable, one_after_another
from archbench.report.finding import Finding
from archbench.report.findings import front, profile
from tests.cli.conftest import Run
from tests.cli.stored import write_study

RECORDED = Path(__file__).parents[2] / "results" / "quickstart-recorded"


@pytest.fixture(scope="module")
def told() -> Finding:
    return front.finding(open_study(RECORDED))


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_a_study_fits_into_terminals_of_all_widths(told: Finding, columns: int) -> None:
    lines = told.text(columns=columns).split("\n")
    assert max(map(len, lines)) <= columns


def test_no_word_is_cut_in_a_narrow_terminal(told: Finding) -> None:
    wide, narrow = (re.findall(r"\w+", told.text(columns=columns)) for columns in (None, 40))
    assert set(narrow) <= set(wide)


def test_a_row_stands_by_itself_where_a_table_is_too_wide(told: Finding) -> None:
    text = told.text(columns=40)
    assert re.search(r"^trial +\d+\nlatency, ms +[\d.]+ \(", text, re.MULTILINE)


@pytest.fixture
def study(run: Run) -> Path:
    return write_study(Path("results/mine"))


def test_quiet_prints_the_result_alone(run: Run, study: Path) -> None:
    ended = run("pick", "mine", "--knee", "-q")
    assert ended.code == 0
    assert ended.out
    assert ended.err == ""
    assert run("-q", "pick", "mine", "--knee") == ended


def test_verbose_prints_the_trace_of_an_error(run: Run) -> None:
    assert "Traceback" not in run("studies", "show", "nope").err
    assert "Traceback" in run("studies", "show", "nope", "-v").err


def test_tables_come_as_csv_with_plain_numbers(run: Run, study: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(run("studies", "--format", "csv").out)))
    assert [(row["study"], row["trials"]) for row in rows] == [("mine", "12")]
    assert int(rows[0]["size"]) > 1000


def test_tables_come_as_markdown(run: Run, study: Path) -> None:
    lines = run("studies", "list", "--format", "md").out.splitlines()
    assert lines[0].startswith("| study | state | trials |")
    assert lines[1].startswith("| :--- | :--- | ---: |")
    assert lines[2].startswith("| mine | parked | 12 |")


def test_the_format_json_is_that_of_the_flag(run: Run, study: Path) -> None:
    assert run("studies", "--format", "json").out == run("studies", "--json").out
    failed = run("studies", "show", "nope", "--format", "json")
    assert json.loads(failed.err)["schema"] == "archbench.error/1"


def test_what_prints_no_table_has_no_csv(run: Run, study: Path) -> None:
    ended = run("studies", "export", "mine", "--format", "csv")
    assert "--format csv: it prints no table; leave out --format" in ended.err


def test_verbose_tells_what_is_usually_left_out() -> None:
    entry = {"batch": 1, "device": "cpu", "details": {"forms": "plain 3", "deployment_error": 1e-6}}
    finding = Finding({}, ["told"], more=[profile._forms(entry)])
    assert finding.text() == "told"
    assert finding.text(has_more=True).startswith("told\n\nbatch 1 on cpu: layers run plain 3")


def test_tables_of_findings_one_after_another_come_as_csv() -> None:
    several = [[ReportTable([{"n": "1,000"}], align="r")], [ReportTable([{"n": "2"}], align="r")]]
    assert Finding({}, [one_after_another(several)]).csv() == "n\n1000\n\nn\n2"
