"""ViT and DeiT under the names that transformers 5 has in memory, as ``state_dict()`` gives them.

Its ``save_pretrained`` still writes the names of ``vit_transformers``.
"""

from __future__ import annotations

from collections.abc import Iterator

from archbench.models.layout import Place
from archbench.models.resolved import ResolvedSpec

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
    stage = spec.stages[0]
    two = stage.class_tokens == 2
    root = "deit" if two else "vit"
    embeddings = f"{root}.embeddings"
    tokens = (f"{embeddings}.cls_token", f"{embeddings}.distillation_token")[: 1 + two]
    yield Place("stages.0.embed.conv", f"{embeddings}.patch_embeddings.projection")
    yield Place("stages.0.class_token", tokens, dim=1)
    yield Place("stages.0.position", f"{embeddings}.position_embeddings")
    for layer in range(len(stage.blocks)):
        yield from _block(f"stages.0.blocks.{layer}", f"{root}.layers.{layer}")
    yield Place("head.norm", f"{root}.layernorm")
    if spec.head.num_classifiers == 1:
        yield Place("head.classifiers.0", "classifier")
    else:
        yield Place("head.classifiers.0", "cls_classifier")
        yield Place("head.classifiers.1", "distillation_classifier")


def _block(ours: str, theirs: str) -> Iterator[Place]:
    yield Place(f"{ours}.attention_norm", f"{theirs}.layernorm_before")
    three = tuple(f"{theirs}.attention.{letter}_proj" for letter in "qkv")
    yield Place(f"{ours}.attention.query_key_value", three)
    yield Place(f"{ours}.attention.projection", f"{theirs}.attention.o_proj")
    yield Place(f"{ours}.mlp_norm", f"{theirs}.layernorm_after")
    yield Place(f"{ours}.mlp.0", f"{theirs}.mlp.fc1")
    yield Place(f"{ours}.mlp.2", f"{theirs}.mlp.fc2")
