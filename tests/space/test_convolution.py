"""A space may leave attention out of a stage: the convolutional block is one more choice."""

import pytest
import torch

from archbench.models import build
from archbench.models.layer import Attend
from archbench.space import InfeasibleError
from tests.space.test_space import all_networks, digests, names

AXES = """\
axes:
  stages[each].block:
    - {kind: levit, key_dim: 16}
    - {kind: conv, expansion: 2, depthwise: true}
    - {kind: bottleneck}
  stages[each].block.kernel: [3, 5]
  stages[1].position: [bias, none]
"""


@pytest.fixture
def space(make):
    return make(AXES)


def test_a_kernel_is_chosen_only_where_the_block_convolves(space):
    assert names(space) == [
        "stages[0].block",
        "stages[1].block",
        "stages[0].block.kernel",
        "stages[1].block.kernel",
        "stages[1].position",
    ]
    assert space.size() == 4 * 4 * 2 == len(digests(space))


def test_every_mixture_is_enumerated(space):
    assert set(digests(space)) == all_networks(space)


def test_a_position_needs_attention_in_its_stage(space):
    illegal = [choices for choices in space.enumerate() if not space.is_feasible(choices)]
    assert len(illegal) == 4 * 3
    with pytest.raises(InfeasibleError, match=r"stages\[1\]\.position: a stage without attention"):
        space.decode(illegal[0])


def test_a_network_without_attention_builds(space):
    block = names(space)[:2]
    choices = next(
        c for c in space.enumerate() if all(c[n] == 1 for n in block) and space.is_feasible(c)
    )
    network = build(space.decode(choices)).eval()
    assert network(torch.zeros(1, 3, 32, 32)).shape == (1, 10)
    assert not any(isinstance(module, Attend) for module in network.modules())
