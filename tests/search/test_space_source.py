"""Candidates of a space: the published networks among them are found, and asked for first."""

from __future__ import annotations

import pytest

from archbench.evaluate import as_spec
from archbench.search.ledger import quiet_optuna
from archbench.search.proposal import Proposer
from archbench.search.sampler import load_sampler
from archbench.space import SearchSpace

_LEVIT = """
base: levit_128s
axes:
  stages[0].dim: [96, 128, 160]
  stages[each].depth: {from: 1, to: 4}
  stages[all].block.mlp_ratio: [1, 2, 4]
"""
_CVT_BY_LAYER = """
base: cvt_13
axes:
  stages[each].layers[each].kv_stride: [1, 2]
  stages[1].layers[each].mlp_ratio: [2, 4]
"""
_LEVIT_BY_LAYER = """
base: levit_192
axes:
  stages[0].dim: [128, 192]
  stages[0].block: [{kind: levit, key_dim: 16}, {kind: levit, key_dim: 32}]
  stages[0].layers[each].attention_ratio: [1, 2]
"""


@pytest.mark.parametrize(
    ("text", "names"),
    [
        pytest.param(_LEVIT, {"levit_128s"}, id="by stage"),
        pytest.param(_CVT_BY_LAYER, {"cvt_13"}, id="by layer"),
        pytest.param(_LEVIT_BY_LAYER, {"levit_192"}, id="heads that follow, and by layer"),
    ],
)
def test_published_networks_of_a_space_are_asked_for_first(text: str, names: set[str]) -> None:
    quiet_optuna()
    space = SearchSpace.parse(text, source="space.yaml", name="space")
    proposer = Proposer(
        space,
        sampler=load_sampler("cost_aware"),
        seed=0,
        directions=list(space.objectives.values()),
    )
    first = [proposer.propose(number) for number in range(len(names) + 1)]
    digests = [found.spec.digest for found in first if found is not None]
    assert set(digests[:-1]) == {as_spec(name).digest for name in names}
    assert digests[-1] not in digests[:-1]
