"""LeViT as its authors released it: blocks in one flat list, weights under ``model``.

Graham et al. 2021 (arXiv:2104.01136), the released code. Attention and MLP are entries of their
own in the list, each within a residual ``m`` but the shrinking attention. Its variant with 1x1
convolutions has the same names.
"""

from archbench.models.weights.layout import WeightLayout

LAYOUT = WeightLayout(
    title="the released LeViT's",
    dialects=("official",),
    marks=(r"^patch_embed\.0\.c\.weight$", r"^blocks\.0\.m\.qkv\.c\."),
    embeds=(("conv_stem",), ("shrink_attention",)),
    blocks=("levit",),
    fields={"norm": ("batch",)},
    leaves={"conv": "c", "linear": "c", "norm": "bn"},
    wrapper="model",
    keeps_offsets=True,
    names={
        "stages.0.embed": "patch_embed",
        "stages.{e}.embed.bias.values": "blocks.{flat}.attention_biases",
        "stages.{e}.embed.key_value": "blocks.{flat}.kv",
        "stages.{e}.embed.query": "blocks.{flat}.q.1",
        "stages.{e}.embed.projection": "blocks.{flat}.proj.1",
        "stages.{e}.embed.mlp": "blocks.{flat_mlp}.m",
        "stages.{s}.blocks.{b}.attention.bias.values": "blocks.{flat}.m.attention_biases",
        "stages.{s}.blocks.{b}.attention.query_key_value": "blocks.{flat}.m.qkv",
        "stages.{s}.blocks.{b}.attention.projection": "blocks.{flat}.m.proj.1",
        "stages.{s}.blocks.{b}.mlp": "blocks.{flat_mlp}.m",
        "head.classifiers.0.norm": "head.bn",
        "head.classifiers.0.linear": "head.l",
        "head.classifiers.1.norm": "head_dist.bn",
        "head.classifiers.1.linear": "head_dist.l",
    },
)
