"""CeiT: incorporating convolution designs into visual transformers (Yuan et al. 2021), table 2.

arXiv:2103.11816. As in the released code: attention with biases, epsilon 1e-6 in every layer norm,
and a last attention over the class tokens of all layers, whose embedding counts, too.
"""

from __future__ import annotations

from archbench.models.catalogue import Paper, Released, Variant


def _variant(
    dim: int, params: str, top1: float, released: tuple[int, int], note: str = ""
) -> Variant:
    stage = {
        "embed": {"kind": "image_to_tokens", "channels": 64, "kernel": 7, "stride": 16},
        "block": {"kind": "ceit", "head_dim": 64, "mlp_ratio": 4, "epsilon": 1e-6},
        "dim": dim,
        "depth": 12,
        "position": "absolute",
        "class_tokens": 1,
        "drop_path": [0.0, 0.1],
    }
    pool = "layer_class_attention"
    head = {"pool": pool, "norm": "layer", "epsilon": 1e-6, "num_classifiers": 1}
    return Variant(
        document={"resolution": 224, "num_classes": 1000, "stages": [stage], "head": head},
        paper=Paper(params=params, flops=None, top1=top1, source="CeiT, released code", note=note),
        released=Released(*released),
    )


_LONGER = "after 100 epochs; 82.5 after 150"

VARIANTS = {
    "ceit_tiny": _variant(192, "6.4 M", 76.4, (6_356_904, 1_395_307_008)),
    "ceit_small": _variant(384, "24.2 M", 82.0, (24_204_840, 4_759_544_832)),
    "ceit_base": _variant(768, "94.4 M", 81.9, (94_405_416, 17_748_854_784), _LONGER),
}
