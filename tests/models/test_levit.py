"""LeViT without batch norms: row A3 of its paper's table 5, as we read it."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from archbench.models import build
from archbench.models.blocks.levit import Spec
from archbench.models.catalogue import published
from archbench.models.part import Grid, Site
from archbench.models.spec import ArchSpec


@pytest.fixture(scope="module")
def spec() -> ArchSpec:
    return published("levit_128s/a3")


def test_only_the_stem_keeps_batch_norms(spec: ArchSpec) -> None:
    network = build(spec)
    with_batch_norm = [n for n, m in network.named_modules() if isinstance(m, nn.BatchNorm1d)]
    assert not with_batch_norm
    maps = [n for n, m in network.named_modules() if isinstance(m, nn.BatchNorm2d)]
    assert maps == [f"stages.0.embed.{i}.norm" for i in (0, 2, 4, 6)]


def test_no_branch_starts_as_nothing(spec: ArchSpec) -> None:
    zero = [
        name
        for name, parameter in build(spec).named_parameters()
        if name.endswith("weight") and not bool(parameter.any())
    ]
    assert not zero


def test_a_block_is_two_pre_norm_branches() -> None:
    torch.manual_seed(0)
    site = Site(grid=Grid(2, 3), incoming_dim=8, dim=8)
    block = Spec(key_dim=4, num_heads=1, norm="layer").resolved(site).module(site)
    state = block.state_dict()
    x = torch.randn(2, 6, 8)
    q, k, v = _linear(F.layer_norm(x, [8]), state, "attention.query_key_value").split([4, 4, 8], -1)
    attended = (q @ k.mT / 2).softmax(-1) @ v
    y = x + _linear(F.hardswish(attended), state, "attention.projection")
    hidden = F.hardswish(_linear(F.layer_norm(y, [8]), state, "mlp.0"))
    torch.testing.assert_close(block(x, Grid(2, 3)), y + _linear(hidden, state, "mlp.2"))


def _linear(x: Tensor, state: dict[str, Tensor], name: str) -> Tensor:
    return x @ state[f"{name}.weight"].mT + state[f"{name}.bias"]
