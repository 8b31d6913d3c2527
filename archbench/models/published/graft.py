"""Grafts: DeiT-S on the first stages of ResNet-50, LeViT's preliminary experiment.

Graham et al. 2021 (arXiv:2104.01136), sec. 3 and table 1; ``graft_1_9`` has one stage of ResNet
and nine layers of DeiT. From the text are the average pooling to 14x14 and that class token and
position embedding join where the two meet. Our reading, chosen because it gives the parameters of
the table to its last digit: a 1x1 convolution to the width of DeiT-S, two class tokens and two
classifiers. The table's first row is DeiT-S itself with one classifier, its last ResNet-50. Of
drop path, which the paper does not mention, only DeiT-S keeps its own.
"""

from __future__ import annotations

from dataclasses import replace

from archbench.models.catalogue import Paper, Variant
from archbench.models.published.deit import VARIANTS as DEIT
from archbench.models.published.resnet import VARIANTS as RESNET
from archbench.models.published.resnet import stages


def _variant(num_stages: int, num_layers: int, paper: Paper) -> Variant:
    transformer = {
        "embed": {"kind": "pool", "stride": 2 ** (3 - num_stages)},
        "block": {"kind": "vit", "head_dim": 64, "mlp_ratio": 4},
        "dim": 384,
        "depth": num_layers,
        "position": "absolute",
        "class_tokens": 2,
    }
    document = {
        "resolution": 224,
        "num_classes": 1000,
        "stages": [*stages(num_stages), transformer],
        "head": {"pool": "class_token", "norm": "layer", "epsilon": 1e-6, "num_classifiers": 2},
    }
    return Variant(document=document, paper=paper)


def _paper(params: str, convolution: int, transformer: int, top1: float, note: str = "") -> Paper:
    columns = f"printed as {convolution} M of convolutions and {transformer} M of the transformer"
    return Paper(
        params=params,
        flops=f"{convolution + transformer} M",
        top1=top1,
        source="LeViT, table 1",
        reason="layers are printed with their softmax, for 196 tokens and without the head; what "
        "is printed of convolutions is above their exact count, as if it had their norms",
        note=f"{columns}; {note}" if note else columns,
    )


_READING = "two class tokens, two classifiers and the 1x1 projection are our reading"

VARIANTS = {
    "graft_0_12": replace(
        DEIT["deit_small"],
        paper=_paper("22.0 M", 57, 4519, 79.9, "DeiT-S with one classifier"),
        hub=None,
    ),
    "graft_1_9": _variant(1, 9, _paper("17.1 M", 820, 3389, 80.6, _READING)),
    "graft_2_6": _variant(2, 6, _paper("13.1 M", 1876, 2260, 80.9, _READING)),
    "graft_3_3": _variant(3, 3, _paper("15.1 M", 3385, 1130, 80.1, _READING)),
    "graft_4_0": replace(
        RESNET["resnet_50"],
        paper=_paper("25.5 M", 4119, 0, 78.4, "ResNet-50, trained as DeiT is"),
        hub=None,
    ),
}
