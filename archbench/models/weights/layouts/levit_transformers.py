"""LeViT as transformers has it, with one classifier or, "with teacher", two.

A stage is one list in which attention and MLP are entries of their own; the shrinking attention
and its MLP end the stage before the one that they make.
"""

from __future__ import annotations

from collections.abc import Iterator

from archbench.models.spec import ResolvedSpec
from archbench.models.weights.layout import Place

TITLE = "transformers' LeViT"
DIALECTS = ("transformers",)
MARKS = (
    r"^levit\.patch_embeddings\.embedding_layer_1\.",
    r"^levit\.encoder\.stages\.0\.layers\.0\.",
)
EMBEDS = (("conv_stem",), ("shrink_attention",))
BLOCKS = ("levit",)
FIELDS: dict[str, tuple[object, ...]] = {"norm": ("batch",)}
LEAVES = {"conv": "convolution", "norm": "batch_norm"}
WRAPPER = ""
KEEPS_OFFSETS = False


def places(spec: ResolvedSpec) -> Iterator[Place]:
    """The embed of a stage stands behind the blocks of the one before."""
    for number in range(8):  # every other entry of our stem is an activation
        theirs = f"levit.patch_embeddings.embedding_layer_{number + 1}"
        yield Place(f"stages.0.embed.{2 * number}", theirs)
    before = ""
    entry = 0
    for number, stage in enumerate(spec.stages):
        if number:
            embed, theirs = f"stages.{number}.embed", f"{before}.{entry}"
            yield Place(f"{embed}.bias.values", f"{theirs}.attention_biases")
            yield Place(f"{embed}.key_value", f"{theirs}.keys_values")
            yield Place(f"{embed}.query", f"{theirs}.queries")
            yield Place(f"{embed}.projection", f"{theirs}.projection")
            yield from _mlp(embed, f"{before}.{entry + 1}.module")
        before, entry = f"levit.encoder.stages.{number}.layers", 0
        for layer in range(len(stage.blocks)):
            block, theirs = f"stages.{number}.blocks.{layer}", f"{before}.{entry}.module"
            yield Place(f"{block}.attention.bias.values", f"{theirs}.attention_biases")
            yield Place(f"{block}.attention.query_key_value", f"{theirs}.queries_keys_values")
            yield Place(f"{block}.attention.projection", f"{theirs}.projection")
            yield from _mlp(block, f"{before}.{entry + 1}.module")
            entry += 2
    for ours, head in (("0", "classifier"), ("1", "classifier_distill")):
        yield Place(f"head.classifiers.{ours}", head)


def _mlp(ours: str, theirs: str) -> Iterator[Place]:
    yield Place(f"{ours}.mlp.0", f"{theirs}.linear_up")
    yield Place(f"{ours}.mlp.2", f"{theirs}.linear_down")
