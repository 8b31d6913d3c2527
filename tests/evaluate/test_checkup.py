"""What is found on a machine, and what a person is told to do about it."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from archbench.evaluate.doctor import Checkup, check_up
from archbench.measure.machine import Clocks, MachineActivity
from archbench.measure.self_test import Constant, Resolution


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Checkup:
    damaged = tmp_path_factory.mktemp("study")
    (damaged / "study.db").write_bytes(b"SQLite format 3\0 and then nothing")
    return check_up(seconds=1.0, study=damaged)


@pytest.fixture
def quiet(found: Checkup) -> Checkup:
    """A machine on which nothing stands in the way."""
    resolution = Resolution(
        rounds=200, smallest=0.01, comparisons=75, false_share=0.05, spread=0.01
    )
    test = replace(
        found.test,
        resolution=resolution,
        constants={"a": Constant(stored_ms=1.0, now_ms=1.0, deviation=0.01)},
        off_cpu=0.0,
        drift=0.0,
        seat=replace(found.test.seat, note=""),
        note="",
        due="",
        disturbance="",
    )
    return replace(
        found,
        test=test,
        activity=MachineActivity(steal_share=0.0, throttled=0, busy=()),
        clocks=Clocks(governor="performance", current_mhz=None, most_mhz=None, boost=None),
        gpu={
            "name": "a GPU",
            "memory_bytes": 2**34,
            "used_bytes": 2**20,
            "disturbance": "",
            "note": "",
        },
        disks={"/here": 2**40},
        study=None,
    )


def test_document_is_json_with_its_schema(found: Checkup) -> None:
    document = json.loads(json.dumps(found.document(), allow_nan=False))
    assert document["schema"] == "archbench.doctor/1"
    assert document["environment"]["id"] == found.environment.id


def test_every_backend_is_there_or_says_what_brings_it(found: Checkup) -> None:
    assert "eager" in {e["name"] for e in found.backends if e["precisions"]}
    for entry in found.backends:
        assert bool(entry["precisions"]) != bool(entry["missing"])
        assert bool(entry["missing"]) <= bool(entry["help"])


def test_a_damaged_study_is_told_with_what_to_do(found: Checkup) -> None:
    assert found.study is not None
    assert found.study["trials"] is None
    assert found.study["fault"]
    assert any(found.study["fault"] in e["what"] and e["do"] for e in found.advice)


def test_a_quiet_machine_needs_no_advice(quiet: Checkup) -> None:
    assert quiet.advice == ()


@pytest.mark.parametrize(
    ("where", "changed", "told"),
    [
        ("test", {"resolution": None}, "there was no time for an A/A test"),
        ("resolution", {"smallest": 0.05}, "differences under 5.0% cannot be told apart"),
        ("resolution", {"false_share": 0.2}, "different from itself in 20% of 75 comparisons"),
        ("test", {"drift": 0.2}, "the speed of the machine moved by 20% within seconds"),
        ("test", {"off_cpu": 0.3}, "other work held the measuring core for 30% of the time"),
        ("test", {"due": "a takes 9% more"}, "constants no longer hold: a takes 9% more"),
        ("test", {"note": "constants are doubtful"}, "constants are doubtful"),
        ("activity", {"busy": (("make", 1.5),)}, r"other processes work: make \(1.5 cores\)"),
        ("activity", {"steal_share": 0.1}, "the host gave 10.0% of the time to other guests"),
        ("activity", {"throttled": 3}, "cores were slowed down for heat 3 times"),
        ("gpu", {"disturbance": "another process on the GPU"}, "another process on the GPU"),
        ("gpu", {"note": "1 other process on the GPU"}, "1 other process"),
        ("gpu", {"used_bytes": 2**30}, "1.0 GiB of the GPU's memory are in use"),
        ("clocks", {"governor": "powersave"}, "the clock is governed by powersave"),
        (
            "test",
            {"constants": {"a": Constant(stored_ms=1.0, now_ms=1.2, deviation=0.2)}},
            r"stored constants seem to hold no longer: a by \+20%",
        ),
        ("", {"disks": {"/here": 2**20}}, "only 1 MiB are free in /here"),
        ("", {"study": {"path": "x", "fault": "torn", "help": "y"}}, "x: torn"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else None,
)
def test_each_disturbance_is_told_once_with_what_to_do(
    quiet: Checkup, where: str, changed: dict[str, object], told: str
) -> None:
    if where == "resolution":
        assert quiet.test.resolution is not None
        changed = {"resolution": replace(quiet.test.resolution, **changed)}  # type: ignore[arg-type]
        where = "test"
    if where == "gpu":
        assert quiet.gpu is not None
        changed = {"gpu": {**quiet.gpu, **changed}}
    elif where:
        changed = {where: replace(getattr(quiet, where), **changed)}
    disturbed = replace(quiet, **changed)  # type: ignore[arg-type]
    (advice,) = disturbed.advice
    assert re.search(told, advice["what"])
    assert advice["do"]


def test_busy_processes_are_what_to_end(quiet: Checkup) -> None:
    disturbed = replace(
        quiet,
        test=replace(quiet.test, off_cpu=0.5),
        activity=MachineActivity(steal_share=0.0, throttled=0, busy=(("train", 1.0),)),
    )
    (advice,) = disturbed.advice
    assert advice["do"] == "end or move it: train (1.0 cores)"
