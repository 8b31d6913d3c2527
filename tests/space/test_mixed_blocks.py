"""Blocks of many papers beside one another in one space: drawn, built and counted."""

import random

import pytest
import torch

from archbench.measure.macs import count_operators
from archbench.models import build, count
from archbench.models.deployment import deployment_error, fold
from archbench.space import SearchSpace

SPACE = """\
resolution: 64
num_classes: 10
stages:
  - embed: {kind: conv, kernel: 4, stride: 4, padding: 0, norm: layer}
    block: {kind: convnext}
    dim: 24
    depth: 2
  - embed: {kind: convnext}
    block: {kind: edgenext, num_heads: 4}
    dim: 32
    depth: 1
  - embed: {kind: repvit}
    block: {kind: repvit, squeeze: 0.25}
    dim: 64
    depth: 2
head: {pool: mean, norm: pooled_layer, num_classifiers: 1}
proxy: {resolution: 64}
axes:
  stages[0].embed:
    - {kind: conv, kernel: 4, stride: 4, padding: 0, norm: layer, epsilon: 1.0e-6}
    - {kind: mobileone, separable: false, stride: 4}
    - {kind: conv_stem, num_convs: 2}
  stages[1].embed:
    - {kind: convnext}
    - {kind: shrink_attention, key_dim: 8}
    - {kind: mobileone, num_branches: 2}
    - {kind: shvit}
  stages[2].embed:
    - {kind: repvit}
    - {kind: conv, kernel: 3, stride: 2}
    - {kind: inverted_bottleneck, expansion: 4, norm: last}
    - {kind: inverted_bottleneck, expansion: 2, fused: true}
  stages[each].block:
    - {kind: levit, key_dim: 8}
    - {kind: cvt, head_dim: 8}
    - {kind: convnext}
    - {kind: edgenext, num_heads: 4}
    - {kind: mobileone, num_branches: 2}
    - {kind: repvit, squeeze: 0.25}
    - {kind: shvit}
    - {kind: efficientvit, head_dim: 8}
    - {kind: inverted_bottleneck, expansion: 3, squeeze: 0.25}
    - {kind: mobile_mqa, num_heads: 4, head_dim: 16}
  stages[each].block.near_kernel: [1, 3, 5]
  stages[each].block.partial_ratio: [0.125, 0.214, 0.5]
  stages[each].block.start_kernel: [0, 3, 5]
  stages[each].block.kv_stride: [1, 2]
  stages[each].block.groups: [2, 4]
  stages[each].block.fourier_position: [true, false]
  stages[each].block.kernel: [3, 7]
  stages[each].depth: {from: 1, to: 3}
  head.norm: [layer, pooled_layer, batch]
require:
  - macs <= 60e6
"""
KINDS = {
    *("levit", "cvt", "convnext", "edgenext", "mobileone", "repvit"),
    *("shvit", "efficientvit", "inverted_bottleneck", "mobile_mqa"),
}


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    return SearchSpace(SPACE, source="mixed.yaml")


def test_candidates_mix_all_kinds(space: SearchSpace) -> None:
    draw = random.Random(0)
    drawn = [space.sample_feasible(draw) for _ in range(200)]
    specs = [space.decode(choices) for choices in drawn if choices is not None]
    assert len(specs) == 200
    kinds = [{block.kind for stage in s.resolved().stages for block in stage.blocks} for s in specs]
    assert set.union(*kinds) == KINDS
    assert any(len(found) == 3 for found in kinds)
    assert all(count(spec).macs <= 60e6 for spec in specs)


@pytest.mark.parametrize("seed", range(10))
def test_a_candidate_counts_and_ships_as_it_says(space: SearchSpace, seed: int) -> None:
    choices = space.sample_feasible(random.Random(seed))
    assert choices is not None
    spec = space.decode(choices)
    network, images = build(spec, seed=0).eval(), torch.randn(1, 3, 64, 64)
    built, said = count_operators(network, images), count(spec, training=True)
    assert (built.params, built.macs) == (said.params, said.macs)
    assert built.activations == said.activations
    assert deployment_error(network, fold(network), images) < 1e-5
