"""LeViT: a vision transformer in ConvNet's clothing (Graham et al. 2021), tables 2 to 5.

arXiv:2104.01136. As released, with both classifiers, of which the second learns from a teacher.
LeViT-384 has 16 heads in its second shrinking attention, where table 2 prints 18.
"""

from __future__ import annotations

from typing import Any

from archbench.models.catalogue import Ablation, Paper, Released, Variant

_STEM = {"kind": "conv_stem", "num_convs": 4}


def _block(num_heads: int, key_dim: int) -> dict[str, Any]:
    return {
        "kind": "levit",
        "num_heads": num_heads,
        "key_dim": key_dim,
        "attention_ratio": 2,
        "mlp_ratio": 2,
    }


def _document(
    *,
    dims: tuple[int, ...],
    key_dim: int,
    heads: tuple[int, ...],
    depths: tuple[int, ...] = (4, 4, 4),
    drop_path: float = 0.0,
) -> dict[str, Any]:
    shrink = {
        "kind": "shrink_attention",
        "key_dim": key_dim,
        "attention_ratio": 4,
        "mlp_ratio": 2,
        "stride": 2,
    }
    stages = [
        {
            "embed": dict(embed),
            "block": _block(num_heads, key_dim),
            "dim": dim,
            "depth": depth,
            "position": "bias",
            "drop_path": drop_path,
        }
        for embed, dim, num_heads, depth in zip(
            (_STEM, shrink, shrink), dims, heads, depths, strict=True
        )
    ]
    return {
        "resolution": 224,
        "num_classes": 1000,
        "stages": stages,
        "head": {"pool": "mean", "norm": "batch", "num_classifiers": 2},
    }


def _paper(params: str, flops: str, top1: float, reason: str = "") -> Paper:
    return Paper(params=params, flops=flops, top1=top1, source="LeViT, table 3", reason=reason)


def _with_softmax(flops: str) -> str:
    return f"the paper counts the softmax, too: {flops}"


VARIANTS = {
    "levit_128s": Variant(
        document=_document(dims=(128, 256, 384), key_dim=16, heads=(4, 6, 8), depths=(2, 3, 4)),
        paper=_paper("7.8 M", "305 M", 76.6),
        released=Released(7_777_058, 304_660_832),
        hub="timm/levit_128s.fb_dist_in1k",
    ),
    "levit_128": Variant(
        document=_document(dims=(128, 256, 384), key_dim=16, heads=(4, 8, 12)),
        paper=_paper("9.2 M", "406 M", 78.6, _with_softmax("406.1 M")),
        released=Released(9_213_936, 405_321_728),
        hub="timm/levit_128.fb_dist_in1k",
    ),
    "levit_192": Variant(
        document=_document(dims=(192, 288, 384), key_dim=32, heads=(3, 5, 6)),
        paper=_paper("10.9 M", "658 M", 80.0, _with_softmax("657.6 M")),
        released=Released(10_947_069, 657_022_080),
        hub="timm/levit_192.fb_dist_in1k",
    ),
    "levit_256": Variant(
        document=_document(dims=(256, 384, 512), key_dim=32, heads=(4, 6, 8)),
        paper=_paper(
            "18.9 M",
            "1120 M",
            81.6,
            "the released code never counts 1120 M: it counts the softmax, too, and prints 1128 M",
        ),
        released=Released(18_893_876, 1_127_257_344),
        hub="timm/levit_256.fb_dist_in1k",
    ),
    "levit_384": Variant(
        document=_document(dims=(384, 512, 768), key_dim=32, heads=(6, 9, 12), drop_path=0.1),
        paper=_paper("39.1 M", "2353 M", 82.6, _with_softmax("2352.9 M")),
        released=Released(39_128_836, 2_351_786_880),
        hub="timm/levit_384.fb_dist_in1k",
    ),
}


def _ablation(
    row: str,
    changed: dict[str, Any],
    *,
    top1: float,
    params: str = "7.4 M",
    flops: str = "305 M",
    reason: str = "",
    note: str = "",
    released: Released | None = None,
    training: dict[str, str] | None = None,
) -> Ablation:
    """A row of table 5, which changes one thing in a LeViT-128S with one classifier (71.9 %)."""
    if flops == "305 M":
        reason = _with_softmax("304.7 M")
    paper = Paper(
        params=params,
        flops=flops,
        top1=top1,
        source="LeViT, table 5",
        row=row,
        base_top1=71.9,
        reason=reason,
        note=note,
    )
    return Ablation(
        base="levit_128s/base",
        set=changed,
        training=training or {},
        paper=paper,
        released=released,
    )


_BASE = Released(7_391_290, 304_276_832)
_PLAIN_STAGE = {
    "embed": _STEM,
    "block": _block(3, 19),
    "dim": 114,
    "depth": 11,
    "position": "bias",
}
_PATCHES = {
    "kind": "conv",
    "kernel": 16,
    "stride": 16,
    "padding": 0,
    "bias": False,
    "norm": "batch",
}
_NARROW = {"key_dim": 30, "attention_ratio": 1, "mlp_ratio": 4}

ABLATIONS = {
    "levit_128s/base": Ablation(
        base="levit_128s",
        set={"head.num_classifiers": 1},
        paper=Paper(
            params="7.4 M",
            flops="305 M",
            top1=71.9,
            source="LeViT, table 5",
            row="the base: one classifier, 100 epochs",
            reason=_with_softmax("304.7 M"),
        ),
        released=_BASE,
    ),
    "levit_128s/a1": _ablation(
        "A1: without pyramid shape",
        {"stages": [_PLAIN_STAGE]},
        params="1.2 M",
        flops="308 M",
        top1=56.5,
        reason=_with_softmax("308.3 M"),
        released=Released(1_214_614, 307_039_416),
    ),
    "levit_128s/a2": _ablation(
        "A2: without PatchConv",
        {"stages[0].embed": _PATCHES},
        flops="275 M",
        top1=65.3,
        released=Released(7_392_170, 274_773_344),
    ),
    "levit_128s/a3": _ablation(
        "A3: without batch norm",
        {
            "stages[all].block.norm": "layer",
            "stages[1].embed.norm": "layer",
            "stages[2].embed.norm": "layer",
            "head.norm": "layer",
        },
        top1=66.6,
        note="layer norms before attention, MLP and classifier and linears with a bias are our "
        "reading; the stem keeps its batch norm",
    ),
    "levit_128s/a4": _ablation(
        "A4: without distillation",
        {},
        training={"teacher": "none"},
        top1=69.7,
        note="a setting of the training; the network is that of the base",
        released=_BASE,
    ),
    "levit_128s/a5": _ablation(
        "A5: without attention bias",
        {"stages[all].position": "none", "stages[0].position": "absolute"},
        top1=70.4,
        note="one position embedding, behind the stem, instead",
    ),
    "levit_128s/a6": _ablation(
        "A6: without wider blocks",
        {f"stages[{number}].dim": dim for number, dim in enumerate((120, 180, 240))}
        | {f"stages[all].block.{key}": value for key, value in _NARROW.items()}
        | {
            f"stages[{number}].embed.{key}": value
            for number, heads in ((1, 16), (2, 24))
            for key, value in (_NARROW | {"num_heads": heads}).items()
        },
        params="6.2 M",
        flops="312 M",
        top1=70.9,
    ),
    "levit_128s/a7": _ablation(
        "A7: without attention activation",
        {
            "stages[all].block.attention_activation": "none",
            "stages[all].embed.attention_activation": "none",
        },
        top1=71.1,
    ),
}
