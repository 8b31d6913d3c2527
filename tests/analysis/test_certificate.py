"""A certificate is found by the studies that it holds for, and by no others."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from archbench.analysis.certificate import (
    CertificateSummary,
    certificate_bytes,
    find_certificate,
    subject_of,
)
from archbench.analysis.statistics import Estimate, estimate_text
from tests.analysis.certified import certificate, sample

HEADER: dict[str, Any] = {
    "space_digest": "0e0205323f6c577a",
    "proxy": {
        "data": "cluttered_digits",
        "data_digest": "91be02c7",
        "resolution": 32,
        "stem": "as_is",
        "seeds": 1,
        "recipe": {"rungs": [4, 8], "seed": 3, "batch": 32, "peak_rate": 0.003},
    },
}


def _changed(**changes: Any) -> dict[str, Any]:
    return {**HEADER, "proxy": {**HEADER["proxy"], **changes}}


def _written(results: Path, name: str, **header: Any) -> CertificateSummary:
    found = certificate(results / name)
    found = replace(found, header={**found.header, "subject": subject_of(HEADER), **header})
    (results / name).mkdir()
    (results / name / "certificate.json").write_bytes(certificate_bytes(found))
    return found.summary


def test_subject_is_space_data_and_training_but_no_seed_and_no_early_rung() -> None:
    recipe = HEADER["proxy"]["recipe"]
    same = _changed(recipe={**recipe, "seed": 9, "rungs": [2, 8]})
    assert subject_of(same) == subject_of(HEADER)
    others = [
        _changed(recipe={**recipe, "rungs": [4, 16]}),
        _changed(recipe={**recipe, "batch": 64}),
        _changed(resolution=64),
        _changed(data_digest="0"),
        _changed(seeds=3),
        {**HEADER, "space_digest": "0"},
    ]
    assert all(subject_of(other) != subject_of(HEADER) for other in others)


def test_study_from_before_there_were_certificates_has_no_subject() -> None:
    assert subject_of({"proxy": HEADER["proxy"]}) is None
    assert subject_of({"space_digest": "0", "proxy": {"data": "x"}}) is None
    assert subject_of({}) is None


def test_newest_certificate_of_the_subject_is_found(tmp_path: Path) -> None:
    _written(tmp_path, "old", created="2026-11-19T10:00:00+00:00")
    newest = _written(tmp_path, "new", created="2026-11-20T10:00:00+00:00")
    _written(tmp_path, "other", created="2026-11-21T10:00:00+00:00", subject={"space": "1"})
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "certificate.json").write_text("{")
    assert find_certificate(tmp_path, subject_of(HEADER)) == newest
    assert find_certificate(tmp_path, {"space": "2"}) is None
    assert find_certificate(tmp_path, None) is None
    assert find_certificate(tmp_path / "nowhere", subject_of(HEADER)) is None


def test_summary_says_in_a_line_what_a_study_shows(tmp_path: Path) -> None:
    good = certificate(tmp_path).summary
    assert good.text == f"proxy certified: tau at equal cost {estimate_text(good.at_equal_cost)}"
    bad = certificate(tmp_path, sample(quality=0, num=40)).summary
    assert bad.text.startswith("proxy not certified: tau at equal cost ")
    assert certificate(tmp_path, finding=None).summary.text == "proxy not certified"
    assert estimate_text(Estimate(value=0.521, low=-0.04, high=0.64)) == "0.52 [-0.04, 0.64]"
