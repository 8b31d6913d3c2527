"""CvT: convolutional vision transformers (Wu et al. 2021, arXiv:2103.15808), tables 2 to 8.

As the released configurations have it: the first embedding is padded by 2; keys and values are
squeezed by 2 in every stage; class token and drop path in the last stage only. Neither the
parameters nor the FLOPs that the paper prints are those of the released code, to the last digit.
"""

from __future__ import annotations

from typing import Any

from archbench.models.catalogue import Ablation, Paper, Released, Variant

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
    dims: tuple[int, ...], depths: tuple[int, ...], *, resolution: int, drop_path: float = 0.1
) -> dict[str, Any]:
    first = {"kind": "conv", "kernel": 7, "stride": 4, "padding": 2, "norm": "layer"}
    later = {"kind": "conv", "kernel": 3, "stride": 2, "padding": 1, "norm": "layer"}
    stages: list[dict[str, Any]] = [
        {"embed": embed, "block": dict(_BLOCK), "dim": dim, "depth": depth}
        for embed, dim, depth in zip((first, later, later), dims, depths, strict=True)
    ]
    stages[-1] |= {"class_tokens": 1, "drop_path": [0.0, drop_path]}
    return {
        "resolution": resolution,
        "num_classes": 1000,
        "stages": stages,
        "head": {"pool": "class_token", "norm": "layer", "epsilon": 1e-5, "num_classifiers": 1},
    }


def _cvt_13(resolution: int) -> dict[str, Any]:
    return _document((64, 192, 384), (1, 2, 10), resolution=resolution)


def _cvt_21(resolution: int) -> dict[str, Any]:
    return _document((64, 192, 384), (1, 4, 16), resolution=resolution)


def _cvt_w24(resolution: int) -> dict[str, Any]:
    return _document((192, 768, 1024), (2, 2, 20), resolution=resolution, drop_path=0.3)


_NOT_OF_THE_CODE = "the released code never counts what the paper prints"
_UNKNOWN_STAGES = "the paper does not say in which stages: every stage is our reading"


def _paper(
    params: str,
    flops: str,
    top1: float | None,
    *,
    reason: str = _NOT_OF_THE_CODE,
    source: str = "CvT, table 3",
    note: str = "",
) -> Paper:
    return Paper(params=params, flops=flops, top1=top1, source=source, reason=reason, note=note)


VARIANTS = {
    "cvt_13": Variant(
        document=_cvt_13(224),
        paper=_paper("19.98 M", "4.53 G", 81.6),
        released=Released(19_997_480, 4_566_089_216),
        hub="microsoft/cvt-13",
    ),
    "cvt_13_384": Variant(
        document=_cvt_13(384),
        paper=_paper("20 M", "16.3 G", 83.0, reason=""),
        released=Released(19_997_480, 16_269_359_616),
        hub="microsoft/cvt-13-384",
    ),
    "cvt_21": Variant(
        document=_cvt_21(224),
        paper=_paper("31.54 M", "7.13 G", 82.5),
        released=Released(31_622_696, 7_177_985_024),
        hub="microsoft/cvt-21",
    ),
    "cvt_21_384": Variant(
        document=_cvt_21(384),
        paper=_paper(
            "32 M",
            "24.9 G",
            83.3,
            reason="24.9 G is what fvcore itself prints, which adds the norms to 24.85 G",
        ),
        released=Released(31_622_696, 24_849_091_584),
        hub="microsoft/cvt-21-384",
    ),
    "cvt_w24": Variant(
        document=_cvt_w24(224),
        paper=_paper(
            "276.7 M",
            "60.86 G",
            None,
            source="CvT, released code",
            note="no accuracy is printed at 224 px; the paper's text says 298.3 M parameters",
        ),
        released=Released(277_196_392, 60_917_313_536),
    ),
    "cvt_w24_384": Variant(
        document=_cvt_w24(384),
        paper=_paper(
            "277 M",
            "193.2 G",
            87.7,
            source="CvT, table 3, pre-trained on ImageNet-22k",
            note="the released code prints an accuracy of 87.6",
        ),
        released=Released(277_196_392, 194_221_654_016),
        hub="microsoft/cvt-w24-384-22k",
    ),
}


def _ablation(
    table: int,
    row: str,
    changed: dict[str, Any],
    *,
    top1: float | None,
    params: str | None = None,
    flops: str | None = None,
    reason: str = "",
    note: str = "",
    released: Released | None = None,
) -> Ablation:
    """A row of one of the tables 5 to 8, which change one thing in CvT-13 (81.6 %)."""
    paper = Paper(
        params=params,
        flops=flops,
        top1=top1,
        source=f"CvT, table {table}",
        row=row,
        base_top1=81.6,
        reason=reason,
        note=note,
    )
    return Ablation(base="cvt_13", set=changed, paper=paper, released=released)


