"""ViT and DeiT under the names that transformers 5 has in memory, as ``state_dict()`` gives them.

Its ``save_pretrained`` still writes the names of ``vit_transformers``.
"""

from __future__ import annotations

from collections.abc import Iterator

from archbench.models.spec import ResolvedSpec
from archbench.models.weights.layout import Place
from archbench.models.weights.vit_layout import vit_places

TITLE = "transformers 5's ViT or DeiT"
DIALECTS = ("transformers_5",)
MARKS = (r"^(vit|deit)\.embeddings\.", r"^(vit|deit)\.layers\.0\.attention\.q_proj\.")
EMBEDS = (("conv",), ())
BLOCKS = ("vit",)
FIELDS: dict[str, tuple[object, ...]] = {}
LEAVES: dict[str, str] = {}
WRAPPER = ""
KEEPS_OFFSETS = False


def places(spec: ResolvedSpec) -> Iterator[Place]:
    """One stage, three layers for each of our ``query_key_value``."""
    return vit_places(spec, layers="layers", block=_block)


def _block(ours: str, theirs: str) -> Iterator[Place]:
    yield Place(f"{ours}.attention_norm", f"{theirs}.layernorm_before")
    three = tuple(f"{theirs}.attention.{letter}_proj" for letter in "qkv")
    yield Place(f"{ours}.attention.query_key_value", three)
    yield Place(f"{ours}.attention.projection", f"{theirs}.attention.o_proj")
    yield Place(f"{ours}.mlp_norm", f"{theirs}.layernorm_after")
    yield Place(f"{ours}.mlp.0", f"{theirs}.mlp.fc1")
    yield Place(f"{ours}.mlp.2", f"{theirs}.mlp.fc2")
