"""CvT: convolutional vision transformers (Wu et al. 2021, arXiv:2103.15808), table 2.

As the released configurations have it: the first embedding is padded by 2; keys and values are
squeezed by 2 in every stage; class token and drop path in the last stage only. Neither the
parameters nor the FLOPs that the paper prints are those of the released code, to the last digit.
"""

from __future__ import annotations

from typing import Any

from archbench.models.catalogue import Paper, Variant

_BLOCK = {
    "kind": "cvt",
    "head_dim": 64,
    "kv_stride": 2,
    "mlp_ratio": 4,
    "projection": "depthwise",
    "kernel": 3,
    "scale": "width",
    "bias": True,
    "activation": "quick_gelu",
}


def _document(
    *, resolution: int, dims: tuple[int, ...], depths: tuple[int, ...], drop_path: float
) -> dict[str, Any]:
    embeds = [
        {"kind": "conv", "kernel": 7, "stride": 4, "padding": 2, "norm": "layer"},
        {"kind": "conv", "kernel": 3, "stride": 2, "padding": 1, "norm": "layer"},
        {"kind": "conv", "kernel": 3, "stride": 2, "padding": 1, "norm": "layer"},
    ]
    stages: list[dict[str, Any]] = [
        {"embed": embed, "block": dict(_BLOCK), "dim": dim, "depth": depth}
        for embed, dim, depth in zip(embeds, dims, depths, strict=True)
    ]
    stages[-1] |= {"class_tokens": 1, "drop_path": [0.0, drop_path]}
    return {
        "resolution": resolution,
        "num_classes": 1000,
        "stages": stages,
        "head": {"pool": "class_token", "norm": "layer", "epsilon": 1e-5, "num_classifiers": 1},
    }


def _cvt_13(resolution: int) -> dict[str, Any]:
    return _document(resolution=resolution, dims=(64, 192, 384), depths=(1, 2, 10), drop_path=0.1)


def _cvt_21(resolution: int) -> dict[str, Any]:
    return _document(resolution=resolution, dims=(64, 192, 384), depths=(1, 4, 16), drop_path=0.1)


def _cvt_w24(resolution: int) -> dict[str, Any]:
    return _document(resolution=resolution, dims=(192, 768, 1024), depths=(2, 2, 20), drop_path=0.3)


VARIANTS = {
    "cvt_13": Variant(
        document=_cvt_13(224),
        paper=Paper(params="19.98 M", flops="4.53 G", top1=81.6, source="CvT, table 3"),
    ),
    "cvt_13_384": Variant(
        document=_cvt_13(384),
        paper=Paper(params="20 M", flops="16.3 G", top1=83.0, source="CvT, table 3"),
    ),
    "cvt_21": Variant(
        document=_cvt_21(224),
        paper=Paper(params="31.54 M", flops="7.13 G", top1=82.5, source="CvT, table 3"),
    ),
    "cvt_21_384": Variant(
        document=_cvt_21(384),
        paper=Paper(params="32 M", flops="24.9 G", top1=83.3, source="CvT, table 3"),
    ),
    "cvt_w24": Variant(
        document=_cvt_w24(224),
        paper=Paper(
            params="276.7 M",
            flops="60.86 G",
            top1=None,
            source="CvT, released code",
            note="no accuracy is printed at 224 px; the paper's text says 298.3 M parameters",
        ),
    ),
    "cvt_w24_384": Variant(
        document=_cvt_w24(384),
        paper=Paper(
            params="277 M",
            flops="193.2 G",
            top1=87.7,
            source="CvT, table 3, pre-trained on ImageNet-22k",
            note="the released code prints 87.6",
        ),
    ),
}
