"""LeViT as transformers has it, with one classifier or, "with teacher", two.

A stage is one list in which attention and MLP are entries of their own; the shrinking attention
and its MLP end the stage before the one that they make.
"""

from archbench.models.weights.layout import WeightLayout

_BEFORE, _STAGE = "levit.encoder.stages.{before}.layers", "levit.encoder.stages.{s}.layers"
_ATTENTION = f"{_STAGE}.{{entry}}.module"

LAYOUT = WeightLayout(
    title="transformers' LeViT",
    dialects=("transformers",),
    marks=(
        r"^levit\.patch_embeddings\.embedding_layer_1\.",
        r"^levit\.encoder\.stages\.0\.layers\.0\.",
    ),
    embeds=(("conv_stem",), ("shrink_attention",)),
    blocks=("levit",),
    fields={"norm": ("batch",)},
    leaves={"conv": "convolution", "norm": "batch_norm"},
    names={
        # Every other entry of our stem is an activation.
        **{
            f"stages.0.embed.{2 * i}": f"levit.patch_embeddings.embedding_layer_{i + 1}"
            for i in range(8)
        },
        "stages.{e}.embed.bias.values": f"{_BEFORE}.{{entry}}.attention_biases",
        "stages.{e}.embed.key_value": f"{_BEFORE}.{{entry}}.keys_values",
        "stages.{e}.embed.query": f"{_BEFORE}.{{entry}}.queries",
        "stages.{e}.embed.projection": f"{_BEFORE}.{{entry}}.projection",
        "stages.{e}.embed.mlp.0": f"{_BEFORE}.{{entry_mlp}}.module.linear_up",
        "stages.{e}.embed.mlp.2": f"{_BEFORE}.{{entry_mlp}}.module.linear_down",
        "stages.{s}.blocks.{b}.attention.bias.values": f"{_ATTENTION}.attention_biases",
        "stages.{s}.blocks.{b}.attention.query_key_value": f"{_ATTENTION}.queries_keys_values",
        "stages.{s}.blocks.{b}.attention.projection": f"{_ATTENTION}.projection",
        "stages.{s}.blocks.{b}.mlp.0": f"{_STAGE}.{{entry_mlp}}.module.linear_up",
        "stages.{s}.blocks.{b}.mlp.2": f"{_STAGE}.{{entry_mlp}}.module.linear_down",
        "head.classifiers.0": "classifier",
        "head.classifiers.1": "classifier_distill",
    },
)
