"""The closed-form count of random mixtures equals fvcore's count of the built network."""

from __future__ import annotations

import random

import pytest
import torch

from archbench.measure.macs import count_operators
from archbench.models import build, count
from tests.models.parts import counts
from tests.models.specs import random_spec


@pytest.mark.parametrize("seeds", [range(250), range(250, 500)], ids=["0-249", "250-499"])
def test_both_counts_agree_on_random_specs(seeds: range) -> None:
    for seed in seeds:
        spec = random_spec(random.Random(seed))
        built = count_operators(build(spec).eval(), torch.zeros(1, 3, *spec.resolution))
        assert counts(built) == counts(count(spec)), seed


@pytest.mark.parametrize(
    "name", ["ceit_tiny", "cvt_13", "deit_tiny_distilled", "graft_1_9", "levit_128s", "levit_384"]
)
def test_both_counts_agree_on_published_networks(name: str) -> None:
    built = count_operators(build(name).eval(), torch.zeros(1, 3, 224, 224))
    assert counts(built) == counts(count(name))
