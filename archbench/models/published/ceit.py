"""CeiT: incorporating convolution designs into visual transformers (Yuan et al. 2021), table 2.

arXiv:2103.11816. As in the released code: attention with biases, epsilon 1e-6 in every layer norm,
and a last attention over the class tokens of all layers, whose embedding counts, too.
"""

from __future__ import annotations

from typing import Any

from archbench.models.catalogue import Paper, Released, Variant


def _document(dim: int) -> dict[str, Any]:
    return {
        "resolution": 224,
        "num_classes": 1000,
        "stages": [
            {
                "embed": {"kind": "image_to_tokens", "channels": 64, "kernel": 7, "stride": 16},
                "block": {"kind": "ceit", "head_dim": 64, "mlp_ratio": 4, "epsilon": 1e-6},
                "dim": dim,
                "depth": 12,
                "position": "absolute",
                "class_tokens": 1,
                "drop_path": [0.0, 0.1],
            }
        ],
        "head": {
            "pool": "layer_class_attention",
            "norm": "layer",
            "epsilon": 1e-6,
            "num_classifiers": 1,
        },
    }


def _paper(params: str, top1: float, note: str = "") -> Paper:
    return Paper(params=params, flops=None, top1=top1, source="CeiT, released code", note=note)


VARIANTS = {
    "ceit_tiny": Variant(
        document=_document(192),
        paper=_paper("6.4 M", 76.4),
        released=Released(6_356_904, 1_395_307_008),
    ),
    "ceit_small": Variant(
        document=_document(384),
        paper=_paper("24.2 M", 82.0),
        released=Released(24_204_840, 4_759_544_832),
    ),
    "ceit_base": Variant(
        document=_document(768),
        paper=_paper("94.4 M", 81.9, "after 100 epochs; 82.5 after 150"),
        released=Released(94_405_416, 17_748_854_784),
    ),
}
