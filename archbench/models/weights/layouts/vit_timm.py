"""ViT and DeiT as timm has them, which is also how DeiT's authors released them.

Touvron et al. 2021 (arXiv:2012.12877): the released files keep the weights under ``model``.
"""

from __future__ import annotations

from archbench.models.spec import ResolvedSpec
from archbench.models.weights.layout import Names, WeightLayout


def _names(spec: ResolvedSpec) -> Names:
    """A distilled network has two class tokens, each under a name of its own."""
    return {
        "stages.0.embed.conv": "patch_embed.proj",
        "stages.0.class_token": ("cls_token", "dist_token")[: max(1, spec.stages[0].class_tokens)],
        "stages.0.position": "pos_embed",
        "stages.0.blocks.{b}.attention_norm": "blocks.{b}.norm1",
        "stages.0.blocks.{b}.attention.query_key_value": "blocks.{b}.attn.qkv",
        "stages.0.blocks.{b}.attention.projection": "blocks.{b}.attn.proj",
        "stages.0.blocks.{b}.mlp_norm": "blocks.{b}.norm2",
        "stages.0.blocks.{b}.mlp.0": "blocks.{b}.mlp.fc1",
        "stages.0.blocks.{b}.mlp.2": "blocks.{b}.mlp.fc2",
        "head.norm": "norm",
        "head.classifiers.0": "head",
        "head.classifiers.1": "head_dist",
    }


LAYOUT = WeightLayout(
    title="timm's and the released ViT's",
    dialects=("official", "timm"),
    marks=(r"^patch_embed\.proj\.weight$", r"^blocks\.0\.attn\.qkv\.weight$", r"^pos_embed$"),
    embeds=(("conv",), ()),
    blocks=("vit",),
    wrapper="model",
    names=_names,
)
