"""The page of an ablation shows every form, loads nothing and trusts no name."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from archbench.analysis.ablation import Difference
from archbench.report.figure import svg_text
from archbench.report.findings import ablation
from archbench.report.findings.ablation import sentence
from archbench.report.findings.effects import effect_figure
from tests.report.browser import Page, read
from tests.report.hostile import PAYLOADS
from tests.search.ablation.toy import record


def _page(path: Path, **options: bool) -> Page:
    return read(ablation.finding(record(path, **options)).page())  # type: ignore[arg-type]


def test_every_form_is_there_and_every_reason(tmp_path: Path) -> None:
    text = " ".join(_page(tmp_path).text.split())
    for told in (
        "position=none",
        "-1.7 (-3.1 to -0.2)",
        "-0.05 (-0.06 to -0.04)",
        "no difference seen with 3 seeds",
        "stages[0].position: needs attention",
        "every training failed; seed 0 failed (nan): the loss became nan",
        "1 of 2 changes make a difference in accuracy that 3 seeds can tell.",
        "position=none: 1.7 points worse (0.2 to 3.1); 10 % faster; 64 fewer parameters.",
        "archbench ablate toy.yaml --axes position=bias,none",
        "Student's t.",
    ):
        assert told in text, told


def test_page_without_a_paper_has_no_section_of_one(tmp_path: Path) -> None:
    assert "Beside the paper" not in _page(tmp_path).within("h2")


def test_page_beside_a_paper_has_its_numbers_and_signs(tmp_path: Path) -> None:
    page = _page(tmp_path, is_paper=True)
    assert "Beside the paper" in page.within("h2")
    text = " ".join(page.text.split())
    assert "position=none: A5: without attention bias LeViT, table 5" in text
    assert "Of 1 row of the paper: 1 sign confirmed." in text
    assert "12,281 / –" in text
    assert "678,900 / 305 M" in text


@pytest.mark.parametrize("name", PAYLOADS[::5])
def test_names_are_text_and_never_markup(tmp_path: Path, name: str) -> None:
    page = read(ablation.finding(record(tmp_path, name=name)).page())
    plain = _page(tmp_path)
    assert {tag for tag, _ in page.elements} == {tag for tag, _ in plain.elements}
    assert page.attributes("onerror") == page.attributes("onload") == []


def test_plot_has_a_panel_for_each_question(tmp_path: Path) -> None:
    figure = effect_figure(record(tmp_path))
    assert figure is not None
    assert [axes.get_xlabel() for axes in figure.axes] == [
        "what it buys: validation accuracy, points",
        "what it costs: latency, ms",
    ]
    assert "position=none" in svg_text(figure)
    low, high = figure.axes[0].get_xlim()
    assert low < -3.1
    assert high > 3.2
    narrow = effect_figure(record(tmp_path), width_inches=3.9)
    assert narrow is not None
    assert narrow.get_figheight() > 1.8 * figure.get_figheight()


def test_figure_of_nothing_is_none_and_its_page_says_so(tmp_path: Path) -> None:
    found = record(tmp_path)
    forms = tuple(
        replace(form, accuracy_difference=None, latency_difference=None) for form in found.forms
    )
    empty = replace(found, forms=forms, num_done=0)
    assert effect_figure(empty) is None
    text = read(ablation.finding(empty).page()).text
    assert "Nothing has been compared yet." in text
    assert "0 of 12 trainings" in text


def test_files_are_page_document_and_plot(tmp_path: Path) -> None:
    files = ablation.finding(record(tmp_path)).write(tmp_path / "report")
    assert [file.relative_to(tmp_path).as_posix() for file in files] == [
        "report/index.html",
        "report/ablation.json",
        "report/effects.png",
        "report/effects.svg",
    ]
    document = json.loads((tmp_path / "report" / "ablation.json").read_text())
    assert document["schema"] == "archbench.ablation/1"
    assert document["forms"][1]["accuracy"] == pytest.approx(0.7033, abs=1e-4)
    assert document["base"]["accuracies"] == {"0": 0.71, "1": 0.72, "2": 0.73}


def test_sentence_says_what_is_bought_and_what_it_costs(tmp_path: Path) -> None:
    found = record(tmp_path)
    unseen = found.forms[2]
    better = replace(
        unseen, finding="better", accuracy_difference=Difference(value=0.02, low=0.01, high=0.03)
    )
    assert sentence(better, base=found.base).startswith("2.0 points better (1.0 to 3.0); ")