def _corner(
    row: str, changed: dict[str, Any], *, released: Released, flops: str | None = None
) -> Ablation:
    """A corner of what CvT-13-NAS was searched in; which of it was found is not released."""
    paper = Paper(
        params="13.66 M",
        flops=flops,
        top1=None,
        source="CvT, search of CvT-13-NAS",
        row=f"corner of the search space: {row}",
        reason="the paper's range leaves out depthwise weights, and of the MACs depthwise "
        "convolutions and attention",
    )
    return Ablation(base="cvt_13", set=changed, paper=paper, released=released)


_EVERY = {"stages[all].position": "absolute"}
_FIRST, _LAST = {"stages[0].position": "absolute"}, {"stages[2].position": "absolute"}
# Embeds whose kernel is their stride, without padding: patches that do not overlap.
_PATCHES = {
    f"stages[{i}].embed": {"kind": "conv", "kernel": n, "stride": n, "padding": 0, "norm": "layer"}
    for i, n in enumerate((4, 2, 2))
}
_LINEAR_BEHIND_1 = {f"stages[{i}].block.projection": "linear" for i in (1, 2)}
_NARROW = {"stages[all].block.mlp_ratio": 2}
_STRIDE_1 = {"stages[all].block.kv_stride": 1}
_OUR_PATCHES = "kernels of 4, 2, 2, without overlap, are our reading"
_KEPT = "where a projection is linear, keys and values keep every token"

ABLATIONS = {
    "cvt_13/t5_every": _ablation(
        5, "position embedding in every stage", _EVERY, params="20 M", top1=81.5
    ),
    "cvt_13/t5_first": _ablation(
        5, "position embedding in the first stage", _FIRST, params="20 M", top1=81.4
    ),
    "cvt_13/t5_last": _ablation(
        5, "position embedding in the last stage", _LAST, params="20 M", top1=81.4
    ),
    "deit_small/t5_none": Ablation(
        base="deit_small",
        set={"stages[all].position": "none"},
        paper=Paper(
            params="22 M",
            flops=None,
            top1=78.0,
            source="CvT, table 5",
            row="DeiT-S without position embedding",
            base_top1=79.8,
        ),
    ),
    "cvt_13/t6_none": _ablation(
        6,
        "patches instead of the convolutional embedding",
        _PATCHES,
        params="19.5 M",
        top1=80.7,
        note=_OUR_PATCHES,
    ),
    "cvt_13/t6_position": _ablation(
        6,
        "patches and a position embedding",
        _PATCHES | _EVERY,
        params="19.9 M",
        top1=81.1,
        note=f"{_OUR_PATCHES}; {_UNKNOWN_STAGES}",
    ),
    "cvt_13/t6_conv_position": _ablation(
        6,
        "convolutional embedding and a position embedding",
        _EVERY,
        params="20.3 M",
        top1=81.4,
        reason=_UNKNOWN_STAGES,
    ),
    "cvt_13/t7_stride_1": _ablation(
        7,
        "keys and values at stride 1",
        _STRIDE_1,
        params="20 M",
        flops="6.55 G",
        top1=82.3,
        reason=_NOT_OF_THE_CODE,
        note="the text says that squeezing costs 0.3 points",
        released=Released(19_997_480, 6_643_074_560),
    ),
    "cvt_13/t8_none": _ablation(
        8,
        "linear projection in every stage",
        {"stages[all].block.projection": "linear"},
        top1=80.6,
        note=f"{_KEPT}; the released code cannot run it",
    ),
    "cvt_13/t8_1": _ablation(
        8, "convolutional projection in stage 1 only", _LINEAR_BEHIND_1, top1=80.8, note=_KEPT
    ),
    "cvt_13/t8_1_2": _ablation(
        8,
        "convolutional projection in stages 1 and 2",
        {"stages[2].block.projection": "linear"},
        top1=81.0,
        note=_KEPT,
    ),
    "cvt_13/nas_smallest": _corner(
        "MLP ratio 2, stride 2",
        _NARROW,
        flops="2.59 G",
        released=Released(13_779_368, 3_121_544_704),
    ),
    "cvt_13/nas_stride_1": _corner(
        "MLP ratio 2, stride 1", _NARROW | _STRIDE_1, released=Released(13_779_368, 5_198_530_048)
    ),
}
