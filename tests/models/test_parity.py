"""The same weights in timm's LeViT and transformers' CvT give the same outputs, in training too."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from archbench.models import build, load_weights
from archbench.models.catalogue import published
from archbench.models.layer import DropPath
from tests.models.foreign import Logits, timm_network, transformers_cvt

TOLERANCE = 1e-5


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("name", ["levit_128s", "levit_192", "levit_384"])
@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
def test_levit_equals_timm(name: str, training: bool, tmp_path: Path) -> None:
    theirs = timm_network(name)
    ours = build(name)
    _load(ours, theirs, tmp_path)
    theirs.set_distilled_training(True)  # type: ignore[operator]
    assert _difference(ours, theirs, training=training, fixed_size=True) < TOLERANCE


@pytest.mark.parametrize("depth", [[1, 2, 10], [1, 2, 3]], ids=str)
@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
def test_cvt_equals_transformers(depth: list[int], training: bool, tmp_path: Path) -> None:
    theirs = transformers_cvt(depth)
    ours = build(_cvt_document(depth))
    _load(ours, theirs, tmp_path)
    assert _difference(ours, Logits(theirs), training=training, fixed_size=False) < TOLERANCE


def _load(ours: nn.Module, theirs: nn.Module, folder: Path) -> None:
    torch.save(theirs.state_dict(), folder / "theirs.pth")
    load_weights(ours, folder / "theirs.pth")
    for module in ours.modules():
        if isinstance(module, DropPath):
            module.probability = 0.0


def _difference(ours: nn.Module, theirs: nn.Module, *, training: bool, fixed_size: bool) -> float:
    # Batch statistics of a few alike images magnify rounding, so training compares in float64.
    dtype = torch.float64 if training else torch.float32
    side = 224 if fixed_size else 96
    images = torch.randn(3, 3, side, side, dtype=dtype)
    with torch.no_grad():
        mine = ours.to(dtype).train(training)(images)
        yours = theirs.to(dtype).train(training)(images)
    pairs = zip(_outputs(mine), _outputs(yours), strict=True)
    return max(float((a - b).abs().max() / b.abs().max()) for a, b in pairs)


def _outputs(result: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return result if isinstance(result, tuple) else (result,)


def _cvt_document(depth: list[int]) -> dict[str, object]:
    document = published("cvt_13").to_document()
    for stage, number in zip(document["stages"], depth, strict=True):
        stage["depth"] = number
    return document
