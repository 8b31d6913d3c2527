"""What is found on a machine, and what a person is told to do about it."""

import json
import re
from typing import Any

import pytest

from archbench.evaluate.doctor import advice, doctor

QUIET: dict[str, Any] = {
    "test": {
        "resolution": {
            "rounds": 200, "smallest": 0.01, "comparisons": 75, "false_share": 0.05, "spread": 0.01,
        },
        "constants": {"a": {"stored_ms": 1.0, "now_ms": 1.0, "deviation": 0.01}},
        "off_cpu": 0.0, "drift": 0.0, "seat": {"note": ""}, "note": "", "due": "",
    },
    "activity": {"steal_share": 0.0, "throttled": 0, "busy": ()},
    "clocks": {"governor": "performance"},
    "gpu": {"memory_bytes": 2**34, "used_bytes": 2**20, "disturbance": "", "note": ""},
    "board": {"disturbance": "", "note": ""},
    "disks": {"/here": 2**40},
    "study": None,
}  # fmt: skip
"""A machine on which nothing stands in the way."""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    damaged = tmp_path_factory.mktemp("study")
    (damaged / "study.db").write_bytes(b"SQLite format 3\0 and then nothing")
    return doctor(seconds=1.0, study=damaged)


def changed(document: dict[str, Any], path: str, values: object) -> dict[str, Any]:
    """The document with other values at a path of keys."""
    key, _, rest = path.partition(".")
    if rest:
        values = changed(document[key], rest, values)
    elif isinstance(values, dict) and document[key]:
        values = {**document[key], **values}
    return {**document, key: values}


def test_document_is_json_with_its_schema(found: dict[str, Any]) -> None:
    document = json.loads(json.dumps(found, allow_nan=False))
    assert document["schema"] == "archbench.doctor/1"
    assert set(QUIET) <= set(document)
    assert set(QUIET["test"]) <= set(document["test"])


def test_every_backend_is_there_or_says_what_brings_it(found: dict[str, Any]) -> None:
    assert "eager" in {e["name"] for e in found["backends"] if e["precisions"]}
    for entry in found["backends"]:
        assert bool(entry["precisions"]) != bool(entry["missing"])
        assert bool(entry["missing"]) <= bool(entry["help"])


def test_a_damaged_study_is_told_with_what_to_do(found: dict[str, Any]) -> None:
    study = found["study"]
    assert study["trials"] is None
    assert study["fault"]
    assert any(study["fault"] in e["what"] and e["do"] for e in found["advice"])


def test_a_quiet_machine_needs_no_advice() -> None:
    assert advice(QUIET) == []


@pytest.mark.parametrize(
    ("path", "values", "told"),
    [
        ("test.resolution", None, "there was no time for an A/A test"),
        ("test.resolution", {"smallest": 0.05}, "differences under 5.0% cannot be resolved"),
        ("test.resolution", {"false_share": 0.2}, "from itself in 20% of 75 comparisons"),
        ("test", {"drift": 0.2}, "the speed of the machine moved by 20% within seconds"),
        ("test", {"off_cpu": 0.3}, "other work held the measuring core for 30% of the time"),
        ("test", {"due": "a takes 9% more"}, "constants no longer hold: a takes 9% more"),
        ("test", {"note": "constants are doubtful"}, "constants are doubtful"),
        ("test.constants.a", {"deviation": 0.2}, r"seem to hold no longer: a by \+20%"),
        ("activity", {"busy": (("make", 1.5),)}, r"other processes work: make \(1.5 cores\)"),
        ("activity", {"steal_share": 0.1}, "the host gave 10.0% of the time to other guests"),
        ("activity", {"throttled": 3}, "cores were slowed down for heat 3 times"),
        ("gpu", {"disturbance": "another process on the GPU"}, "another process on the GPU"),
        ("gpu", {"note": "1 other process on the GPU"}, "1 other process"),
        ("gpu", {"used_bytes": 2**30}, "1.0 GiB of the GPU's memory are in use"),
        ("board", {"disturbance": "its clock was capped"}, "the board: its clock was capped"),
        ("clocks", {"governor": "powersave"}, "the clock is governed by powersave"),
        ("disks", {"/here": 2**20}, "only 1 MiB are free in /here"),
        ("study", {"path": "x", "fault": "torn", "help": "y"}, "x: torn"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else None,
)
def test_each_disturbance_is_told_once_with_what_to_do(
    path: str, values: object, told: str
) -> None:
    (entry,) = advice(changed(QUIET, path, values))
    assert re.search(told, entry["what"])
    assert entry["do"]


def test_busy_processes_are_what_to_end() -> None:
    disturbed = changed(QUIET, "activity", {"busy": (("train", 1.0),)})
    (entry,) = advice(changed(disturbed, "test", {"off_cpu": 0.5}))
    assert entry["do"] == "end or move it: train (1.0 cores)"
