"""The same weights in timm's and torchvision's baselines give the same outputs."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from archbench.models import build
from archbench.models.layer import DropPath
from tests.models.foreign import randomise

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


@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
def test_resnet_equals_torchvision(training: bool) -> None:
    torchvision = pytest.importorskip("torchvision")
    theirs = torchvision.models.resnet50(weights=None)
    assert _difference(_resnet(theirs), theirs, training=training, side=97) < TOLERANCE


def test_resnet_equals_timm() -> None:
    timm = pytest.importorskip("timm")
    theirs = timm.create_model("resnet50", pretrained=False)
    assert _difference(_resnet(theirs), theirs, training=False, side=97) < TOLERANCE


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


def _resnet(theirs: nn.Module) -> nn.Module:
    """Ours with their weights, which are made to matter first."""
    randomise(theirs)
    ours = build("resnet_50")
    rules = [
        (r"^layer(\d)\.0\.", r"stages.\1.embed."),
        *((rf"^layer(\d)\.{i}\.", rf"stages.\1.blocks.{i - 1}.bottleneck.") for i in range(1, 6)),
        (r"^(conv|bn)1\.", r"stages.0.embed.0.\1."),
        (r"(conv|bn)1\.", r"branch.0.\1."),
        (r"(conv|bn)2\.", r"branch.2.\1."),
        (r"(conv|bn)3\.", r"branch.4.\1."),
        (r"downsample\.0", "shortcut.conv"),
        (r"downsample\.1", "shortcut.norm"),
        (r"\.bn\.", ".norm."),
        (r"^fc", "head.classifiers.0"),
    ]
    ours.load_state_dict(dict(renamed(theirs.state_dict(), rules)))
    return ours


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
