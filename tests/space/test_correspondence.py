"""A network is found again in any space that has it, and never mistaken."""

import random

import pytest

from archbench.space import SearchSpace, candidate_changes, choices_for, condition_changes


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    return SearchSpace.load("quickstart")


@pytest.mark.parametrize("seed", range(3))
def test_a_network_is_found_with_and_without_its_values(space: SearchSpace, seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(10):
        choices = space.sample_feasible(rng)
        assert choices is not None
        spec = space.decode(choices)
        assert choices_for(space, spec) == choices
        assert choices_for(space, spec, known=space.values(choices)) == choices


def test_a_network_is_found_where_values_stand_in_another_order(space: SearchSpace) -> None:
    wider = SearchSpace.load("quickstart", overrides=["stages[0].dim=[40, 32, 24, 16, 8]"])
    choices = space.sample_feasible(random.Random(0))
    assert choices is not None
    spec = space.decode(choices)
    found = choices_for(wider, spec, known=space.values(choices))
    assert found is not None
    assert wider.decode(found).digest == spec.digest


def test_a_network_that_a_space_lacks_is_not_found(space: SearchSpace) -> None:
    narrow = SearchSpace.load("quickstart", overrides=["stages[0].dim=[8, 16]"])
    choices = space.choose(lambda axis: len(axis.values) - 1)
    spec = space.decode(choices)
    assert choices_for(narrow, spec) is None
    assert choices_for(narrow, spec, known=space.values(choices)) is None


def test_changes_are_told_place_by_place(space: SearchSpace) -> None:
    overrides = ["stages[0].dim=[8, 16, 40]", "proxy.rungs=[2, 4]", "limits.latency_ms=3"]
    other = SearchSpace.load("quickstart", overrides=overrides)
    (change,) = candidate_changes(space, other)
    assert str(change) == "axes.stages[0].dim was 8, 16, 24, 32 and is 8, 16, 40"
    assert change.is_loss
    assert [str(change) for change in condition_changes(space, other)] == [
        "limits.latency_ms was nothing and is 3",
        "proxy.rungs was [3, 4, 8] and is [2, 4]",
    ]
    assert candidate_changes(space, space) == condition_changes(space, space) == []
