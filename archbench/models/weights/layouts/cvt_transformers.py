"""CvT as transformers has it; only the names, as its activation is not that of the weights."""

from archbench.models.weights.layout import WeightLayout

_EMBEDDING = "cvt.encoder.stages.{s}.embedding.convolution_embeddings"
_LAYER = "cvt.encoder.stages.{s}.layers.{b}"
_MAP = f"{_LAYER}.attention.attention.convolution_projection"

LAYOUT = WeightLayout(
    title="transformers' CvT",
    dialects=("transformers",),
    marks=(
        r"^cvt\.encoder\.stages\.0\.embedding\.convolution_embeddings\.",
        r"^classifier\.weight$",
    ),
    embeds=(("conv",), ("conv",)),
    blocks=("cvt",),
    fields={"shared_kv": (False, None)},
    leaves={"conv": "convolution", "norm": "normalization"},
    names={
        "stages.{s}.embed.conv": f"{_EMBEDDING}.projection",
        "stages.{s}.embed.norm": f"{_EMBEDDING}.normalization",
        "stages.{s}.class_token": "cvt.encoder.stages.{s}.cls_token",
        "stages.{s}.blocks.{b}.attention_norm": f"{_LAYER}.layernorm_before",
        "stages.{s}.blocks.{b}.attention.query_map": f"{_MAP}_query.convolution_projection",
        "stages.{s}.blocks.{b}.attention.query": f"{_LAYER}.attention.attention.projection_query",
        "stages.{s}.blocks.{b}.attention.key_map": f"{_MAP}_key.convolution_projection",
        "stages.{s}.blocks.{b}.attention.key": f"{_LAYER}.attention.attention.projection_key",
        "stages.{s}.blocks.{b}.attention.value_map": f"{_MAP}_value.convolution_projection",
        "stages.{s}.blocks.{b}.attention.value": f"{_LAYER}.attention.attention.projection_value",
        "stages.{s}.blocks.{b}.attention.projection": f"{_LAYER}.attention.output.dense",
        "stages.{s}.blocks.{b}.mlp_norm": f"{_LAYER}.layernorm_after",
        "stages.{s}.blocks.{b}.mlp.0": f"{_LAYER}.intermediate.dense",
        "stages.{s}.blocks.{b}.mlp.2": f"{_LAYER}.output.dense",
        "head.norm": "layernorm",
        "head.classifiers.0": "classifier",
    },
)
