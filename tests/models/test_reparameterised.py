"""Branches that are trained and the one convolution that ships compute and count the same."""

import random
from typing import Any

import pytest
import torch
from torch import nn

from archbench.measure.macs import count_operators
from archbench.models import build, count, fold, published_names
from archbench.models.part import Role
from archbench.models.reparameterised import fused
from tests.models.foreign import randomise, timm_network
from tests.models.parts import Alone, counts, draw

# What the released code computes with its branches fused: parameters, and MACs at 224 px.
SHIPPED = {
    "mobileone_s0": (2_078_504, 275_110_400),
    "mobileone_s1": (4_764_840, 825_057_024),
    "mobileone_s4": (14_838_352, 2_979_269_760),
}


@pytest.mark.parametrize("groups", [1, 2, 6], ids=["dense", "grouped", "depthwise"])
@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("stride", [1, 2])
def test_one_convolution_is_the_sum_of_its_branches(groups: int, kernel: int, stride: int) -> None:
    torch.manual_seed(0)
    form: dict[str, Any] = {"groups": groups, "stride": stride, "dtype": torch.float64}
    branches: list[nn.Module] = [
        nn.Conv2d(6, 6, size, padding=size // 2, bias=size > 1, **form) for size in (kernel, 3, 1)
    ]
    if stride == 1:
        branches += [nn.BatchNorm2d(6, dtype=torch.float64), nn.Identity()]
    network = nn.ModuleList(branches).eval()
    randomise(network)
    x = torch.randn(2, 6, 7, 5, dtype=torch.float64)
    expected = torch.stack([branch(x) for branch in network]).sum(dim=0)
    torch.testing.assert_close(fused(branches)(x), expected)


@pytest.mark.parametrize("kind", ["mobileone", "repvit"])
@pytest.mark.parametrize("role", ["embed", "block"])
def test_what_ships_counts_as_its_arithmetic_says(role: Role, kind: str) -> None:
    for seed in range(6):
        found = draw(role, kind, random.Random(seed))
        network = fold(Alone(found))
        shipped = counts(count_operators(network, torch.randn(found.shape(1))))
        said = counts(found.part.deployed_count(found.site))
        assert shipped[1:] == said[1:]
        assert shipped[0] == said[0] or kind == "repvit"  # whose MLPs have norms to fold
        assert not any(isinstance(layer, nn.BatchNorm2d) for layer in network.modules())


@pytest.mark.parametrize("name", SHIPPED)
def test_a_network_ships_as_its_paper_counts_it(name: str) -> None:
    counted = count(name)
    assert (counted.params, counted.macs) == SHIPPED[name]
    with torch.device("meta"):
        network = fold(build(name))
    assert sum(parameter.numel() for parameter in network.parameters()) == counted.params


def test_repvit_ships_with_the_parameters_of_timm() -> None:
    theirs = timm_network("repvit_m0_9")
    theirs.fuse()  # type: ignore[operator]
    with torch.device("meta"):
        network = fold(build("repvit_m0_9"))
    number = [sum(p.numel() for p in one.parameters()) for one in (theirs, network)]
    assert number == [5_067_056, 5_067_056]


def test_other_networks_count_in_training_as_they_ship() -> None:
    several = {name for name in published_names() if count(name) != count(name, training=True)}
    assert {name.split("_")[0] for name in several} == {"mobileone", "repvit"}
