"""CvT as transformers has it; only the names, as its activation is not that of the weights."""

from __future__ import annotations

from collections.abc import Iterator

from archbench.models.spec import ResolvedSpec
from archbench.models.weights.layout import Place

TITLE = "transformers' CvT"
DIALECTS = ("transformers",)
MARKS = (r"^cvt\.encoder\.stages\.0\.embedding\.convolution_embeddings\.", r"^classifier\.weight$")
EMBEDS = (("conv",), ("conv",))
BLOCKS = ("cvt",)
FIELDS: dict[str, tuple[object, ...]] = {"shared_kv": (False, None)}
LEAVES = {"conv": "convolution", "norm": "normalization"}
WRAPPER = ""
KEEPS_OFFSETS = False


def places(spec: ResolvedSpec) -> Iterator[Place]:
    """Stage by stage, as ours."""
    for number, stage in enumerate(spec.stages):
        ours, theirs = f"stages.{number}", f"cvt.encoder.stages.{number}"
        embedding = f"{theirs}.embedding.convolution_embeddings"
        yield Place(f"{ours}.embed.conv", f"{embedding}.projection")
        yield Place(f"{ours}.embed.norm", f"{embedding}.normalization")
        yield Place(f"{ours}.class_token", f"{theirs}.cls_token")
        for layer in range(len(stage.blocks)):
            yield from _block(f"{ours}.blocks.{layer}", f"{theirs}.layers.{layer}")
    yield Place("head.norm", "layernorm")
    yield Place("head.classifiers.0", "classifier")


def _block(ours: str, theirs: str) -> Iterator[Place]:
    inner = f"{theirs}.attention.attention"
    yield Place(f"{ours}.attention_norm", f"{theirs}.layernorm_before")
    for word in ("query", "key", "value"):
        convolution = f"{inner}.convolution_projection_{word}.convolution_projection"
        yield Place(f"{ours}.attention.{word}_map", convolution)
        yield Place(f"{ours}.attention.{word}", f"{inner}.projection_{word}")
    yield Place(f"{ours}.attention.projection", f"{theirs}.attention.output.dense")
    yield Place(f"{ours}.mlp_norm", f"{theirs}.layernorm_after")
    yield Place(f"{ours}.mlp.0", f"{theirs}.intermediate.dense")
    yield Place(f"{ours}.mlp.2", f"{theirs}.output.dense")
