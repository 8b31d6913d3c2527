"""ViT and DeiT in the files of transformers: queries, keys and values are layers of their own.

A network with two class tokens is its DeiT, any other its ViT, also where the weights are DeiT's.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from archbench.models.spec import ResolvedSpec
from archbench.models.weights.layout import Names, WeightLayout


def vit_names(
    spec: ResolvedSpec,
    *,
    block: str,
    query_key_value: Sequence[str],
    projection: str,
    mlp: tuple[str, str],
) -> Names:
    """What differs between the releases of transformers are the names inside a block."""
    root = "deit" if spec.stages[0].class_tokens == 2 else "vit"
    tokens = (f"{root}.embeddings.cls_token", f"{root}.embeddings.distillation_token")
    one = spec.head.num_classifiers == 1
    return {
        "stages.0.embed.conv": f"{root}.embeddings.patch_embeddings.projection",
        "stages.0.class_token": tokens if root == "deit" else tokens[:1],
        "stages.0.position": f"{root}.embeddings.position_embeddings",
        "stages.0.blocks.{b}.attention_norm": f"{root}.{block}.layernorm_before",
        "stages.0.blocks.{b}.attention.query_key_value": tuple(
            f"{root}.{block}.{name}" for name in query_key_value
        ),
        "stages.0.blocks.{b}.attention.projection": f"{root}.{block}.{projection}",
        "stages.0.blocks.{b}.mlp_norm": f"{root}.{block}.layernorm_after",
        "stages.0.blocks.{b}.mlp.0": f"{root}.{block}.{mlp[0]}",
        "stages.0.blocks.{b}.mlp.2": f"{root}.{block}.{mlp[1]}",
        "head.norm": f"{root}.layernorm",
        "head.classifiers.0": "classifier" if one else "cls_classifier",
        **({} if one else {"head.classifiers.1": "distillation_classifier"}),
    }


LAYOUT = WeightLayout(
    title="transformers' ViT or DeiT",
    dialects=("transformers",),
    marks=(r"^(vit|deit)\.embeddings\.", r"^(vit|deit)\.encoder\.layer\.0\.attention\.attention\."),
    embeds=(("conv",), ()),
    blocks=("vit",),
    names=partial(
        vit_names,
        block="encoder.layer.{b}",
        query_key_value=[f"attention.attention.{word}" for word in ("query", "key", "value")],
        projection="attention.output.dense",
        mlp=("intermediate.dense", "output.dense"),
    ),
)
