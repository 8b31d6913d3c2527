"""A small network and spaces over it."""

import pytest

from archbench.space import SearchSpace

NETWORK = """\
resolution: 32
num_classes: 10
stages:
  - embed: {kind: conv, kernel: 4, stride: 4, padding: 0, norm: layer}
    block: {kind: cvt, head_dim: 16, kv_stride: 2, mlp_ratio: 2}
    dim: 32
    depth: 1
  - embed: {kind: conv, kernel: 3, stride: 2, padding: 1, norm: layer}
    block: {kind: levit, key_dim: 16, num_heads: 2, attention_ratio: 2, mlp_ratio: 2}
    dim: 64
    depth: 2
    position: bias
head: {pool: mean, norm: batch, num_classifiers: 1}
proxy: {resolution: 32}
"""


@pytest.fixture
def make():
    """A space over the small network; axes and the like are written at its end."""

    def parse(rest="", **options):
        return SearchSpace(NETWORK + rest, source="small.yaml", **options)

    return parse
