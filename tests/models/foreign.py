"""Networks of timm and transformers with random weights, and what the released files would hold.

The names of the released LeViT and CvT are made here from timm's and transformers', by rules that
are written a second time, apart from the package's.
"""

import re
import warnings
from collections.abc import Callable, Iterable, Mapping

import pytest
import torch
from torch import Tensor, nn

from archbench.models.layer import QuickGELU

State = dict[str, Tensor]
Rules = Iterable[tuple[str, str | Callable[[re.Match[str]], str]]]


def randomise(network: nn.Module) -> None:
    """Makes every parameter and statistic matter: nothing stays at zero or one."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.LayerNorm | nn.GroupNorm):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            module.num_batches_tracked.fill_(7)
    for name, parameter in network.named_parameters():
        if "bias" in name or "token" in name:
            nn.init.normal_(parameter, std=0.1)
        if any(word in name for word in ("scale.", "gamma", "temperature")):
            nn.init.uniform_(parameter, 0.5, 1.5)


class Logits(nn.Module):
    """A network of transformers that gives its logits alone."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images).logits


def timm_network(name: str, **changes: object) -> nn.Module:
    """A network of timm with random weights, for evaluation."""
    timm = pytest.importorskip("timm")
    network: nn.Module = timm.create_model(name, pretrained=False, **changes)
    for module in network.modules():
        if type(module).__name__ == "LiteMLA":  # the released code's, where timm has 1e-5
            module.eps = 1e-15
    randomise(network)
    return network.eval()


def transformers_network(kind: str, config: str, **settings: object) -> nn.Module:
    """A network of transformers with random weights, for evaluation."""
    transformers = pytest.importorskip("transformers")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = getattr(transformers, config)(num_labels=1000, **settings)
        network: nn.Module = getattr(transformers, kind)(made)
    if "Cvt" in kind:  # the weights are made for this activation, which the released code has
        for module in network.modules():
            for name, child in list(module.named_children()):
                if isinstance(child, nn.GELU):
                    setattr(module, name, QuickGELU())
    randomise(network)
    return network.eval()


def transformers_cvt(depth: list[int]) -> nn.Module:
    """CvT of transformers with so many blocks."""
    return transformers_network(
        "CvtForImageClassification", "CvtConfig", depth=depth, drop_path_rate=[0.0, 0.0, 0.0]
    )


def renamed(state: Mapping[str, Tensor], rules: Rules) -> State:
    """Every rule in turn on every name."""
    found = {}
    for name, value in state.items():
        for pattern, replacement in rules:
            name = re.sub(pattern, replacement, name)
        found[name] = value
    assert len(found) == len(state)
    return found


def official_levit(timm: Mapping[str, Tensor], *, with_offsets: bool) -> State:
    """What LeViT's authors would have saved."""
    flat: dict[str, int] = {}
    parts = re.compile(
        r"(stages\.\d+\.(?:blocks\.\d+|downsample)\.(?:attn_downsample|attn|mlp))\.(.*)"
    )
    found = {}
    for name, value in timm.items():
        inside = parts.fullmatch(name)
        if inside:
            entry = flat.setdefault(inside[1], len(flat))
            residual = "" if inside[1].endswith("attn_downsample") else "m."
            name = f"blocks.{entry}.{residual}{inside[2]}"
        found[name] = value
    found = renamed(
        found,
        [
            (r"^stem\.conv(\d)\.", lambda m: f"patch_embed.{2 * int(m[1]) - 2}."),
            (r"proj\.ln\.", "proj.1."),
            (r"q\.ln\.", "q.1."),
            (r"ln1\.", "0."),
            (r"ln2\.", "2."),
            (r"^(head|head_dist)\.linear\.", r"\1.l."),
            (r"\.linear\.", ".c."),
        ],
    )
    if with_offsets:
        for name in [name for name in found if name.endswith("attention_biases")]:
            found[name.replace("biases", "bias_idxs")] = _offsets(found, name)
    return found


def _offsets(state: State, name: str) -> Tensor:
    """Numbered in the order of first use, as the released code does it."""
    side = round(state[name].shape[1] ** 0.5)
    step = 1 if ".m." in name else 2
    points = [(y, x) for y in range(side) for x in range(side)]
    numbers: dict[tuple[int, int], int] = {}
    rows = [
        [
            numbers.setdefault((abs(step * qy - ky), abs(step * qx - kx)), len(numbers))
            for ky, kx in points
        ]
        for qy, qx in points
        if step * qy < side and step * qx < side
    ]
    return torch.tensor(rows)


def official_cvt(transformers: Mapping[str, Tensor]) -> State:
    """What CvT's authors would have saved."""
    return renamed(
        transformers,
        [
            (r"^cvt\.encoder\.stages\.(\d)\.", r"stage\1."),
            (r"embedding\.convolution_embeddings\.projection", "patch_embed.proj"),
            (r"embedding\.convolution_embeddings\.normalization", "patch_embed.norm"),
            (r"\.layers\.", ".blocks."),
            (
                r"attention\.attention\.convolution_projection_(.)\w+\.convolution_projection",
                r"attn.conv_proj_\1",
            ),
            (r"\.convolution\.", ".conv."),
            (r"(conv_proj_.)\.normalization\.", r"\1.bn."),
            (r"attention\.attention\.projection_(.)\w+\.", r"attn.proj_\1."),
            (r"attention\.output\.dense", "attn.proj"),
            (r"intermediate\.dense", "mlp.fc1"),
            (r"output\.dense", "mlp.fc2"),
            (r"layernorm_before", "norm1"),
            (r"layernorm_after", "norm2"),
            (r"^layernorm", "norm"),
            (r"^classifier", "head"),
        ],
    )


def transformers_files(memory: Mapping[str, Tensor]) -> State:
    """The names of ViT and DeiT in the files of transformers, whatever it has in memory."""
    inner = "attention.attention"
    return renamed(
        memory,
        [
            (r"^(vit|deit)\.layers\.", r"\1.encoder.layer."),
            (r"attention\.q_proj", f"{inner}.query"),
            (r"attention\.k_proj", f"{inner}.key"),
            (r"attention\.v_proj", f"{inner}.value"),
            (r"attention\.o_proj", "attention.output.dense"),
            (r"mlp\.fc1", "intermediate.dense"),
            (r"mlp\.fc2", "output.dense"),
        ],
    )


def assert_same(found: State, expected: State, *, as_float: bool = False) -> None:
    """The same names, types and bits."""
    assert set(found) == set(expected)
    for name, value in expected.items():
        wanted: Tensor = value.float() if as_float else value
        assert found[name].dtype == wanted.dtype, name
        assert torch.equal(found[name], wanted), name
