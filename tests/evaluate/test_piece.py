"""The pieces of a network: complete, runnable alone, equal where their cost is."""

import random
from dataclasses import replace
from typing import Any

import pytest
import torch

from archbench.evaluate.piece import family, pieces
from archbench.models import as_spec, count
from archbench.models.arithmetic import total
from archbench.models.catalogue import published
from tests.evaluate.toy import SPEC
from tests.models.parts import random_spec


@pytest.mark.parametrize("seed", range(20))
def test_pieces_are_the_whole_network_and_run_alone(seed: int) -> None:
    spec = random_spec(random.Random(seed))
    found = pieces(spec)
    assert total(*(piece.work for piece in found)) == count(spec).total
    for piece in found:
        with torch.inference_mode():
            output = piece.build().eval()(torch.randn(2, *piece.shape))
        assert torch.isfinite(output).all(), piece.place


def test_equal_blocks_have_one_key() -> None:
    found = pieces(published("levit_128s"))
    assert len(found) == 3 + 2 + 3 + 4 + 1
    assert len({piece.key for piece in found}) == 3 + 3 + 1


def test_drop_path_changes_no_key() -> None:
    spec = published("levit_128s")
    dropped = replace(spec, stages=tuple(replace(s, drop_path=0.3) for s in spec.stages))
    assert [p.key for p in pieces(dropped)] == [p.key for p in pieces(spec)]


@pytest.mark.parametrize(
    "changed",
    [
        {**SPEC, "resolution": 32},
        {**SPEC, "stages": [{**SPEC["stages"][0], "dim": 32}]},
        {**SPEC, "stages": [{**SPEC["stages"][0], "position": "none"}]},
    ],
    ids=["resolution", "dim", "position"],
)
def test_what_changes_the_cost_changes_the_key(changed: dict[str, Any]) -> None:
    before, after = (pieces(as_spec(document)) for document in (SPEC, changed))
    assert before[1].key != after[1].key


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("levit_128s", "levit"),
        ("cvt_13", "cvt"),
        ("deit_tiny", "cvt"),
        ("resnet_50", "convolution"),
        ("graft_2_6", "mixed"),
    ],
)
def test_family_is_that_of_most_of_the_work(name: str, kind: str) -> None:
    assert family(published(name)) == kind
