"""The same weights in timm's LeViT and transformers' CvT give the same outputs."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from archbench.models import build
from archbench.models.layer import QuickGELU

TOLERANCE = 1e-5


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("name", ["levit_128s", "levit_192", "levit_384"])
@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
def test_levit_equals_timm(name: str, training: bool) -> None:
    timm = pytest.importorskip("timm")
    theirs = timm.create_model(name, pretrained=False)
    randomise(theirs)
    ours = build(name)
    _no_drop_path(ours)
    ours.load_state_dict(dict(_levit_from_timm(theirs.state_dict())))
    theirs.set_distilled_training(True)
    assert _difference(ours, theirs, training=training, fixed_size=True) < TOLERANCE


@pytest.mark.parametrize("depth", [[1, 2, 10], [1, 2, 3]], ids=str)
@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
def test_cvt_equals_transformers(depth: list[int], training: bool) -> None:
    pytest.importorskip("transformers")
    theirs = _transformers_cvt(depth)
    ours = build(_cvt_document(depth))
    _no_drop_path(ours)
    ours.load_state_dict(dict(_cvt_from_transformers(theirs.state_dict())))
    assert _difference(ours, _Logits(theirs), training=training, fixed_size=False) < TOLERANCE


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


def randomise(network: nn.Module) -> None:
    """Makes every parameter and statistic matter: nothing stays at zero or one."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.LayerNorm):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    for name, parameter in network.named_parameters():
        if "bias" in name or "token" in name:
            nn.init.normal_(parameter, std=0.1)


def _no_drop_path(network: nn.Module) -> None:
    for module in network.modules():
        if hasattr(module, "probability"):
            module.probability = 0.0


_LEVIT = [
    (r"stem\.conv(\d)\.", lambda m: f"stages.0.embed.{2 * int(m[1]) - 2}."),
    (r"^(stages\.0\.embed\.\d)\.linear", r"\1.conv"),
    (r"downsample\.attn_downsample\.kv\.", "embed.key_value."),
    (r"downsample\.attn_downsample\.q\.ln\.", "embed.query."),
    (r"downsample\.attn_downsample\.proj\.ln\.", "embed.projection."),
    (r"downsample\.attn_downsample\.attention_biases", "embed.bias.values"),
    (r"downsample\.mlp\.", "embed.mlp."),
    (r"attn\.qkv\.", "attention.query_key_value."),
    (r"attn\.proj\.ln\.", "attention.projection."),
    (r"attn\.attention_biases", "attention.bias.values"),
    (r"mlp\.ln1\.", "mlp.0."),
    (r"mlp\.ln2\.", "mlp.2."),
    (r"^head\.", "head.classifiers.0."),
    (r"^head_dist\.", "head.classifiers.1."),
    (r"\.bn\.", ".norm."),
]

_CVT = [
    (r"^cvt\.encoder\.", ""),
    (r"embedding\.convolution_embeddings\.projection", "embed.conv"),
    (r"embedding\.convolution_embeddings\.normalization", "embed.norm"),
    (r"cls_token", "class_token"),
    (r"layers\.", "blocks."),
    (
        r"attention\.attention\.convolution_projection_(query|key|value)"
        r"\.convolution_projection\.convolution",
        r"attention.\1_map.conv",
    ),
    (
        r"attention\.attention\.convolution_projection_(query|key|value)"
        r"\.convolution_projection\.normalization",
        r"attention.\1_map.norm",
    ),
    (r"attention\.attention\.projection_(query|key|value)", r"attention.\1"),
    (r"attention\.output\.dense", "attention.projection"),
    (r"intermediate\.dense", "mlp.0"),
    (r"output\.dense", "mlp.2"),
    (r"layernorm_before", "attention_norm"),
    (r"layernorm_after", "mlp_norm"),
    (r"^layernorm", "head.norm"),
    (r"^classifier", "head.classifiers.0"),
]


def _levit_from_timm(state: dict[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    return _renamed(state, _LEVIT)


def _cvt_from_transformers(state: dict[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    return _renamed(state, _CVT)


def _renamed(state: dict[str, Tensor], rules: list) -> Iterator[tuple[str, Tensor]]:  # type: ignore[type-arg]
    for name, value in state.items():
        for pattern, replacement in rules:
            name = re.sub(pattern, replacement, name)
        yield name, value


class _Logits(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images).logits


def _transformers_cvt(depth: list[int]) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from transformers import CvtConfig, CvtForImageClassification

        config = CvtConfig(num_labels=1000, depth=depth, drop_path_rate=[0.0, 0.0, 0.0])
        network = CvtForImageClassification(config)
    for module in network.modules():
        for name, child in list(module.named_children()):
            if isinstance(child, nn.GELU):
                setattr(module, name, QuickGELU())
    randomise(network)
    return network


def _cvt_document(depth: list[int]) -> dict[str, object]:
    from archbench.models.catalogue import published

    document = published("cvt_13").to_document()
    for stage, number in zip(document["stages"], depth, strict=True):
        stage["depth"] = number
    return document
