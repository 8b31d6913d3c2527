"""The page of a certificate answers first, shows every candidate, and trusts no name."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from archbench.analysis.certificate import certificate_bytes
from archbench.analysis.statistics import estimate_text
from archbench.analysis.study import StudyReader
from archbench.report.findings.certificate import figure, finding
from archbench.report.study_page import study_page
from archbench.report.summary import Summary
from archbench.study.trial import Snapshot
from tests.analysis.certified import certificate, sample
from tests.report import plausible
from tests.report.browser import read
from tests.report.hostile import PAYLOADS


def test_page_answers_first_and_shows_every_candidate(tmp_path: Path) -> None:
    found = certificate(tmp_path / "certify-quickstart")
    text = " ".join(read(finding(found).page()).text.split())
    assert found.finding is not None
    for told in (
        "Can this proxy rank quickstart?",
        found.finding.sentence,
        "tau of MACs alone",
        estimate_text(found.finding.last),
        "archbench certify quickstart",
        *(candidate.digest for candidate in found.candidates),
    ):
        assert told in text, told


def test_page_of_one_that_runs_says_so(tmp_path: Path) -> None:
    found = certificate(tmp_path, finding=None, num_done=3)
    text = read(finding(found).page()).text
    assert "3 of 128 trainings" in text
    assert "Its trainings have not ended." in text
    assert figure(found) is None


@pytest.mark.parametrize("name", PAYLOADS[::5])
def test_names_are_text_and_never_markup(tmp_path: Path, name: str) -> None:
    plain = certificate(tmp_path)
    candidates = [
        replace(c, choices={"stages[0].block": name}, failures=(name,)) for c in plain.candidates
    ]
    hostile = replace(plain, candidates=tuple(candidates))
    shown = read(finding(hostile).page())
    assert {tag for tag, _ in shown.elements} == {
        tag for tag, _ in read(finding(plain).page()).elements
    }
    assert shown.attributes("onerror") == shown.attributes("onload") == []


def test_files_are_page_document_and_plot(tmp_path: Path) -> None:
    files = finding(certificate(tmp_path)).write(tmp_path / "report")
    names = [file.name for file in files]
    assert names == ["index.html", "certificate.json", "taus.png", "taus.svg"]
    document = json.loads((tmp_path / "report" / "certificate.json").read_text())
    assert document["schema"] == "archbench.certificate/1"


def test_narrow_figure_has_its_panels_below_each_other(tmp_path: Path) -> None:
    found = certificate(tmp_path)
    wide, narrow = figure(found), figure(found, width_inches=3.9)
    assert wide is not None
    assert narrow is not None
    assert len(wide.axes) == len(narrow.axes) == 2
    assert narrow.get_figheight() == 2 * wide.get_figheight()


def test_study_shows_the_certificate_that_holds_for_it(tmp_path: Path) -> None:
    header = plausible.header(space_digest="0e02")
    header["proxy"] |= {"recipe": {"rungs": [2, 4, 8], "seed": 0, "batch": 32}}
    trials = plausible.trials()
    study = StudyReader(
        tmp_path / "study",
        snapshot=Snapshot(header=header, trials=tuple(trials), references=(), measurements=()),
    )
    text = read(study_page(Summary(study))).text
    assert "None was taken: whether this proxy can rank this space is not known." in text
    for quality, told in (
        (0.95, "Proxy certified: tau at equal cost "),
        (0, "Proxy not certified"),
    ):
        found = certificate(tmp_path / "certify-quickstart", sample(quality=quality, num=40))
        found.path.mkdir(exist_ok=True)
        subject = {
            "space": "0e02", "data": "91be02c7a1d3f5e4", "resolution": 32, "stem": "keep_grid",
            "seeds": 1, "epochs": 8, "recipe": {"batch": 32},
        }  # fmt: skip
        found = replace(found, header={**found.header, "subject": subject})
        (found.path / "certificate.json").write_bytes(certificate_bytes(found))
        fresh = StudyReader(study.path, snapshot=study._snapshot)
        text = " ".join(read(study_page(Summary(fresh))).text.split())
        assert told in text
        assert ("this front is not to be trusted" in text) == (quality == 0)
        assert fresh.document()["certificate"]["name"] == "certify-quickstart"
