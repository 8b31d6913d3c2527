"""MobileNets' parts: what their forms cost, how they are folded, and that they mix with others."""

import copy
from typing import Any

import pytest
import torch
from torch import nn

from archbench.errors import SpecError
from archbench.measure.macs import count_operators
from archbench.models import ArchSpec, build, count, deployment_error, fold
from archbench.models.layer import LayerScale
from archbench.models.network import Head
from archbench.models.part import Grid, Site, multiple_of_8, part_of
from archbench.models.rewrite import scaled
from tests.models.foreign import randomise

SITE = Site(grid=Grid(6, 5), incoming_dim=8, dim=8)


def part(role: Any, **fields: Any) -> Any:
    kind = fields.pop("kind", "inverted_bottleneck")
    return part_of(role, {"kind": kind, **fields}, place="part").resolved(SITE)


@pytest.mark.parametrize(
    ("form", "macs", "params"),
    [
        ({"expansion": 2}, 2 * 8 * 16 + 9 * 16, 2 * (16 + 16 + 8)),
        ({"expansion": 2, "start_kernel": 3, "kernel": 0}, 2 * 8 * 16 + 9 * 8, 2 * (8 + 16 + 8)),
        ({"expansion": 2, "start_kernel": 5}, 2 * 8 * 16 + 25 * 8 + 9 * 16, 2 * (8 + 32 + 8)),
        ({"expansion": 2, "kernel": 0}, 2 * 8 * 16, 2 * (16 + 8)),
        ({"expansion": 2, "fused": True}, 9 * 8 * 16 + 16 * 8, 2 * (16 + 8)),
        ({"kernel": 5}, 25 * 8 + 8 * 8, 2 * (8 + 8)),
    ],
    ids=["inverted bottleneck", "ConvNext-like", "ExtraDW", "FFN", "fused", "without expansion"],
)
def test_the_forms_of_the_universal_inverted_bottleneck_cost(
    form: dict[str, Any], macs: int, params: int
) -> None:
    work = part("block", **form).count(SITE)
    assert (work.macs, work.params) == (30 * macs, macs + params)


def test_squeezing_costs_two_layers_for_an_image() -> None:
    plain, squeezed = (part("block", expansion=4, squeeze=s).count(SITE) for s in (0, 0.25))
    assert squeezed.macs - plain.macs == 2 * 32 * 8
    assert squeezed.params - plain.params == 2 * 32 * 8 + 32 + 8


def test_widths_are_rounded_as_mobilenets_do() -> None:
    widths = {1: 8, 12: 16, 18: 24, 20: 24, 72: 72, 88.08: 88, 184.0000001: 184, 36: 40, 27: 32}
    assert {width: multiple_of_8(width) for width in widths} == widths


def test_a_step_needs_a_depthwise_convolution() -> None:
    with pytest.raises(SpecError, match=r"no depthwise convolution takes the step of 2"):
        part("embed", expansion=2, kernel=0)
    assert part("embed", expansion=2, kernel=0, stride=1).outgoing(SITE.grid) == SITE.grid
    assert part("embed", start_kernel=5, kernel=0).outgoing(SITE.grid) == (3, 3)
    with pytest.raises(SpecError, match=r"kernel: there is no convolution to fuse with"):
        part("block", fused=True, kernel=0)


def test_keys_and_values_are_those_of_every_head() -> None:
    heads = part("block", kind="mobile_mqa", num_heads=3, head_dim=4)
    strided = part("block", kind="mobile_mqa", num_heads=3, head_dim=4, kv_stride=2)
    products = 2 * 3 * 30 * 4
    assert heads.count(SITE).macs == 30 * 8 * (12 + 4 + 4 + 12) + 30 * products
    of_keys = 9 * (2 * 9 * 8 + 2 * 8 * 4)  # on a map of 3 x 3
    assert strided.count(SITE).macs == 30 * 8 * (12 + 12) + of_keys + 9 * products
    assert heads.count(SITE).params == 8 * (12 + 4 + 4 + 12) + 2 * 8


def test_attention_of_one_head_is_softmax_attention() -> None:
    spec = part("block", kind="mobile_mqa", num_heads=1, head_dim=4, layer_scale=0.5)
    module = spec.module(SITE).eval()
    randomise(module)
    x = torch.randn(2, 30, 8)
    with torch.no_grad():
        y = module.attention_norm(x)
        scores = module.query(y) @ module.key(y).transpose(1, 2) / 4**0.5
        expected = x + module.output(scores.softmax(dim=-1) @ module.value(y))
        torch.testing.assert_close(module(x, SITE.grid), expected)


def hybrid(**head: Any) -> ArchSpec:
    """A network of all kinds of parts that MobileNets have."""
    bottleneck = {"kind": "inverted_bottleneck", "expansion": 3, "squeeze": 0.25}
    bottleneck |= {"start_kernel": 3, "layer_scale": 1e-5}
    attention = {"kind": "mobile_mqa", "num_heads": 2, "head_dim": 8, "layer_scale": 1e-5}
    stem = {"kind": "conv", "norm": "batch", "activation": "relu"}
    fused = {"kind": "inverted_bottleneck", "fused": True, "expansion": 2, "ends_active": True}
    document = {
        "resolution": 32,
        "num_classes": 5,
        "stages": [
            {"embed": stem, "dim": 8},
            {"embed": fused, "dim": 16},
            {
                "embed": bottleneck,
                "dim": 24,
                "block": bottleneck,
                "depth": 4,
                "layers": {1: attention, 3: {**attention, "kv_stride": 2}},
            },
        ],
        "head": {"norm": "none", "hidden_dim": 48, "hidden_norm": "batch", **head},
    }
    return ArchSpec.from_document(document)


def test_norms_and_factors_are_folded() -> None:
    torch.manual_seed(0)
    network = build(hybrid(), seed=0).eval()
    randomise(network)
    folded = copy.deepcopy(fold(network))  # as what exports it does
    assert deployment_error(network, folded, torch.randn(3, 3, 32, 32)) < 5e-6
    kinds = (nn.BatchNorm1d, nn.BatchNorm2d, LayerScale)
    assert not any(isinstance(module, kinds) for module in folded.modules())


@pytest.mark.parametrize("hidden_norm", [None, "batch", "layer"])
@pytest.mark.parametrize("num_classifiers", [1, 2])
def test_a_head_s_hidden_layer_counts_what_it_runs(
    hidden_norm: str | None, num_classifiers: int
) -> None:
    spec = hybrid(hidden_norm=hidden_norm, num_classifiers=num_classifiers)
    resolved = spec.resolved()
    head = Head(resolved.head, stage=resolved.stages[-1], num_classes=5).eval()
    found = count(spec).head
    params = sum(parameter.numel() for parameter in head.parameters())
    assert found.params == params
    assert found.macs == 24 * 48 + num_classifiers * 48 * 5
    images = torch.zeros(1, 3, 32, 32)
    assert count_operators(build(spec).eval(), images).macs == count(spec).macs


def test_what_a_hidden_layer_would_have_is_nothing_without_one() -> None:
    plain, named = hybrid(hidden_dim=None, hidden_norm=None), hybrid(hidden_dim=None)
    assert plain.digest == named.digest
    written, derived = hybrid(hidden_norm="none", activation="hardswish"), hybrid(hidden_norm=None)
    assert written.digest == derived.digest
    assert "hidden_dim" not in plain.to_document()["head"]
    assert scaled(hybrid(), 0.5).head.hidden_dim == 24
