"""The same weights in the networks of other libraries give the same outputs."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from archbench.models import build, deployment_error, load_weights
from archbench.models.layer import DropPath
from tests.models.foreign import Logits, randomise, timm_network, transformers_cvt

TOLERANCE = 1e-5

in_both_modes = pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@in_both_modes
@pytest.mark.parametrize(
    ("name", "theirs", "side"),
    [
        ("levit_128s", "levit_128s", 224),
        ("levit_192", "levit_192", 224),
        ("levit_384", "levit_384", 224),
        ("deit_tiny", "deit_tiny_patch16_224", 224),
        ("deit_small_distilled", "deit_small_distilled_patch16_224", 224),
        ("efficientvit_b0", "efficientvit_b0", 97),
        ("shvit_s1", "shvit_s1", 97),
        ("mobileone_s1", "mobileone_s1", 64),
        ("repvit_m0_9", "repvit_m0_9", 64),
        ("mobilenetv3_small_050", "mobilenetv3_small_050", 96),
        ("mobilenetv4_conv_small_050", "mobilenetv4_conv_small_050", 96),
    ],
)
def test_networks_equal_timm(
    name: str, theirs: str, side: int, training: bool, tmp_path: Path
) -> None:
    network = timm_network(theirs)
    ours = _loaded(name, network, tmp_path)
    if len(ours.head.classifiers) == 2:
        network.set_distilled_training(True)  # type: ignore[operator]
    assert _difference(ours, network, training=training, side=side) < TOLERANCE


@pytest.mark.parametrize(
    ("name", "theirs", "side"),
    [("deit_base_384", "deit_base_patch16_384", 384), ("resnet_50", "resnet50", 97)],
)
def test_larger_networks_equal_timm_in_evaluation(
    name: str, theirs: str, side: int, tmp_path: Path
) -> None:
    network = timm_network(theirs)
    ours = _loaded(name, network, tmp_path)
    assert _difference(ours, network, training=False, side=side) < TOLERANCE


@in_both_modes
def test_resnet_equals_torchvision(training: bool, tmp_path: Path) -> None:
    theirs = pytest.importorskip("torchvision").models.resnet50(weights=None)
    randomise(theirs)
    ours = _loaded("resnet_50", theirs, tmp_path)
    assert _difference(ours, theirs, training=training, side=97) < TOLERANCE


@pytest.mark.parametrize("name", ["mobilenetv3_large_100", "mobilenetv4_hybrid_medium"])
def test_large_mobilenets_equal_timm(name: str, tmp_path: Path) -> None:
    theirs = timm_network(name)
    ours = _loaded(name, theirs, tmp_path)
    # In float32 what is rounded grows to 5e-5 in MobileNetV3-Large, whichever library computes it.
    assert _difference(ours, theirs, training=False, side=96, dtype=torch.float64) < 1e-10


@in_both_modes
def test_cvt_equals_transformers(training: bool, tmp_path: Path) -> None:
    theirs = transformers_cvt([1, 2, 10])
    ours = _loaded("cvt_13", theirs, tmp_path)
    assert _difference(ours, Logits(theirs), training=training, side=96) < TOLERANCE


VIT_PYTORCH = {
    r"^layers\.(\d)\.0\.": r"stages.\1.embed.conv.",
    r"^layers\.(\d)\.1\.": r"stages.\1.embed.norm.",
    r"^layers\.(\d)\.2\.layers\.(\d+)\.": r"stages.\1.blocks.\2.",
    r"\.0\.norm\.": ".attention_norm.",
    r"\.0\.to_q\.net\.0": ".attention.query_map.conv",
    r"\.0\.to_q\.net\.1": ".attention.query_map.norm",
    r"\.0\.to_q\.net\.2": ".attention.query",
    r"\.0\.to_kv\.net\.0": ".attention.key_map.conv",
    r"\.0\.to_kv\.net\.1": ".attention.key_map.norm",
    r"\.0\.to_out\.0": ".attention.projection",
    r"\.1\.net\.0\.": ".mlp_norm.",
    r"\.1\.net\.1\.": ".mlp.0.",
    r"\.1\.net\.4\.": ".mlp.2.",
    r"^to_logits\.2": "head.classifiers.0",
    r"\.g$": ".weight",
    r"\.b$": ".bias",
}


@pytest.mark.parametrize(
    ("name", "heads"), [("vit_pytorch_cvt", 6), ("vit_pytorch_cvt_4_heads", 4)]
)
def test_cvt_equals_vit_pytorch(name: str, heads: int) -> None:
    library = pytest.importorskip("vit_pytorch.cvt")
    torch.manual_seed(0)
    theirs = library.CvT(num_classes=1000, s3_heads=heads).eval()
    _randomise_vit_pytorch(theirs)
    ours = build(name).eval()
    ours.load_state_dict(dict(_renamed(theirs.state_dict())))
    assert deployment_error(theirs, ours, torch.randn(2, 3, 96, 64)) < 1e-5


def _loaded(name: str, theirs: nn.Module, folder: Path) -> nn.Module:
    """Our network with their weights, and without drop path."""
    torch.save(theirs.state_dict(), folder / "theirs.pth")
    ours = build(name)
    load_weights(ours, folder / "theirs.pth")
    for module in ours.modules():
        if isinstance(module, DropPath):
            module.probability = 0.0
    return ours


def _difference(
    ours: nn.Module,
    theirs: nn.Module,
    *,
    training: bool,
    side: int,
    dtype: torch.dtype = torch.float32,
) -> float:
    # Batch statistics of a few alike images magnify rounding, so training compares in float64.
    dtype = torch.float64 if training else dtype
    images = torch.randn(3, 3, side, side, dtype=dtype)
    with torch.no_grad():
        mine = ours.to(dtype).train(training)(images)
        yours = theirs.to(dtype).train(training)(images)
    pairs = zip(_outputs(mine), _outputs(yours), strict=True)
    return max(float((a - b).abs().max() / b.abs().max()) for a, b in pairs)


def _outputs(result: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return result if isinstance(result, tuple) else (result,)


def _randomise_vit_pytorch(network: nn.Module) -> None:
    for name, value in [*network.named_parameters(), *network.named_buffers()]:
        if name.endswith(("running_var", ".g", "net.1.weight")) and value.ndim != 2:
            nn.init.uniform_(value, 0.5, 1.5)
        elif value.ndim == 1 or name.endswith(".b"):
            nn.init.normal_(value, std=0.1)


def _renamed(state: dict[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    for name, value in state.items():
        for pattern, replacement in VIT_PYTORCH.items():
            name = re.sub(pattern, replacement, name)
        if name.endswith((".weight", ".bias")) and ".conv." not in name and value.ndim == 4:
            value = value.flatten() if value.shape[0] == 1 else value.flatten(1)
        if ".to_kv.net.2." in name:
            stem = name.split("0.to_kv")[0]
            key, of_value = value.chunk(2)
            yield f"{stem}attention.key.weight", key
            yield f"{stem}attention.value.weight", of_value
        else:
            yield name, value
