"""A network with narrower stages is the same network otherwise."""

from dataclasses import replace

import pytest

from archbench.errors import UsageError
from archbench.models import ArchSpec, build, count, published_names
from archbench.models.catalogue import published
from archbench.models.part import Grid
from archbench.models.rewrite import Sides, proxy, scaled, sides_like


def test_heads_that_divide_the_width_get_narrower() -> None:
    small = scaled(published("cvt_13"), 0.25)
    assert [stage.dim for stage in small.stages] == [16, 48, 96]
    assert [stage.blocks[0].num_heads for stage in small.resolved().stages] == [1, 3, 6]
    assert {stage.block.head_dim for stage in small.stages} == {16}  # type: ignore[union-attr]


def test_heads_with_keys_of_their_own_get_fewer() -> None:
    small = scaled(published("levit_128s"), 0.5)
    assert [stage.dim for stage in small.stages] == [64, 128, 192]
    assert [stage.block.num_heads for stage in small.stages] == [2, 3, 4]  # type: ignore[union-attr]
    assert {stage.block.key_dim for stage in small.stages} == {16}  # type: ignore[union-attr]
    assert [stage.depth for stage in small.stages] == [2, 3, 4]


def test_no_head_and_no_width_vanishes() -> None:
    small = scaled(published("levit_128s"), 0.001)
    assert [stage.dim for stage in small.stages] == [8, 8, 8]
    assert {stage.block.num_heads for stage in small.stages} == {1}  # type: ignore[union-attr]


@pytest.mark.parametrize("scale", [0.25, 0.4, 0.5, 2.0])
@pytest.mark.parametrize("name", ["levit_128s", "levit_384", "cvt_13", "cvt_w24", "deit_tiny"])
def test_published_networks_stay_legal(name: str, scale: float) -> None:
    counted = count(scaled(published(name), scale))
    assert (counted.params < count(name).params) == (scale < 1)


def test_every_published_network_can_be_a_narrow_proxy() -> None:
    for name in published_names():
        small = proxy(published(name), resolution=64, num_classes=10, stem="keep_grid", scale=0.25)
        assert count(small).params < count(name).params / 4


def test_scaling_by_one_is_the_network_itself() -> None:
    spec = published("cvt_13")
    assert scaled(spec, 1.0).digest == spec.digest
    assert proxy(spec, resolution=224, num_classes=1000, scale=1.0).digest == spec.digest


def test_a_proxy_as_is_keeps_the_stem() -> None:
    spec = proxy(published("levit_128s"), resolution=64, num_classes=10, stem="as_is")
    assert spec.stages == published("levit_128s").stages


def test_layers_that_differ_are_scaled_too() -> None:
    document = published("levit_128s").to_document()
    document["stages"][0]["layers"] = {1: {"num_heads": 8}}
    small = scaled(ArchSpec.from_document(document), 0.5)
    assert [b.num_heads for b in small.resolved().stages[0].blocks] == [2, 4]  # type: ignore[union-attr]
    assert build(small, seed=0) is not None


@pytest.mark.parametrize("scale", [0, -1, float("nan"), float("inf")])
def test_what_is_no_scale_is_refused(scale: float) -> None:
    with pytest.raises(UsageError, match="is not a scale; use a number above 0"):
        scaled(published("cvt_13"), scale)


def test_sides_are_in_proportion_and_whole_strides_of_the_trained_stem() -> None:
    sides = sides_like(published("levit_128s"), trained=64, stem="keep_grid")
    assert sides == Sides(base=224, trained=64, step=4)
    assert [sides.of(own) for own in (128, 160, 192, 224)] == [36, 44, 56, 64]
    own = sides_like(published("levit_128s"), trained=224, stem="keep_grid")
    assert [own.of(side) for side in (50, 127, 224)] == [50, 127, 224]


@pytest.mark.parametrize("name", ["levit_128s", "cvt_13", "deit_tiny", "resnet_50"])
def test_the_stem_is_trained_alike_at_every_side(name: str) -> None:
    base = published(name)
    sides = sides_like(base, trained=64, stem="keep_grid")
    trained = proxy(base, resolution=64, num_classes=10)
    share = _first_grid(trained) / _first_grid(base)
    for own in (96, 128, 160, 192, 224):
        target = replace(base, resolution=Grid(own, own))
        found = proxy(target, resolution=sides, num_classes=10)
        assert found.stages == trained.stages
        assert _first_grid(found) == pytest.approx(share * _first_grid(target), abs=0.75)


def _first_grid(spec: ArchSpec) -> int:
    return spec.resolved().stages[0].grid.height
