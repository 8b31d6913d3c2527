"""The catalogue, built again and held against its expectations."""

from typing import Any

import pytest

from archbench.evaluate.catalogue_check import faults, rebuild
from archbench.models import ablation_names, published_names


@pytest.fixture(scope="module")
def catalogue() -> list[dict[str, Any]]:
    """All of it, without a forward pass."""
    models: list[dict[str, Any]] = rebuild(most_macs=0)["models"]
    return models


def test_every_network_has_the_counts_that_are_expected(catalogue: list[dict[str, Any]]) -> None:
    assert [model["name"] for model in catalogue] == [*published_names(), *ablation_names()]
    assert [fault for model in catalogue for fault in model["faults"]] == []
    assert not any(model["fvcore"] for model in catalogue)


def test_a_reason_is_given_where_a_paper_differs_and_only_there(
    catalogue: list[dict[str, Any]],
) -> None:
    kinds = {
        model["name"]: {entry["kind"] for entry in model["difference"].values() if entry}
        for model in catalogue
    }
    reasons = {model["name"]: model["paper"]["reason"] for model in catalogue}
    differing = {name for name, found in kinds.items() if "differs" in found}
    assert {name for name in differing if not reasons[name]} == set()
    explained = {model["name"] for model in catalogue if model["family"] != "graft"}
    assert {name for name in explained if reasons[name]} <= differing


def test_small_networks_are_counted_by_fvcore_too() -> None:
    small, large = rebuild(["levit_128s/a2", "levit_128"], most_macs=3 * 10**8)["models"]
    assert small["built"] == {"params": 7_392_170}
    assert small["fvcore"] == {"params": 7_392_170, "macs": 274_773_344}
    assert large["fvcore"] is None


@pytest.mark.parametrize(
    ("counter", "changed", "fault"),
    [
        ("built", {"params": 1}, "the built network has 1 parameters, not 7,392,170"),
        ("released", {"macs": 2}, "the released code computes 2 MACs, not 274,773,344"),
        ("fvcore", {"macs": 3}, "fvcore computes 3 MACs, not 274,773,344"),
    ],
)
def test_every_two_counts_that_differ_are_a_fault(
    counter: str, changed: dict[str, int], fault: str
) -> None:
    exact = {"params": 7_392_170, "macs": 274_773_344}
    good = {"training": exact, "built": {"params": exact["params"]}, "fvcore": exact}
    good["released"] = None
    assert faults(good) == []
    assert faults({**good, counter: {**exact, **changed}}) == [fault]
