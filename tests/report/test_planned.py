"""The pages of ablations and certificates answer first, show all that was found, trust no name."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from archbench.analysis.ablation import Difference
from archbench.analysis.certificate import certificate_bytes, subject_of
from archbench.analysis.retraining import KEY
from archbench.analysis.statistics import estimate_text
from archbench.report.figure import svg_text
from archbench.report.finding import Finding
from archbench.report.findings import ablation
from archbench.report.findings.ablation import effect_figure, sentence
from archbench.report.findings.certificate import figure, finding
from archbench.report.study_page import study_page
from archbench.report.summary import Summary
from tests.analysis.certified import certificate, sample
from tests.analysis.test_pick import DESIGNS
from tests.analysis.test_retraining import ended, entry, right
from tests.report import plausible
from tests.report.browser import Page, read
from tests.report.hostile import PAYLOADS
from tests.search.ablation.toy import record
from tests.study import example


def _text(found: Finding) -> str:
    return " ".join(read(found.page()).text.split())


def _ablation_named(name: str, path: Path) -> Page:
    return read(ablation.finding(record(path, name=name)).page())


def _certificate_named(name: str, path: Path) -> Page:
    plain = certificate(path)
    candidates = [
        replace(c, choices={"stages[0].block": name}, failures=(name,)) for c in plain.candidates
    ]
    return read(finding(replace(plain, candidates=tuple(candidates))).page())


ABLATION = (
    "position=none",
    "-1.7 (-3.1 to -0.2)",
    "-0.05 (-0.06 to -0.04)",
    "no difference seen with 3 seeds",
    "stages[0].position: needs attention",
    "every training failed; seed 0 failed (nan): the loss became nan",
    "Significant differences in accuracy: 1 of 2 changes, with 3 seeds.",
    "position=none: 1.7 points worse (0.2 to 3.1); 10 % faster; 64 fewer parameters.",
    "archbench ablate toy.yaml --axes position=bias,none",
    "Student's t.",
)
PAPER = (
    "Beside the paper",
    "position=none: A5: without attention bias (LeViT, table 5)",
    "Of 1 row of the paper: 1 sign confirmed.",
    "12,281 / –",
    "678,900 / 305 M",
)


def test_every_form_is_there_every_reason_and_beside_a_paper_its_numbers(tmp_path: Path) -> None:
    alone = _text(ablation.finding(record(tmp_path)))
    beside = _text(ablation.finding(record(tmp_path, is_paper=True)))
    assert [told for told in ABLATION if told not in alone] == []
    assert [told for told in PAPER if told not in beside] == []
    assert "Beside the paper" not in alone


def test_a_certificate_answers_first_and_shows_every_candidate(tmp_path: Path) -> None:
    found = certificate(tmp_path / "certify-quickstart")
    text = _text(finding(found))
    expected = (
        "Can this proxy rank quickstart?",
        found.finding.sentence,
        "tau of MACs alone",
        estimate_text(found.finding.last),
        "archbench certify quickstart",
        *(candidate.digest for candidate in found.candidates),
    )
    assert [told for told in expected if told not in text] == []


def test_one_that_runs_says_so_and_has_no_figure(tmp_path: Path) -> None:
    running = certificate(tmp_path, finding=None, num_done=3)
    assert figure(running) is None
    text = _text(finding(running))
    assert "3 of 128 trainings" in text
    assert "Its trainings have not ended." in text
    known = record(tmp_path)
    forms = tuple(
        replace(form, accuracy_difference=None, latency_difference=None) for form in known.forms
    )
    empty = replace(known, forms=forms, num_done=0)
    assert effect_figure(empty) is None
    text = _text(ablation.finding(empty))
    assert "Nothing has been compared yet." in text
    assert "0 of 12 trainings" in text


@pytest.mark.parametrize("page", [_ablation_named, _certificate_named])
@pytest.mark.parametrize("name", PAYLOADS[::5])
def test_names_are_text_and_never_markup(
    tmp_path: Path, name: str, page: Callable[[str, Path], Page]
) -> None:
    shown, plain = page(name, tmp_path), page("none", tmp_path)
    assert {tag for tag, _ in shown.elements} == {tag for tag, _ in plain.elements}
    assert shown.attributes("onerror") == shown.attributes("onload") == []


def test_plot_of_an_ablation_has_a_panel_for_each_question(tmp_path: Path) -> None:
    wide, narrow = effect_figure(record(tmp_path)), effect_figure(record(tmp_path), width_inches=3)
    assert [axes.get_xlabel() for axes in wide.axes] == [
        "what it buys: validation accuracy, points",
        "what it costs: latency, ms",
    ]
    assert "position=none" in svg_text(wide)
    low, high = wide.axes[0].get_xlim()
    assert low < -3.1 < 3.2 < high
    assert narrow.get_figheight() > 1.8 * wide.get_figheight()


def test_narrow_plot_of_a_certificate_has_its_panels_below_each_other(tmp_path: Path) -> None:
    found = certificate(tmp_path)
    wide, narrow = figure(found), figure(found, width_inches=3.9)
    assert len(wide.axes) == len(narrow.axes) == 2
    assert narrow.get_figheight() == 2 * wide.get_figheight()


def test_sentence_says_what_is_bought_and_what_it_costs(tmp_path: Path) -> None:
    found = record(tmp_path)
    gain = Difference(value=0.02, low=0.01, high=0.03)
    better = replace(found.forms[2], finding="better", accuracy_difference=gain)
    assert sentence(better, base=found.base).startswith("2.0 points better (1.0 to 3.0); ")


def test_study_shows_the_certificate_that_holds_for_it(tmp_path: Path) -> None:
    header = plausible.header(space_digest="0e02")
    header["proxy"] |= {"recipe": {"rungs": [2, 4, 8], "seed": 0, "batch": 32}}
    options = {"head": header, "beside": [], "path": tmp_path / "study"}
    text = read(study_page(Summary(plausible.study(**options)))).text
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
        fresh = plausible.study(**options)
        text = " ".join(read(study_page(Summary(fresh))).text.split())
        assert told in text
        assert ("this front is not to be trusted" in text) == (quality == 0)
        assert fresh.document()["certificate"]["name"] == "certify-quickstart"


def test_a_certificate_says_what_held_in_full_training(tmp_path: Path) -> None:
    proxy = {"data_digest": "91be02c7", "stem": "keep_grid", "seeds": 1, "recipe": {"rungs": [8]}}
    header = {**example.header(proxy=proxy), "space_digest": "0e0205323f6c577a"}
    trained = entry(ended(1, right(800)), ended(4, right(700)))
    (tmp_path / "edge").mkdir()
    example.study(tmp_path / "edge", DESIGNS, header={**header, KEY: [trained]})
    plain = certificate(tmp_path / "certify-edge")
    found = replace(plain, header={**plain.header, "subject": subject_of(header)})
    told = (
        "tudy edge in full training (short, 4 epochs, cluttered_digits): The order held: trial 1 "
        "is still first of 2 designs"
    )
    tau = "tau near the front in full training: 1.00 of 2 designs, too few for an interval"
    shown = " ".join(finding(found).text().split())
    for text in (shown, _text(finding(found))):
        assert told in text
        assert tau in text
    assert "full training" not in finding(plain).text().replace("of full training", "")
