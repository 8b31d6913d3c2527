"""ViT and DeiT under the names that transformers 5 has in memory, as ``state_dict()`` gives them.

Its ``save_pretrained`` still writes the names of ``vit_transformers``.
"""

from functools import partial

from archbench.models.weights.layout import WeightLayout
from archbench.models.weights.layouts.vit_transformers import vit_names

LAYOUT = WeightLayout(
    title="transformers 5's ViT or DeiT",
    dialects=("transformers_5",),
    marks=(r"^(vit|deit)\.embeddings\.", r"^(vit|deit)\.layers\.0\.attention\.q_proj\."),
    embeds=(("conv",), ()),
    blocks=("vit",),
    names=partial(
        vit_names,
        block="layers.{b}",
        query_key_value=[f"attention.{letter}_proj" for letter in "qkv"],
        projection="attention.o_proj",
        mlp=("mlp.fc1", "mlp.fc2"),
    ),
)
