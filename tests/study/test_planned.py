"""A folder that a version before 0.2 wrote is read as it stands, and gone on with."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from archbench.analysis.ablation import read_ablation
from archbench.analysis.certificate import read_certificate
from archbench.errors import StorageError
from archbench.search.trainings import opened
from archbench.study.planned import find_planned, pending, read_planned
from tests.report.plausible import ENVIRONMENT
from tests.study import example

SPEC = {"resolution": 16, "stages": [{"dim": 8, "layers": {"1": {"dim": 16}}}]}
PROXY = {
    "data": "toy", "resolution": 16, "num_validation": 60, "chance": 1 / 3, "seeds": 1,
    "rungs": [1, 2], "epochs": 2,
}  # fmt: skip
ABOUT = {"created": "2026-01-01T00:00:00+00:00", "command": "typed", "notes": [], "proxy": PROXY}
CERTIFICATE = {
    "schema": "archbench.certificate-plan/1", **ABOUT, "space_name": "toy", "question": "?",
    "subject": {}, "seeds": 1, "longer": 4, "workers": 1, "environment": asdict(ENVIRONMENT),
    "candidates": [
        {"digest": name, "choices": {"dim": 8}, "spec": SPEC, "params": 5, "macs": 7}
        for name in ("a", "b")
    ],
}  # fmt: skip
CERTIFICATE_RESULTS = """\
{"kind":"point","digest":"a","is_longer":false,"seed":0,"epoch":1,"accuracy":0.4}
{"kind":"point","digest":"a","is_longer":false,"seed":0,"epoch":2,"accuracy":0.5}
{"kind":"failure","digest":"a","is_longer":false,"seed":0,"failure":"crash","message":"killed"}
{"kind":"end","digest":"a","is_longer":false,"seed":0}
{"kind":"failure","digest":"b","is_longer":false,"seed":0,"failure":"nan","message":"not finite"}
{"kind":"point","digest":"a","is_longer":true,"seed":1,"epoch":4,"accuracy":0.7}
{"kind":"end","digest":"a","is_longer":true,"seed":1}
{"kind":"poi"""


def _form(name: str, **changes: Any) -> dict[str, Any]:
    known = {"name": name, "knob": "", "value": "", "training": {}, "reason": "", "printed": None}
    counts = {"digest": "a", "spec": SPEC, "params": 5, "macs": 7}
    return {**known, **counts, **changes}


TAUGHT = {"training": {"teacher": "convolutional"}}
ABLATION = {
    "schema": "archbench.ablation-plan/1", **ABOUT, "paper": None, "conditions": None,
    "environment": asdict(ENVIRONMENT), "seeds": 2, "seeds_asked": 2, "base": _form("base"),
    "forms": [
        _form("same"),
        _form("taught", **TAUGHT),
        _form("none", digest="", spec=None, reason="cannot be"),
    ],
}  # fmt: skip
POINT = {"seed": 0, "epoch": 2, "step": 9, "loss": 0.1, "accuracy": 0.6, "seconds": 1.0}
ABLATION_RESULTS = "\n".join(
    json.dumps(line)
    for line in (
        {"kind": "latency", "measurements": {"a": example.latency(0.5).to_document()}},
        {"kind": "point", "key": "a", "point": POINT},
        {"kind": "accuracy", "key": "a", "seed": 0, "accuracy": 0.6},
        {"kind": "accuracy", "key": "a-7200f94c", "seed": 0, "accuracy": 0.7},
    )
)


def _written(path: Path, plan: dict[str, Any], results: str) -> Path:
    path.mkdir()
    (path / "plan.json").write_text(json.dumps(plan))
    (path / "results.jsonl").write_text(results)
    return path


def test_certificate_is_read_with_what_had_ended(tmp_path: Path) -> None:
    path = _written(tmp_path / "old", CERTIFICATE, CERTIFICATE_RESULTS)
    found = read_certificate(path)
    first, second = found.candidates
    assert (first.proxy, first.longer) == ({0: {1: 0.4, 2: 0.5}}, {1: 0.7})
    assert (first.failures, second.failures) == ((), ("seed 0 failed (nan): not finite",))
    assert (found.num_trainings, found.num_done, found.finding) == (4, 3, None)
    (left,) = pending(read_planned(path, kind="certificate"))
    assert (left[0].digest, left[1].seed, left[1].epochs) == ("b", 1, 4)
    assert left[0].spec["stages"][0]["layers"] == {1: {"dim": 16}}


def test_ablation_is_read_with_what_had_ended(tmp_path: Path) -> None:
    path = _written(tmp_path / "old", ABLATION, ABLATION_RESULTS + "\n")
    found = read_ablation(path)
    states = {form.name: form.state for form in found.forms}
    assert states == {"same": "base", "taught": "trained", "none": "illegal"}
    assert found.base.accuracies == {0: 0.6}
    assert found.base.latency is not None
    assert found.forms[1].latency == found.base.latency
    difference = found.forms[1].accuracy_difference
    assert difference is not None
    assert difference.value == pytest.approx(0.1)
    assert (found.num_trainings, found.num_done) == (4, 2)


@pytest.mark.parametrize(
    ("plan", "results"),
    [(CERTIFICATE, CERTIFICATE_RESULTS), (ABLATION, ABLATION_RESULTS)],
    ids=["certificate", "ablation"],
)
def test_what_is_gone_on_with_is_in_a_database(
    tmp_path: Path, plan: dict[str, Any], results: str
) -> None:
    path = _written(tmp_path / "old", plan, results)
    before = find_planned(path)
    assert before is not None
    assert before.kind != "search"
    with opened(path, kind=before.kind) as study:
        assert study.snapshot().trials == before.trials
    assert (path / "study.db").is_file()
    after = find_planned(path)
    assert after is not None
    assert (after.trials, pending(after)) == (before.trials, pending(before))


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("results.jsonl", '{"kind":"a"}\n{"ki\n'),
        ("plan.json", '{"schema": "archbench.ablation-plan/9"}'),
        ("plan.json", "{"),
    ],
)
def test_damage_is_told(tmp_path: Path, file: str, content: str) -> None:
    path = _written(tmp_path / "old", CERTIFICATE, CERTIFICATE_RESULTS)
    (path / file).write_text(content)
    with pytest.raises(StorageError, match="what an earlier version stored cannot be read"):
        find_planned(path)


def test_folder_of_something_else_is_told(tmp_path: Path) -> None:
    assert find_planned(tmp_path) is None
    path = _written(tmp_path / "old", CERTIFICATE, CERTIFICATE_RESULTS)
    for folder in (tmp_path, path):
        with pytest.raises(StorageError, match="there is no ablation here"):
            read_planned(folder, kind="ablation")
    with pytest.raises(StorageError, match="there is no ablation"), opened(path, kind="ablation"):
        pass
