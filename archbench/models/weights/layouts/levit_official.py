"""LeViT as its authors released it: blocks in one flat list, weights under ``model``.

Graham et al. 2021 (arXiv:2104.01136), the released code. Attention and MLP are entries of their
own in the list, each within a residual ``m`` but the shrinking attention. Its variant with 1x1
convolutions has the same names.
"""

from __future__ import annotations

from collections.abc import Iterator

from archbench.models.spec import ResolvedSpec
from archbench.models.weights.layout import Place

TITLE = "the released LeViT's"
DIALECTS = ("official",)
MARKS = (r"^patch_embed\.0\.c\.weight$", r"^blocks\.0\.m\.qkv\.c\.")
EMBEDS = (("conv_stem",), ("shrink_attention",))
BLOCKS = ("levit",)
FIELDS: dict[str, tuple[object, ...]] = {"norm": ("batch",)}
LEAVES = {"conv": "c", "linear": "c", "norm": "bn"}
WRAPPER = "model"
KEEPS_OFFSETS = True


def places(spec: ResolvedSpec) -> Iterator[Place]:
    """The flat list counts attention and MLP of every block, and both of every embed."""
    yield Place("stages.0.embed", "patch_embed")
    entry = 0
    for number, stage in enumerate(spec.stages):
        if number:
            embed, flat = f"stages.{number}.embed", f"blocks.{entry}"
            yield Place(f"{embed}.bias.values", f"{flat}.attention_biases")
            yield Place(f"{embed}.key_value", f"{flat}.kv")
            yield Place(f"{embed}.query", f"{flat}.q.1")
            yield Place(f"{embed}.projection", f"{flat}.proj.1")
            yield Place(f"{embed}.mlp", f"blocks.{entry + 1}.m")
            entry += 2
        for layer in range(len(stage.blocks)):
            block, flat = f"stages.{number}.blocks.{layer}", f"blocks.{entry}.m"
            yield Place(f"{block}.attention.bias.values", f"{flat}.attention_biases")
            yield Place(f"{block}.attention.query_key_value", f"{flat}.qkv")
            yield Place(f"{block}.attention.projection", f"{flat}.proj.1")
            yield Place(f"{block}.mlp", f"blocks.{entry + 1}.m")
            entry += 2
    for ours, theirs in (("0", "head"), ("1", "head_dist")):
        yield Place(f"head.classifiers.{ours}.norm", f"{theirs}.bn")
        yield Place(f"head.classifiers.{ours}.linear", f"{theirs}.l")
