"""LeViT as timm has it: stages that begin with their downsampling; also with 1x1 convolutions."""

from archbench.models.weights.layout import WeightLayout

_DOWNSAMPLE, _BLOCK = "stages.{e}.downsample", "stages.{s}.blocks.{b}"

LAYOUT = WeightLayout(
    title="timm's LeViT",
    dialects=("timm",),
    marks=(r"^stem\.conv1\.linear\.weight$", r"^stages\.\d+\.blocks\.\d+\.attn\.qkv\.linear\."),
    embeds=(("conv_stem",), ("shrink_attention",)),
    blocks=("levit",),
    fields={"norm": ("batch",)},
    leaves={"conv": "linear", "norm": "bn"},
    names={
        # Every other entry of our stem is an activation.
        **{f"stages.0.embed.{2 * i}": f"stem.conv{i + 1}" for i in range(8)},
        "stages.{e}.embed.bias.values": f"{_DOWNSAMPLE}.attn_downsample.attention_biases",
        "stages.{e}.embed.key_value": f"{_DOWNSAMPLE}.attn_downsample.kv",
        "stages.{e}.embed.query": f"{_DOWNSAMPLE}.attn_downsample.q.ln",
        "stages.{e}.embed.projection": f"{_DOWNSAMPLE}.attn_downsample.proj.ln",
        "stages.{e}.embed.mlp.0": f"{_DOWNSAMPLE}.mlp.ln1",
        "stages.{e}.embed.mlp.2": f"{_DOWNSAMPLE}.mlp.ln2",
        "stages.{s}.blocks.{b}.attention.bias.values": f"{_BLOCK}.attn.attention_biases",
        "stages.{s}.blocks.{b}.attention.query_key_value": f"{_BLOCK}.attn.qkv",
        "stages.{s}.blocks.{b}.attention.projection": f"{_BLOCK}.attn.proj.ln",
        "stages.{s}.blocks.{b}.mlp.0": f"{_BLOCK}.mlp.ln1",
        "stages.{s}.blocks.{b}.mlp.2": f"{_BLOCK}.mlp.ln2",
        "head.classifiers.0": "head",
        "head.classifiers.1": "head_dist",
    },
)
