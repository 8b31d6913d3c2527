"""Where transformers keeps what is around the blocks of ViT and DeiT, in both of its layouts."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from archbench.models.resolved import ResolvedSpec
from archbench.models.weights.layout import Place


def vit_places(
    spec: ResolvedSpec, *, layers: str, block: Callable[[str, str], Iterator[Place]]
) -> Iterator[Place]:
    """One stage; two class tokens make a DeiT.

    Args:
        spec: The network.
        layers: Where its blocks are kept, without their number.
        block: The places of one block, by our name of it and theirs.
    """
    stage = spec.stages[0]
    two = stage.class_tokens == 2
    root = "deit" if two else "vit"
    embeddings = f"{root}.embeddings"
    tokens = (f"{embeddings}.cls_token", f"{embeddings}.distillation_token")[: 1 + two]
    yield Place("stages.0.embed.conv", f"{embeddings}.patch_embeddings.projection")
    yield Place("stages.0.class_token", tokens, dim=1)
    yield Place("stages.0.position", f"{embeddings}.position_embeddings")
    for layer in range(len(stage.blocks)):
        yield from block(f"stages.0.blocks.{layer}", f"{root}.{layers}.{layer}")
    yield Place("head.norm", f"{root}.layernorm")
    if spec.head.num_classifiers == 1:
        yield Place("head.classifiers.0", "classifier")
    else:
        yield Place("head.classifiers.0", "cls_classifier")
        yield Place("head.classifiers.1", "distillation_classifier")
