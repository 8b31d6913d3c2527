"""A network with which all candidates of a study are timed in turn."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from archbench.errors import IncomparableError
from archbench.evaluate.target import Target, calibrated, known_anchors
from archbench.measure.machine import capture_environment
from archbench.models import ArchSpec, as_spec
from archbench.study.measurement import Conditions
from tests.evaluate.toy import SPEC

CONDITIONS = Conditions(resolution=(32, 32))


def spec_of(depth: int) -> ArchSpec:
    """The toy with one stage more or less deep."""
    first, *rest = SPEC["stages"]
    return as_spec({**SPEC, "stages": [{**first, "depth": depth}, *rest]})


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Target:
    folder = tmp_path_factory.mktemp("machine")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ARCHBENCH_CACHE", str(folder))
        return calibrated(CONDITIONS)


def test_the_anchors_are_the_fastest_and_the_slowest_candidate(target: Target) -> None:
    anchored = target.anchored([spec_of(3), spec_of(6), spec_of(1)])
    anchors = anchored.constants["anchors"]
    assert [as_spec(one["spec"]).digest for one in anchors] == [spec_of(n).digest for n in (1, 6)]
    for anchor in anchors:
        assert 0 < anchor["low_ms"] < anchor["constant_ms"] < anchor["high_ms"]
    assert {**anchored.constants, "anchors": None} == {**target.constants, "anchors": None}
    assert len(target.anchored([spec_of(2)]).constants["anchors"]) == 1


def test_candidates_are_multiples_of_the_anchor(target: Target) -> None:
    spec = spec_of(2)
    told = {"spec": spec.to_document(), "constant_ms": 50.0}
    anchored = target.anchored([], known=[told])
    found = anchored.measure(spec, budget_s=0.5)
    assert found.details["calibrator"] == f"anchor_{spec.digest[:8]}"
    assert found.details["calibration_constant_ms"] == 50.0
    assert found.value == pytest.approx(50.0, rel=0.3)  # it is timed in turn with itself
    assert found.details["protocol"] == "2"


def test_a_process_keeps_what_it_calibrates_by_whatever_is_timed(target: Target) -> None:
    known = [{"spec": spec_of(2).to_document(), "constant_ms": 1.0}]
    found = target.calibration
    for changes in ({"batch": 2}, {"resolution": (64, 64)}):
        other = replace(target, conditions=replace(CONDITIONS, **changes), details=("params",))
        for one in (other, other.anchored([], known=known)):
            assert one.calibration.checks is found.checks
            assert one.calibration.prepared is found.prepared
    (anchor,) = target.anchored([], known=known).calibration.anchors
    (again,) = replace(target, details=("params",)).anchored([], known=known).calibration.anchors
    assert anchor.ready("fp32") is again.ready("fp32")


def test_constants_of_an_earlier_protocol_are_refused(target: Target) -> None:
    settings = {k: v for k, v in target.constants["settings"].items() if k != "protocol"}
    old = replace(target, constants={**target.constants, "settings": settings})
    with pytest.raises(IncomparableError, match="with another protocol"):
        old.measure(spec_of(1), budget_s=0.1)


@pytest.mark.parametrize(
    ("change", "is_known"),
    [
        ({}, True),
        ({"conditions": asdict(replace(CONDITIONS, batch=2))}, False),
        ({"environment": asdict(replace(capture_environment(), cpu="abacus"))}, False),
        ({"calibration": {"settings": {}, "anchors": [{"constant_ms": 1.0}]}}, False),
        ({"calibration": {"settings": {"protocol": "2"}}}, False),
        ({"calibration": None, "conditions": None}, False),
    ],
    ids=["alike", "other conditions", "elsewhere", "other protocol", "no anchors", "not timed"],
)
def test_an_earlier_studys_anchors_are_taken_where_it_timed_alike(
    change: dict[str, Any], is_known: bool, tmp_path: Path
) -> None:
    environment, anchors = capture_environment(), [{"constant_ms": 1.0}]
    header = {
        "environment": asdict(environment),
        "conditions": asdict(CONDITIONS),
        "calibration": {"settings": {"protocol": "2"}, "anchors": anchors},
        **change,
    }
    found = known_anchors(header, conditions=CONDITIONS, environment=environment)
    assert found == (anchors if is_known else ())
