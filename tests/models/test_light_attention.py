"""Linear and single-head attention: what they compute, hand on to heirs, and stand beside."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from archbench.models import ArchSpec, build, fold
from archbench.models.blocks import efficientvit, shvit
from archbench.models.blocks.efficientvit import linear_attention
from archbench.models.layer import DropPath
from archbench.models.part import Grid, Site
from archbench.models.weights.inherit import inherit
from tests.models.foreign import randomise

GRID = Grid(5, 3)
SITE = Site(grid=GRID, incoming_dim=24, dim=24, drop_path=0.2)


def heads(scale: float = 1.0) -> tuple[Tensor, ...]:
    """Queries, keys and values (B, h, d, N)."""
    torch.manual_seed(0)
    return tuple(scale * torch.randn(2, 3, 4, 15) for _ in range(3))


def test_linear_attention_is_that_of_all_pairs_of_tokens() -> None:
    q, k, v = heads()
    pairs = F.relu(q).transpose(-2, -1) @ F.relu(k)  # (B, h, T, S)
    shares = (pairs / pairs.sum(dim=-1, keepdim=True)).nan_to_num()  # of no query that is 0
    expected = v @ shares.transpose(-2, -1)
    torch.testing.assert_close(linear_attention(q, k, v), expected)


def test_a_query_that_is_nowhere_positive_gets_zeros_and_gradients() -> None:
    q, k, v = (one.requires_grad_() for one in heads())
    y = linear_attention(q - 100, k, v)
    y.sum().backward()
    assert not y.any()
    assert all(bool(torch.isfinite(one.grad).all()) for one in (q, k, v) if one.grad is not None)


@pytest.mark.parametrize("precision", [torch.float16, torch.bfloat16], ids=str)
def test_sums_beyond_fp16_are_taken_in_fp32(precision: torch.dtype) -> None:
    q, k, v = heads(scale=400.0)  # sums are beyond 65504
    expected = linear_attention(q, k, v)
    y = linear_attention(*(one.to(precision) for one in (q, k, v)))
    assert y.dtype == precision
    torch.testing.assert_close(y.float(), expected, rtol=0.02, atol=4.0)


def test_mixed_precision_leaves_its_sums_in_fp32() -> None:
    torch.manual_seed(0)
    attention = efficientvit.Spec(head_dim=4).resolved(SITE).module(SITE).attention.eval()
    attention.query_key_value.weight.data.mul_(1000)
    x = torch.randn(1, 24, *GRID)
    with torch.inference_mode():
        expected = attention(x)
        with torch.autocast("cpu", torch.float16):
            y = attention(x)
    torch.testing.assert_close(y.float(), expected, rtol=0.02, atol=0.02 * float(expected.max()))


def test_without_a_second_scale_there_are_half_as_many_heads() -> None:
    specs = [efficientvit.Spec(head_dim=4, near_kernel=kernel).resolved(SITE) for kernel in (1, 5)]
    inputs = [spec.module(SITE).attention.projection.conv.in_channels for spec in specs]
    assert inputs == [24, 48]


def test_the_first_channels_attend_and_the_others_pass_by() -> None:
    torch.manual_seed(0)
    spec = shvit.Spec(partial_ratio=0.25, key_dim=4, activation="none").resolved(SITE)
    attention = spec.module(SITE).attention.eval()
    randomise(attention)
    attention.projection = nn.Identity()
    x = torch.randn(2, GRID.tokens, 24)
    y = attention(x)
    assert torch.equal(y[..., 6:], x[..., 6:])
    normed = F.group_norm(x[..., :6].transpose(1, 2), 1, *attention.norm.parameters())
    q, k, v = attention.query_key_value(normed.transpose(1, 2)).split([4, 4, 6], dim=-1)
    expected = ((q @ k.transpose(1, 2)) / 2).softmax(dim=-1) @ v
    torch.testing.assert_close(y[..., :6], expected, rtol=1e-4, atol=1e-5)


def test_a_block_without_attention_is_one_whatever_its_keys() -> None:
    without = shvit.Spec(partial_ratio=0)
    assert without.resolved(SITE) == replace(without, key_dim=7).resolved(SITE)
    assert without.resolved(SITE).module(SITE).attention is None


def test_each_branch_can_be_dropped() -> None:
    for spec, number in ((shvit.Spec(), 2), (efficientvit.Spec(head_dim=4), 2)):
        drops = [m for m in spec.resolved(SITE).module(SITE).modules() if isinstance(m, DropPath)]
        assert [drop.probability for drop in drops] == [0.2] * number


def test_a_residual_convolution_is_deployed_as_one() -> None:
    block = shvit.Spec().resolved(SITE).module(SITE).eval()
    randomise(block)
    assert type(fold(block).local) is nn.Conv2d


def test_an_heir_s_attending_channels_are_of_those_that_attended() -> None:
    ancestor = build(small_shvit(dim=40), seed=0)
    attention = ancestor.stages[0].blocks[0].attention
    marks = torch.arange(1.0, 11.0)  # of the ten channels that attend
    attention.norm.weight.data.copy_(marks)
    network = build(small_shvit(dim=24), seed=1)
    inherit(network, ancestor=ancestor.state_dict(), ancestor_spec=ancestor.spec)
    found = network.stages[0].blocks[0].attention.norm.weight
    assert set(found.tolist()) < set(marks.tolist())
    assert len(found) == 6


def small_shvit(*, dim: int) -> ArchSpec:
    return ArchSpec.from_document(
        {
            "resolution": 32,
            "num_classes": 5,
            "stages": [
                {
                    "embed": {"kind": "conv_stem", "num_convs": 3, "activation": "relu"},
                    "block": {"kind": "shvit", "partial_ratio": 0.25, "key_dim": 4},
                    "dim": dim,
                    "depth": 1,
                }
            ],
            "head": {"norm": "batch"},
        }
    )
