"""CvT as lucidrains' vit-pytorch builds it (github.com/lucidrains/vit-pytorch, cvt.py).

It is what many people run as "CvT", and differs from the released code: the first embedding is
padded by 3; keys and values share a convolution; queries, keys and values have no bias and heads
of 64, whatever the width; scores are divided by the root of the head's width; the activation is
GELU; there is no class token, drop path or final norm. Only the start of the weights is not its
own but that of our ``cvt`` block: linears truncated to a deviation of 0.02.

The third stage has six heads since the project's issue 95, four before.
"""

from __future__ import annotations

from typing import Any

from archbench.models.catalogue import Paper, Released, Variant


def _variant(heads: tuple[int, ...], released: tuple[int, int], note: str) -> Variant:
    first = {"kind": "conv", "kernel": 7, "stride": 4, "padding": 3, "norm": "layer"}
    later = {"kind": "conv", "kernel": 3, "stride": 2, "padding": 1, "norm": "layer"}
    block: dict[str, Any] = {
        "kind": "cvt",
        "head_dim": 64,
        "kv_stride": 2,
        "mlp_ratio": 4,
        "projection": "depthwise",
        "kernel": 3,
        "scale": "head",
        "bias": False,
        "shared_kv": True,
        "activation": "gelu",
    }
    sizes = zip((first, later, later), heads, (64, 192, 384), (1, 2, 10), strict=True)
    document = {
        "resolution": 224,
        "num_classes": 1000,
        "stages": [
            {"embed": embed, "block": block | {"num_heads": number}, "dim": dim, "depth": depth}
            for embed, number, dim, depth in sizes
        ],
        "head": {"pool": "mean", "norm": "none", "num_classifiers": 1},
    }
    paper = Paper(params=None, flops=None, top1=None, source="vit-pytorch, cvt.py", note=note)
    return Variant(document=document, paper=paper, released=Released(*released))


VARIANTS = {
    "vit_pytorch_cvt": _variant(
        (1, 3, 6), (19_936_296, 4_543_682_816), "no paper: the library's defaults, untrained"
    ),
    "vit_pytorch_cvt_4_heads": _variant(
        (1, 3, 4),
        (17_970_216, 4_278_251_776),
        "no paper: the library's defaults before its issue 95, untrained",
    ),
}
