"""ViT and DeiT as timm has them, which is also how DeiT's authors released them.

Touvron et al. 2021 (arXiv:2012.12877): the released files keep the weights under ``model``.
"""

from __future__ import annotations

from collections.abc import Iterator

from archbench.models.spec import ResolvedSpec
from archbench.models.weights.layout import Place

TITLE = "timm's and the released ViT's"
DIALECTS = ("official", "timm")
MARKS = (r"^patch_embed\.proj\.weight$", r"^blocks\.0\.attn\.qkv\.weight$", r"^pos_embed$")
EMBEDS = (("conv",), ())
BLOCKS = ("vit",)
FIELDS: dict[str, tuple[object, ...]] = {}
LEAVES: dict[str, str] = {}
WRAPPER = "model"
KEEPS_OFFSETS = False


def places(spec: ResolvedSpec) -> Iterator[Place]:
    """One stage; a distilled network has two class tokens, each under a name of its own."""
    stage = spec.stages[0]
    tokens = ("cls_token", "dist_token")[: max(1, stage.class_tokens)]
    yield Place("stages.0.embed.conv", "patch_embed.proj")
    yield Place("stages.0.class_token", tokens, dim=1)
    yield Place("stages.0.position", "pos_embed")
    for layer in range(len(stage.blocks)):
        ours, theirs = f"stages.0.blocks.{layer}", f"blocks.{layer}"
        yield Place(f"{ours}.attention_norm", f"{theirs}.norm1")
        yield Place(f"{ours}.attention.query_key_value", f"{theirs}.attn.qkv")
        yield Place(f"{ours}.attention.projection", f"{theirs}.attn.proj")
        yield Place(f"{ours}.mlp_norm", f"{theirs}.norm2")
        yield Place(f"{ours}.mlp.0", f"{theirs}.mlp.fc1")
        yield Place(f"{ours}.mlp.2", f"{theirs}.mlp.fc2")
    yield Place("head.norm", "norm")
    yield Place("head.classifiers.0", "head")
    yield Place("head.classifiers.1", "head_dist")
