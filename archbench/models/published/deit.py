"""DeiT: data-efficient image transformers (Touvron et al. 2021, arXiv:2012.12877), table 1.

ViT's network with 12 layers of patches of 16 px; a distilled one has a second class token and
classifier, which learns from a teacher. Parameters and accuracies are those that the released
code prints; drop path rises from 0 to 0.1 over the layers, as its training has it.
"""

from __future__ import annotations

from archbench.models.catalogue import Paper, Released, Variant

_DIMS = {"tiny": 192, "small": 384, "base": 768}


def _variant(
    size: str,
    params: str,
    top1: float,
    released: tuple[int, int],
    *,
    flops: str | None = None,
    class_tokens: int = 1,
    resolution: int = 224,
) -> Variant:
    stage = {
        "embed": {"kind": "conv", "kernel": 16, "stride": 16, "padding": 0, "norm": "none"},
        "block": {"kind": "vit", "head_dim": 64, "mlp_ratio": 4},
        "dim": _DIMS[size],
        "depth": 12,
        "position": "absolute",
        "class_tokens": class_tokens,
        "drop_path": [0.0, 0.1],
    }
    head = {
        "pool": "class_token",
        "norm": "layer",
        "epsilon": 1e-6,
        "num_classifiers": class_tokens,
    }
    note = "FLOPs as table 3 of the CvT paper prints them" if flops else ""
    distilled = "-distilled" if class_tokens == 2 else ""
    return Variant(
        document={"resolution": resolution, "num_classes": 1000, "stages": [stage], "head": head},
        paper=Paper(params=params, flops=flops, top1=top1, source="DeiT, released code", note=note),
        released=Released(*released),
        hub=f"facebook/deit-{size}{distilled}-patch16-{resolution}",
    )


VARIANTS = {
    "deit_tiny": _variant("tiny", "5 M", 72.2, (5_717_416, 1_253_683_200)),
    "deit_small": _variant("small", "22 M", 79.9, (22_050_664, 4_598_882_304), flops="4.6 G"),
    "deit_base": _variant("base", "86 M", 81.8, (86_567_656, 17_563_828_224), flops="17.6 G"),
    "deit_tiny_distilled": _variant(
        "tiny", "6 M", 74.5, (5_910_800, 1_261_003_776), class_tokens=2
    ),
    "deit_small_distilled": _variant(
        "small", "22 M", 81.2, (22_436_432, 4_624_140_288), class_tokens=2
    ),
    "deit_base_distilled": _variant(
        "base", "87 M", 83.4, (87_338_192, 17_656_811_520), class_tokens=2
    ),
    "deit_base_384": _variant("base", "87 M", 82.9, (86_859_496, 55_484_350_464), resolution=384),
}
