"""The catalogue, built again and held against its expectations."""

from __future__ import annotations

from dataclasses import replace

import pytest

from archbench.evaluate.catalogue_check import Rebuilt, check_document, rebuild
from archbench.models import ablation_names, published_names
from archbench.models.catalogue import Released


@pytest.fixture(scope="module")
def catalogue() -> tuple[Rebuilt, ...]:
    """All of it, without a forward pass."""
    return rebuild(most_macs=0)


def test_every_network_has_the_counts_that_are_expected(catalogue: tuple[Rebuilt, ...]) -> None:
    assert [entry.name for entry in catalogue] == [*published_names(), *ablation_names()]
    assert [fault for entry in catalogue for fault in entry.faults] == []
    assert not any(entry.counted for entry in catalogue)


def test_every_difference_from_a_paper_has_its_reason(catalogue: tuple[Rebuilt, ...]) -> None:
    models = check_document(catalogue)["models"]
    unexplained = [
        model["name"]
        for model in models
        for difference in model["difference"].values()
        if difference and difference["kind"] == "differs" and not model["paper"]["reason"]
    ]
    assert unexplained == []


def test_no_reason_is_given_without_a_difference(catalogue: tuple[Rebuilt, ...]) -> None:
    models = check_document(catalogue)["models"]
    kinds = {
        model["name"]: {entry["kind"] for entry in model["difference"].values() if entry}
        for model in models
        if model["paper"]["reason"] and model["family"] != "graft"
    }
    assert [name for name, found in kinds.items() if "differs" not in found] == []


def test_small_networks_are_counted_by_fvcore_too() -> None:
    (small, large) = rebuild(["levit_128s/a2", "levit_128"], most_macs=3 * 10**8)
    assert small.counted is not None
    assert (small.params, small.counted.macs) == (7_392_170, 274_773_344)
    assert large.counted is None


def test_every_two_counts_that_differ_are_a_fault() -> None:
    (good,) = rebuild(["levit_128s/a2"])
    assert good.counted is not None
    assert good.faults == ()
    assert replace(good, params=1).faults == ("the built network has 1 parameters, not 7,392,170",)
    assert replace(good, released=Released(7_392_170, 2)).faults == (
        "the released code computes 2 MACs, not 274,773,344",
    )
    wrong = replace(good, counted=replace(good.counted, macs=3))
    assert wrong.faults == ("fvcore computes 3 MACs, not 274,773,344",)
    assert check_document([good])["agrees"]
    assert not check_document([good, wrong])["agrees"]
