"""CvT as its authors released it: flat names ``stage0`` ..., sometimes under ``state_dict``.

Wu et al. 2021 (arXiv:2103.15808), the released code.
"""

from archbench.models.weights.layout import WeightLayout

LAYOUT = WeightLayout(
    title="the released CvT's",
    dialects=("official",),
    marks=(r"^stage0\.patch_embed\.proj\.weight$", r"^head\.weight$"),
    embeds=(("conv",), ("conv",)),
    blocks=("cvt",),
    fields={"shared_kv": (False, None)},
    leaves={"norm": "bn"},
    names={
        "stages.{s}.embed.conv": "stage{s}.patch_embed.proj",
        "stages.{s}.embed.norm": "stage{s}.patch_embed.norm",
        "stages.{s}.class_token": "stage{s}.cls_token",
        "stages.{s}.blocks.{b}.attention_norm": "stage{s}.blocks.{b}.norm1",
        "stages.{s}.blocks.{b}.attention.query_map": "stage{s}.blocks.{b}.attn.conv_proj_q",
        "stages.{s}.blocks.{b}.attention.query": "stage{s}.blocks.{b}.attn.proj_q",
        "stages.{s}.blocks.{b}.attention.key_map": "stage{s}.blocks.{b}.attn.conv_proj_k",
        "stages.{s}.blocks.{b}.attention.key": "stage{s}.blocks.{b}.attn.proj_k",
        "stages.{s}.blocks.{b}.attention.value_map": "stage{s}.blocks.{b}.attn.conv_proj_v",
        "stages.{s}.blocks.{b}.attention.value": "stage{s}.blocks.{b}.attn.proj_v",
        "stages.{s}.blocks.{b}.attention.projection": "stage{s}.blocks.{b}.attn.proj",
        "stages.{s}.blocks.{b}.mlp_norm": "stage{s}.blocks.{b}.norm2",
        "stages.{s}.blocks.{b}.mlp.0": "stage{s}.blocks.{b}.mlp.fc1",
        "stages.{s}.blocks.{b}.mlp.2": "stage{s}.blocks.{b}.mlp.fc2",
        "head.norm": "norm",
        "head.classifiers.0": "head",
    },
)
