"""The same weights in vit-pytorch's CvT give the same outputs."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from archbench.models import build, count, deployment_error
from archbench.models.catalogue import published
from archbench.models.spec import ArchSpec

NAMES = {
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
    _randomise(theirs)
    ours = build(name).eval()
    ours.load_state_dict(dict(_renamed(theirs.state_dict())))
    assert deployment_error(theirs, ours, torch.randn(2, 3, 96, 64)) < 1e-5


def test_a_shared_convolution_is_one_less() -> None:
    separate = published("vit_pytorch_cvt").to_document()
    for stage in separate["stages"]:
        stage["block"]["shared_kv"] = False
    saved = count(ArchSpec.from_document(separate)).params - count("vit_pytorch_cvt").params
    assert saved == sum(depth * dim * (9 + 2) for depth, dim in ((1, 64), (2, 192), (10, 384)))


def _randomise(network: nn.Module) -> None:
    for name, value in [*network.named_parameters(), *network.named_buffers()]:
        if name.endswith(("running_var", ".g", "net.1.weight")) and value.ndim != 2:
            nn.init.uniform_(value, 0.5, 1.5)
        elif value.ndim == 1 or name.endswith(".b"):
            nn.init.normal_(value, std=0.1)


def _renamed(state: dict[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    for name, value in state.items():
        for pattern, replacement in NAMES.items():
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
