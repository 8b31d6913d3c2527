"""What was learnt for each place of a map comes to a map of another size."""

from __future__ import annotations

import pytest
import torch

from archbench.models.part import Grid
from archbench.models.weights.translation import resized

MAPS = [Grid(7, 7), Grid(14, 14), Grid(20, 9), Grid(1, 5)]


@pytest.mark.parametrize("new", MAPS, ids=str)
@pytest.mark.parametrize("old", MAPS, ids=str)
def test_shape_class_tokens_and_constants_stay(old: Grid, new: Grid) -> None:
    rows = torch.randn(1, 2 + old.tokens, 6)
    found = resized(rows, old=old, new=new)
    assert found.shape == (1, 2 + new.tokens, 6)
    assert torch.equal(found[:, :2], rows[:, :2])
    constant = resized(torch.full((1, old.tokens, 2), 3.0), old=old, new=new)
    torch.testing.assert_close(constant, torch.full((1, new.tokens, 2), 3.0))
    bias = resized(torch.full((3, old.tokens), -2.0), old=old, new=new)
    torch.testing.assert_close(bias, torch.full((3, new.tokens), -2.0))
    if old == new:
        assert torch.equal(found, rows)


@pytest.mark.parametrize("new", [Grid(7, 7), Grid(28, 24)], ids=str)
def test_a_ramp_of_positions_stays_about_one(new: Grid) -> None:
    centres = (torch.arange(14) + 0.5) / 14  # of the places, as shares of the height
    found = resized(centres.repeat_interleave(12)[None, :, None], old=Grid(14, 12), new=new)
    expected = (torch.arange(new.height) + 0.5) / new.height
    map_ = found[0, :, 0].unflatten(0, tuple(new))
    inner = slice(new.height // 6, -(new.height // 6))  # beyond the border nothing is known
    assert (map_[inner] - expected[inner, None]).abs().max() < 5e-3
    assert (map_ - expected[:, None]).abs().max() < 0.03


def test_a_ramp_of_distances_stays_one_from_none_to_the_farthest() -> None:
    values = torch.linspace(0, 1, 14)[:, None] + 10 * torch.linspace(0, 1, 14)[None, :]
    expected = torch.linspace(0, 1, 9)[:, None] + 10 * torch.linspace(0, 1, 24)[None, :]
    found = resized(values.reshape(1, -1), old=Grid(14, 14), new=Grid(9, 24))
    torch.testing.assert_close(found, expected.reshape(1, -1), rtol=0, atol=1e-5)


def test_half_precision_comes_back_as_it_was() -> None:
    values = torch.randn(2, 49).to(torch.bfloat16)
    assert resized(values, old=Grid(7, 7), new=Grid(14, 14)).dtype == torch.bfloat16


def test_positions_are_resized_as_timm_does_it() -> None:
    layers = pytest.importorskip("timm.layers")
    rows = torch.randn(1, 2 + 196, 6)
    theirs = layers.resample_abs_pos_embed(rows, [9, 20], [14, 14], num_prefix_tokens=2)
    torch.testing.assert_close(resized(rows, old=Grid(14, 14), new=Grid(9, 20)), theirs)
