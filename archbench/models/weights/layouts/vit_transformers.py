"""ViT and DeiT in the files of transformers: queries, keys and values are layers of their own.

A network with two class tokens is its DeiT, any other its ViT, also where the weights are DeiT's.
"""

from __future__ import annotations

from collections.abc import Iterator

from archbench.models.spec import ResolvedSpec
from archbench.models.weights.layout import Place
from archbench.models.weights.vit_layout import vit_places

TITLE = "transformers' ViT or DeiT"
DIALECTS = ("transformers",)
MARKS = (r"^(vit|deit)\.embeddings\.", r"^(vit|deit)\.encoder\.layer\.0\.attention\.attention\.")
EMBEDS = (("conv",), ())
BLOCKS = ("vit",)
FIELDS: dict[str, tuple[object, ...]] = {}
LEAVES: dict[str, str] = {}
WRAPPER = ""
KEEPS_OFFSETS = False


def places(spec: ResolvedSpec) -> Iterator[Place]:
    """One stage, three layers for each of our ``query_key_value``."""
    return vit_places(spec, layers="encoder.layer", block=_block)


def _block(ours: str, theirs: str) -> Iterator[Place]:
    inner = f"{theirs}.attention.attention"
    yield Place(f"{ours}.attention_norm", f"{theirs}.layernorm_before")
    three = tuple(f"{inner}.{word}" for word in ("query", "key", "value"))
    yield Place(f"{ours}.attention.query_key_value", three)
    yield Place(f"{ours}.attention.projection", f"{theirs}.attention.output.dense")
    yield Place(f"{ours}.mlp_norm", f"{theirs}.layernorm_after")
    yield Place(f"{ours}.mlp.0", f"{theirs}.intermediate.dense")
    yield Place(f"{ours}.mlp.2", f"{theirs}.output.dense")
