"""ResNet-50 (He et al. 2016, arXiv:1512.03385), table 1, as torchvision builds it.

The first bottleneck of each stage, which widens, is the stage's embed. torchvision takes the
steps of 2 in the 3x3 convolutions, the paper in the 1x1 before them.
"""

from __future__ import annotations

from typing import Any

from archbench.models.catalogue import Paper, Released, Variant

_DIMS = (256, 512, 1024, 2048)
_DEPTHS = (3, 4, 6, 3)


def stages(number: int) -> list[dict[str, Any]]:
    """The stem and the first stages of ResNet-50, from 0 to 4 of them."""
    stem: dict[str, Any] = {"embed": {"kind": "resnet_stem"}, "dim": 64, "depth": 0}
    return [
        stem,
        *(
            {
                "embed": {"kind": "bottleneck", "stride": 2 if i else 1},
                "block": {"kind": "bottleneck"},
                "dim": _DIMS[i],
                "depth": _DEPTHS[i] - 1,
            }
            for i in range(number)
        ),
    ]


DOCUMENT = {
    "resolution": 224,
    "num_classes": 1000,
    "stages": stages(4),
    "head": {"pool": "mean", "norm": "none", "num_classifiers": 1},
}

VARIANTS = {
    "resnet_50": Variant(
        document=DOCUMENT,
        paper=Paper(
            params="25.6 M",
            flops="4.09 G",
            top1=76.1,
            source="torchvision, first weights of resnet50",
            note="the ResNet paper, whose network takes its steps elsewhere, prints 3.8 G",
        ),
        released=Released(25_557_032, 4_089_184_256),
        hub="timm/resnet50.tv_in1k",
    )
}
