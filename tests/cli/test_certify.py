"""``archbench certify``: what is asked, what is printed, what is refused."""

from dataclasses import replace
from pathlib import Path

from archbench.report.findings.certificate import finding
from tests.analysis.certified import certificate, sample


def test_text_answers_first_and_fits_into_80_columns(tmp_path: Path) -> None:
    text = finding(certificate(tmp_path / "certify-quickstart")).text()
    assert text.startswith(
        "This proxy can rank this space: of two networks of equal cost it names the"
    )
    assert text.endswith(
        "certify-quickstart: can its proxy rank quickstart?\n"
        "32 candidates, of each 2 seeds of 8 and of 16 epochs, on cluttered_digits at 32\npx"
    )
    for told in (
        "Kendall's tau with the longer trainings\n\nscore    median ",
        "\nepoch 8  ",
        "\nMACs          –  ",
        "\nceiling       –  ",
        "rungs that follow: [",
        "longer trainings differ by ",
    ):
        assert told in text, told
    assert max(map(len, text.splitlines())) <= 80


def test_text_of_a_refusal_says_what_helps(tmp_path: Path) -> None:
    found = certificate(tmp_path, sample(quality=0, num=60, seed=1, between=0.04))
    text = " ".join(finding(found).text().split())
    assert "a front that it finds is not to be trusted" in text
    assert "what helps: " in text
    assert "no rung of this proxy is good enough to stop a candidate at" in text


def test_text_of_failures_names_them(tmp_path: Path) -> None:
    candidates = sample(quality=0.95)
    failed = ("seed 2 failed (nan): the loss became nan",)
    candidates[0] = replace(candidates[0], longer={}, failures=failed)
    text = finding(certificate(tmp_path, candidates)).text()
    assert "left out, as trainings failed: 1 candidate\n  0000000000000000: seed 2 failed" in text


def test_text_of_one_that_runs_says_what_is_left(tmp_path: Path) -> None:
    found = certificate(tmp_path, finding=None, num_done=100)
    assert finding(found).text().startswith("Not known yet: 28 of 128 trainings are left.")
