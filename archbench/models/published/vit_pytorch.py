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


def _document(heads: tuple[int, ...]) -> dict[str, Any]:
    embeds = [
        {"kind": "conv", "kernel": 7, "stride": 4, "padding": 3, "norm": "layer"},
        {"kind": "conv", "kernel": 3, "stride": 2, "padding": 1, "norm": "layer"},
        {"kind": "conv", "kernel": 3, "stride": 2, "padding": 1, "norm": "layer"},
    ]
    block = {
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
    stages = [
        {"embed": embed, "block": block | {"num_heads": number}, "dim": dim, "depth": depth}
        for embed, number, dim, depth in zip(embeds, heads, (64, 192, 384), (1, 2, 10), strict=True)
    ]
    return {
        "resolution": 224,
        "num_classes": 1000,
        "stages": stages,
        "head": {"pool": "mean", "norm": "none", "num_classifiers": 1},
    }


def _paper(note: str) -> Paper:
    return Paper(params=None, flops=None, top1=None, source="vit-pytorch, cvt.py", note=note)


VARIANTS = {
    "vit_pytorch_cvt": Variant(
        document=_document((1, 3, 6)),
        paper=_paper("no paper: the library's defaults, untrained"),
        released=Released(19_936_296, 4_543_682_816),
    ),
    "vit_pytorch_cvt_4_heads": Variant(
        document=_document((1, 3, 4)),
        paper=_paper("no paper: the library's defaults before its issue 95, untrained"),
        released=Released(17_970_216, 4_278_251_776),
    ),
}
