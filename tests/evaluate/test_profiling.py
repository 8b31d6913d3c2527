"""A profile holds exact counts, stage by stage, and latencies with their conditions."""

from __future__ import annotations

import pytest

from archbench.errors import SpecError, UsageError
from archbench.evaluate.profile import profile
from tests.evaluate.toy import SPEC


def test_stages_and_head_add_up() -> None:
    for model in profile(["levit_128s", "cvt_13"], latency=False).document()["models"]:
        for what in ("params", "macs", "activations"):
            assert sum(stage[what] for stage in model["stages"]) == model[what]
        for kind, macs in model["work"].items():
            assert sum(stage["work"][kind] for stage in model["stages"]) == macs
        assert sum(model["work"].values()) == model["macs"]


def test_resolution_is_that_asked_for() -> None:
    (model,) = profile("levit_128s", latency=False, resolution=(160, 224)).models
    assert tuple(model.network.resolution) == (160, 224)
    assert model.counts["stages"][0]["grid"] == [10, 14]


def test_latency_stands_for_each_batch_in_order() -> None:
    (model,) = profile(SPEC, batches=(1, 2), devices=("cpu",)).models
    assert [latency.conditions.batch for latency in model.latency] == [1, 2]
    assert all(latency.conditions.resolution == (16, 16) for latency in model.latency)
    assert all(latency.value is not None for latency in model.latency)


def test_no_network_is_refused() -> None:
    with pytest.raises(UsageError, match="no network to profile"):
        profile([], latency=False)


def test_a_resolution_that_leaves_no_map_is_refused() -> None:
    with pytest.raises(SpecError):
        profile("cvt_13", latency=False, resolution=1)


def test_forms_are_raced_once_and_kept() -> None:
    def raced() -> object:
        (found,) = profile(SPEC, devices=["cpu"], resolution=40).models
        return found.latency[0].details["forms_raced"]

    assert raced()
    assert raced() == 0
