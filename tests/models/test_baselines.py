"""The same weights in timm's and torchvision's baselines give the same outputs."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from archbench.models import build
from archbench.models.layer import DropPath
from tests.models.test_parity import randomise

TOLERANCE = 1e-5

TIMM_DEIT = {
    "deit_tiny": "deit_tiny_patch16_224",
    "deit_small_distilled": "deit_small_distilled_patch16_224",
    "deit_base_384": "deit_base_patch16_384",
}


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("name", ["deit_tiny", "deit_small_distilled"])
@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
def test_deit_equals_timm(name: str, training: bool) -> None:
    ours, theirs = _deits(name)
    if "distilled" in name:
        theirs.set_distilled_training(True)  # type: ignore[operator]
    assert _difference(ours, theirs, training=training, side=224) < TOLERANCE


def test_deit_equals_timm_at_384() -> None:
    assert _difference(*_deits("deit_base_384"), training=False, side=384) < TOLERANCE


def _deits(name: str) -> tuple[nn.Module, nn.Module]:
    timm = pytest.importorskip("timm")
    theirs = timm.create_model(TIMM_DEIT[name], pretrained=False)
    randomise(theirs)
    ours = build(name)
    ours.load_state_dict(dict(_deit_from_timm(theirs.state_dict())))
    return ours, theirs


def _deit_from_timm(state: dict[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    state = dict(state)
    tokens = [state.pop(name) for name in ("cls_token", "dist_token") if name in state]
    yield "stages.0.class_token", torch.cat(tokens, dim=1)
    yield from renamed(
        state,
        [
            (r"^pos_embed", "stages.0.position"),
            (r"^patch_embed\.proj", "stages.0.embed.conv"),
            (r"^blocks", "stages.0.blocks"),
            (r"norm1", "attention_norm"),
            (r"norm2", "mlp_norm"),
            (r"attn\.qkv", "attention.query_key_value"),
            (r"attn\.proj", "attention.projection"),
            (r"mlp\.fc1", "mlp.0"),
            (r"mlp\.fc2", "mlp.2"),
            (r"^norm", "head.norm"),
            (r"^head\.(weight|bias)", r"head.classifiers.0.\1"),
            (r"^head_dist", "head.classifiers.1"),
        ],
    )


def renamed(state: dict[str, Tensor], rules: list[tuple[str, str]]) -> Iterator[tuple[str, Tensor]]:
    """A state dict under other names: every rule in turn on every name."""
    for name, value in state.items():
        for pattern, replacement in rules:
            name = re.sub(pattern, replacement, name)
        yield name, value


def _difference(ours: nn.Module, theirs: nn.Module, *, training: bool, side: int) -> float:
    # Batch statistics of a few alike images magnify rounding, so training compares in float64.
    dtype = torch.float64 if training else torch.float32
    for module in ours.modules():
        if isinstance(module, DropPath):
            module.probability = 0.0
    images = torch.randn(2, 3, side, side, dtype=dtype)
    with torch.no_grad():
        mine = ours.to(dtype).train(training)(images)
        yours = theirs.to(dtype).train(training)(images)
    if not isinstance(mine, tuple):
        mine, yours = (mine,), (yours,)
    pairs = zip(mine, yours, strict=True)
    return max(float((a - b).abs().max() / b.abs().max()) for a, b in pairs)
