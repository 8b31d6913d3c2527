"""LeViT: a vision transformer in ConvNet's clothing (Graham et al. 2021), table 2.

arXiv:2104.01136. As released, with both classifiers, of which the second learns from a teacher.
LeViT-384 has 16 heads in its second shrinking attention, where table 2 prints 18.
"""

from __future__ import annotations

from typing import Any

from archbench.models.catalogue import Paper, Variant


def _document(
    *,
    dims: tuple[int, ...],
    key_dim: int,
    heads: tuple[int, ...],
    depths: tuple[int, ...],
    drop_path: float = 0.0,
) -> dict[str, Any]:
    shrink = {
        "kind": "shrink_attention",
        "key_dim": key_dim,
        "attention_ratio": 4,
        "mlp_ratio": 2,
        "stride": 2,
    }
    embeds = [{"kind": "conv_stem", "num_convs": 4}, shrink, shrink]
    stages = [
        {
            "embed": dict(embed),
            "block": {
                "kind": "levit",
                "num_heads": num_heads,
                "key_dim": key_dim,
                "attention_ratio": 2,
                "mlp_ratio": 2,
            },
            "dim": dim,
            "depth": depth,
            "position": "bias",
            "drop_path": drop_path,
        }
        for embed, dim, num_heads, depth in zip(embeds, dims, heads, depths, strict=True)
    ]
    return {
        "resolution": 224,
        "num_classes": 1000,
        "stages": stages,
        "head": {"pool": "mean", "norm": "batch", "num_classifiers": 2},
    }


def _paper(params: str, flops: str, top1: float, note: str = "") -> Paper:
    return Paper(params=params, flops=flops, top1=top1, source="LeViT, table 3", note=note)


VARIANTS = {
    "levit_128s": Variant(
        document=_document(dims=(128, 256, 384), key_dim=16, heads=(4, 6, 8), depths=(2, 3, 4)),
        paper=_paper("7.8 M", "305 M", 76.6),
    ),
    "levit_128": Variant(
        document=_document(dims=(128, 256, 384), key_dim=16, heads=(4, 8, 12), depths=(4, 4, 4)),
        paper=_paper("9.2 M", "406 M", 78.6),
    ),
    "levit_192": Variant(
        document=_document(dims=(192, 288, 384), key_dim=32, heads=(3, 5, 6), depths=(4, 4, 4)),
        paper=_paper("10.9 M", "658 M", 80.0),
    ),
    "levit_256": Variant(
        document=_document(dims=(256, 384, 512), key_dim=32, heads=(4, 6, 8), depths=(4, 4, 4)),
        paper=_paper("18.9 M", "1120 M", 81.6, "the released code counts 1128 M with softmax"),
    ),
    "levit_384": Variant(
        document=_document(
            dims=(384, 512, 768), key_dim=32, heads=(6, 9, 12), depths=(4, 4, 4), drop_path=0.1
        ),
        paper=_paper("39.1 M", "2353 M", 82.6),
    ),
}
