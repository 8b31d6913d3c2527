"""Parts that convolve or pool: what passes by them, where their steps lie, how they start."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from archbench.models import ArchSpec, build, count
from archbench.models.layer import AveragePool
from archbench.models.part import Grid, Site, part_of, part_spec
from tests.models.foreign import randomise


def _document(block: dict[str, Any], **stage: Any) -> dict[str, Any]:
    embed = {"kind": "pool", "stride": 2}
    return {
        "resolution": [12, 10],
        "num_classes": 4,
        "stages": [{"embed": embed, "block": block, "dim": 8, "depth": 1, **stage}],
        "head": {},
    }


@pytest.mark.filterwarnings("ignore:.*torch.jit.trace:FutureWarning")
@pytest.mark.filterwarnings("ignore:.*torch.jit.trace:DeprecationWarning")
@pytest.mark.parametrize("sides", [(3, 5, 1), (3, 2, 1), (5, 2, 2), (2, 2, 0), (4, 4, 0)], ids=str)
def test_average_pooling_computes_the_same_traced(sides: tuple[int, int, int]) -> None:
    module = AveragePool(*sides).eval()
    for grid in ((7, 9), (8, 16), (18, 33), (13, 5)):
        images = torch.randn(2, 3, *grid)
        traced = torch.jit.trace(module, images, check_trace=False)
        expected = F.avg_pool2d(images, *sides, ceil_mode=True)
        torch.testing.assert_close(traced(images), expected)
        assert torch.equal(module(images), expected)


@pytest.mark.parametrize(
    "block",
    [
        {"kind": "conv", "expansion": 2},
        {"kind": "bottleneck"},
        {"kind": "inverted_bottleneck", "squeeze": 0.5},
    ],
    ids=str,
)
def test_class_tokens_pass_by_a_convolutional_layer(block: dict[str, Any]) -> None:
    site = Site(grid=Grid(3, 4), incoming_dim=8, dim=8, class_tokens=2)
    module = part_of("block", block, place="").resolved(site).module(site).eval()
    randomise(module)
    x = torch.randn(2, 14, 8)
    with torch.no_grad():
        y, map_alone = module(x, site.grid), module(x[:, 2:], site.grid)
    assert torch.equal(y[:, :2], x[:, :2])
    torch.testing.assert_close(y[:, 2:], map_alone)
    assert not torch.allclose(y[:, 2:], x[:, 2:])


def test_class_tokens_need_attention_in_one_layer_of_their_stage_alone() -> None:
    attending = _document(
        {"kind": "vit", "num_heads": 2}, class_tokens=1, depth=2, layers={0: {"kind": "conv"}}
    )
    assert ArchSpec.from_document(attending).resolved().stages[0].tokens == 31


@pytest.mark.parametrize(
    ("block", "macs"),
    [
        ({}, 9 * 8 * 8),
        ({"depthwise": True, "kernel": 5}, 25 * 8 + 8 * 8),
        ({"expansion": 2}, 2 * 8 * 16 + 9 * 16 * 16),
        ({"expansion": 2, "depthwise": True}, 2 * 8 * 16 + 9 * 16),
    ],
)
def test_the_forms_of_the_convolutional_block_cost(block: dict[str, Any], macs: int) -> None:
    spec = ArchSpec.from_document(_document({"kind": "conv", **block}))
    assert count(spec).stages[0].blocks[0].macs == 30 * macs


def test_a_bottleneck_takes_its_step_in_the_middle() -> None:
    network = build("resnet_50")
    branch = network.stages[2].embed.branch
    assert [branch[i].conv.stride for i in (0, 2, 4)] == [(1, 1), (2, 2), (1, 1)]
    assert isinstance(network.stages[2].blocks[0].bottleneck.shortcut, nn.Identity)


def test_convolutions_of_resnet_start_by_their_outputs() -> None:
    weight = build("resnet_50", seed=0).get_parameter(
        "stages.1.blocks.0.bottleneck.branch.2.conv.weight"
    )
    assert float(weight.detach().std()) == pytest.approx((2 / (9 * 64)) ** 0.5, rel=0.02)


def test_a_window_beyond_the_map_averages_what_lies_on_it() -> None:
    site = Site(grid=Grid(3, 5), incoming_dim=1, dim=1)
    pool = part_spec("embed", "pool")(stride=2).resolved(site)
    x = torch.arange(15.0).reshape(1, 1, 3, 5)
    pooled = pool.module(site)[0](x)
    assert tuple(pooled.shape[-2:]) == pool.outgoing(site.grid) == (2, 3)
    assert pooled[0, 0].tolist() == [[3.0, 5.0, 6.5], [10.5, 12.5, 14.0]]


@pytest.mark.parametrize(("wanted", "stride"), [(4.6, 4), (3.0, 4), (2.1, 2), (1.14, 1), (0.3, 1)])
def test_the_stem_of_resnet_takes_the_nearest_stride(wanted: float, stride: int) -> None:
    stem = part_spec("embed", "resnet_stem")().with_stride_near(wanted)
    assert stem.stride == stride
    site = Site(grid=Grid(21, 16), incoming_dim=3, dim=8)
    leaving = stem.module(site)(torch.zeros(1, 3, 21, 16)).shape[-2:]
    assert tuple(leaving) == stem.outgoing(site.grid)
