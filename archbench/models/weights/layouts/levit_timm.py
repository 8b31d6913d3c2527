"""LeViT as timm has it: stages that begin with their downsampling; also with 1x1 convolutions."""

from __future__ import annotations

from collections.abc import Iterator

from archbench.models.spec import ResolvedSpec
from archbench.models.weights.layout import Place

TITLE = "timm's LeViT"
DIALECTS = ("timm",)
MARKS = (r"^stem\.conv1\.linear\.weight$", r"^stages\.\d+\.blocks\.\d+\.attn\.qkv\.linear\.")
EMBEDS = (("conv_stem",), ("shrink_attention",))
BLOCKS = ("levit",)
FIELDS: dict[str, tuple[object, ...]] = {"norm": ("batch",)}
LEAVES = {"conv": "linear", "norm": "bn"}
WRAPPER = ""
KEEPS_OFFSETS = False


def places(spec: ResolvedSpec) -> Iterator[Place]:
    """Stage by stage, as ours."""
    for number in range(8):  # every other entry of our stem is an activation
        yield Place(f"stages.0.embed.{2 * number}", f"stem.conv{number + 1}")
    for number, stage in enumerate(spec.stages):
        if number:
            embed, theirs = f"stages.{number}.embed", f"stages.{number}.downsample"
            yield Place(f"{embed}.bias.values", f"{theirs}.attn_downsample.attention_biases")
            yield Place(f"{embed}.key_value", f"{theirs}.attn_downsample.kv")
            yield Place(f"{embed}.query", f"{theirs}.attn_downsample.q.ln")
            yield Place(f"{embed}.projection", f"{theirs}.attn_downsample.proj.ln")
            yield from _mlp(embed, theirs)
        for layer in range(len(stage.blocks)):
            block = theirs = f"stages.{number}.blocks.{layer}"
            yield Place(f"{block}.attention.bias.values", f"{theirs}.attn.attention_biases")
            yield Place(f"{block}.attention.query_key_value", f"{theirs}.attn.qkv")
            yield Place(f"{block}.attention.projection", f"{theirs}.attn.proj.ln")
            yield from _mlp(block, theirs)
    for ours, head in (("0", "head"), ("1", "head_dist")):
        yield Place(f"head.classifiers.{ours}", head)


def _mlp(ours: str, theirs: str) -> Iterator[Place]:
    yield Place(f"{ours}.mlp.0", f"{theirs}.mlp.ln1")
    yield Place(f"{ours}.mlp.2", f"{theirs}.mlp.ln2")
