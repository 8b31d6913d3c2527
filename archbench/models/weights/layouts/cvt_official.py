"""CvT as its authors released it: flat names ``stage0`` ..., sometimes under ``state_dict``.

Wu et al. 2021 (arXiv:2103.15808), the released code.
"""

from __future__ import annotations

from collections.abc import Iterator

from archbench.models.spec import ResolvedSpec
from archbench.models.weights.layout import Place

TITLE = "the released CvT's"
DIALECTS = ("official",)
MARKS = (r"^stage0\.patch_embed\.proj\.weight$", r"^head\.weight$")
EMBEDS = (("conv",), ("conv",))
BLOCKS = ("cvt",)
FIELDS: dict[str, tuple[object, ...]] = {"shared_kv": (False, None)}
LEAVES = {"norm": "bn"}
WRAPPER = ""
KEEPS_OFFSETS = False


def places(spec: ResolvedSpec) -> Iterator[Place]:
    """Stage by stage, as ours."""
    for number, stage in enumerate(spec.stages):
        ours, theirs = f"stages.{number}", f"stage{number}"
        yield Place(f"{ours}.embed.conv", f"{theirs}.patch_embed.proj")
        yield Place(f"{ours}.embed.norm", f"{theirs}.patch_embed.norm")
        yield Place(f"{ours}.class_token", f"{theirs}.cls_token")
        for layer in range(len(stage.blocks)):
            yield from _block(f"{ours}.blocks.{layer}", f"{theirs}.blocks.{layer}")
    yield Place("head.norm", "norm")
    yield Place("head.classifiers.0", "head")


def _block(ours: str, theirs: str) -> Iterator[Place]:
    yield Place(f"{ours}.attention_norm", f"{theirs}.norm1")
    for word in ("query", "key", "value"):
        yield Place(f"{ours}.attention.{word}_map", f"{theirs}.attn.conv_proj_{word[0]}")
        yield Place(f"{ours}.attention.{word}", f"{theirs}.attn.proj_{word[0]}")
    yield Place(f"{ours}.attention.projection", f"{theirs}.attn.proj")
    yield Place(f"{ours}.mlp_norm", f"{theirs}.norm2")
    yield Place(f"{ours}.mlp.0", f"{theirs}.mlp.fc1")
    yield Place(f"{ours}.mlp.2", f"{theirs}.mlp.fc2")
