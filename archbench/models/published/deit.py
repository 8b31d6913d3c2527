"""DeiT: data-efficient image transformers (Touvron et al. 2021, arXiv:2012.12877), table 1.

ViT's network with 12 layers of patches of 16 px; a distilled one has a second class token and
classifier, which learns from a teacher. Parameters and accuracies are those that the released
code prints; drop path rises from 0 to 0.1 over the layers, as its training has it.
"""

from __future__ import annotations

from typing import Any

from archbench.models.catalogue import Paper, Released, Variant


def _document(*, dim: int, resolution: int = 224, class_tokens: int = 1) -> dict[str, Any]:
    return {
        "resolution": resolution,
        "num_classes": 1000,
        "stages": [
            {
                "embed": {"kind": "conv", "kernel": 16, "stride": 16, "padding": 0, "norm": "none"},
                "block": {"kind": "vit", "head_dim": 64, "mlp_ratio": 4},
                "dim": dim,
                "depth": 12,
                "position": "absolute",
                "class_tokens": class_tokens,
                "drop_path": [0.0, 0.1],
            }
        ],
        "head": {
            "pool": "class_token",
            "norm": "layer",
            "epsilon": 1e-6,
            "num_classifiers": class_tokens,
        },
    }


def _paper(params: str, top1: float, flops: str | None = None) -> Paper:
    return Paper(
        params=params,
        flops=flops,
        top1=top1,
        source="DeiT, released code",
        note="FLOPs as table 3 of the CvT paper prints them" if flops else "",
    )


VARIANTS = {
    "deit_tiny": Variant(
        document=_document(dim=192),
        paper=_paper("5 M", 72.2),
        released=Released(5_717_416, 1_253_683_200),
        hub="facebook/deit-tiny-patch16-224",
    ),
    "deit_small": Variant(
        document=_document(dim=384),
        paper=_paper("22 M", 79.9, "4.6 G"),
        released=Released(22_050_664, 4_598_882_304),
        hub="facebook/deit-small-patch16-224",
    ),
    "deit_base": Variant(
        document=_document(dim=768),
        paper=_paper("86 M", 81.8, "17.6 G"),
        released=Released(86_567_656, 17_563_828_224),
        hub="facebook/deit-base-patch16-224",
    ),
    "deit_tiny_distilled": Variant(
        document=_document(dim=192, class_tokens=2),
        paper=_paper("6 M", 74.5),
        released=Released(5_910_800, 1_261_003_776),
        hub="facebook/deit-tiny-distilled-patch16-224",
    ),
    "deit_small_distilled": Variant(
        document=_document(dim=384, class_tokens=2),
        paper=_paper("22 M", 81.2),
        released=Released(22_436_432, 4_624_140_288),
        hub="facebook/deit-small-distilled-patch16-224",
    ),
    "deit_base_distilled": Variant(
        document=_document(dim=768, class_tokens=2),
        paper=_paper("87 M", 83.4),
        released=Released(87_338_192, 17_656_811_520),
        hub="facebook/deit-base-distilled-patch16-224",
    ),
    "deit_base_384": Variant(
        document=_document(dim=768, resolution=384),
        paper=_paper("87 M", 82.9),
        released=Released(86_859_496, 55_484_350_464),
        hub="facebook/deit-base-patch16-384",
    ),
}
