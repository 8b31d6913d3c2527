"""Spaces: which candidates are legal and keep what is required, and how many they are."""

import pickle
import random

import pytest

from archbench.errors import SpaceError
from archbench.models import count
from archbench.space import InfeasibleError, SearchSpace
from tests.space.conftest import NETWORK


def test_a_requirement_that_is_not_met_is_named(make):
    space = make("axes:\n  stages[each].dim: [32, 64]\nrequire:\n  - stages[0].dim < stages[1].dim")
    with pytest.raises(
        InfeasibleError, match=r"the requirement stages\[0\].dim < stages\[1\].dim"
    ) as e:
        space.decode({"stages[0].dim": 1, "stages[1].dim": 0})
    assert e.value.requirement == "stages[0].dim < stages[1].dim"


def test_an_illegal_combination_is_infeasible_and_names_its_place(make):
    space = make("axes:\n  stages[0].dim: [32, 48]\n  stages[0].block.head_dim: [16, 32]")
    with pytest.raises(InfeasibleError, match=r"stages\[0\].block.head_dim: 32 does not divide"):
        space.decode({"stages[0].dim": 1, "stages[0].block.head_dim": 1})
    assert space.feasible().value == 0.75


def test_a_candidate_must_be_legal_as_its_proxy_too(make):
    axes = "axes:\n  stages[0].embed.kernel: [4, 16]\n  stages[0].embed.padding: [0, 6]\n"
    space = SearchSpace(
        NETWORK.replace("{resolution: 32}", "{resolution: 8, stem: as_is}") + axes, source="s.yaml"
    )
    with pytest.raises(InfeasibleError, match=r"at the proxy's 8 px: stages\[0\].embed.kernel: a"):
        space.decode({"stages[0].embed.kernel": 1, "stages[0].embed.padding": 0})
    assert space.is_feasible({"stages[0].embed.kernel": 1, "stages[0].embed.padding": 1})


def test_an_infeasible_error_survives_pickling():
    again = pickle.loads(pickle.dumps(InfeasibleError("no", requirement="macs < 3", help="less")))
    assert (again.requirement, str(again)) == ("macs < 3", "no; less")


def test_requirements_read_quantities_derived_values_and_all_layers(make):
    space = make(
        "axes:\n  stages[0].dim: [32, 64]\n  stages[1].layers[each].mlp_ratio: [1, 2]\n"
        "require:\n  - macs < 10e6\n  - stages[0].block.num_heads == 4\n"
        "  - max(stages[1].layers[all].mlp_ratio) == 1"
    )
    choices = {f"stages[1].layers[{layer}].mlp_ratio": 0 for layer in (0, 1)}
    spec = space.decode({"stages[0].dim": 1, **choices})
    assert count(spec).macs < 10e6
    assert space.feasible().feasible == 1


def test_arithmetic_limits_are_requirements(make):
    space = make("axes:\n  stages[0].dim: [32, 64]\nlimits: {params: 1000, latency_ms: 3}")
    assert space.require == ("params <= 1000",)
    assert space.limits == {"params": 1000, "latency_ms": 3}


def test_the_share_is_exact_where_the_space_is_small(make):
    space = make("axes:\n  stages[each].dim: [32, 64, 96, 128]\nrequire:\n  - stages[0].dim <= 64")
    share = space.feasible()
    assert (share.is_exact, share.samples, share.feasible) == (True, 16, 8)
    assert share.value == share.low == share.high == 0.5
    assert share.excluded == (("stages[0].dim <= 64", 8),)


def test_the_sampled_interval_covers_the_exact_share(make):
    space = make(
        "axes:\n  stages[each].dim: [32, 64, 96, 128]\n  stages[each].depth: [1, 2, 3]\n"
        "require:\n  - stages[0].dim <= stages[1].dim"
    )
    exact = space.feasible().value
    shares = [space.feasible(samples=100, seed=seed) for seed in range(10)]
    assert sum(share.low <= exact <= share.high for share in shares) >= 8
    assert not any(share.is_exact for share in shares)


@pytest.mark.parametrize("samples", [2000, 10])
def test_a_space_without_feasible_candidate_names_what_excludes_them(make, samples):
    space = make(
        "axes:\n  stages[each].dim: [32, 64, 96, 128]\n"
        "require:\n  - params < 10\n  - stages[0].dim < stages[1].dim"
    )
    share = space.feasible(samples=samples)
    assert (share.value, share.excluded[0]) == (0.0, ("params < 10", share.samples))
    with pytest.raises(
        SpaceError, match=r"small.yaml: no candidate .* params < 10 excludes 1\d?[;,]"
    ):
        raise space.infeasible(share)
    assert space.sample_feasible(random.Random(0), tries=5) is None


@pytest.mark.parametrize("samples", [2000, 30])
def test_dead_choices_are_found_and_say_how_sure_that_is(make, samples):
    space = make(
        "axes:\n  stages[each].dim: [32, 64, 96, 128]\n  stages[1].depth: [1, 2, 3, 4]\n"
        "require:\n  - stages[0].dim < stages[1].dim\n  - stages[1].depth != 3"
    )
    dead = space.dead_choices(samples=samples)
    assert {(choice.axis, choice.value) for choice in dead} >= {
        ("stages[0].dim", 128),
        ("stages[1].dim", 32),
        ("stages[1].depth", 3),
    }
    assert {choice.is_certain for choice in dead} == {samples == 2000}


def test_an_axis_that_never_acts_is_dead_for_certain(make):
    space = make(
        "axes:\n  stages[0].dim: {from: 32, to: 3200, step: 32}\n"
        "  stages[1].dim: {from: 32, to: 3200, step: 32}\n"
        "  stages[0].position:\n    values: [bias, none]\n    when: stages[0].dim < 5"
    )
    dead = space.dead_choices(samples=100)
    assert [(choice.value, choice.is_certain) for choice in dead] == [
        ("bias", True),
        ("none", True),
    ]
    assert space.size() == 10_000
