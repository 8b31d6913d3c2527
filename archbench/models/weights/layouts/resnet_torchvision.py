"""ResNets of bottlenecks as torchvision has them, and timm under the same names."""

from __future__ import annotations

from collections.abc import Iterator

from archbench.models.spec import ResolvedSpec
from archbench.models.weights.layout import Place

TITLE = "torchvision's and timm's ResNet's"
DIALECTS = ("torchvision", "timm")
MARKS = (r"^conv1\.weight$", r"^layer1\.0\.conv3\.weight$", r"^fc\.weight$")
EMBEDS = (("resnet_stem",), ("bottleneck",))
BLOCKS = ("bottleneck",)
FIELDS: dict[str, tuple[object, ...]] = {}
LEAVES: dict[str, str] = {}
WRAPPER = ""
KEEPS_OFFSETS = False


def places(spec: ResolvedSpec) -> Iterator[Place]:
    """The first bottleneck of a layer, which may widen, is our embed."""
    yield Place("stages.0.embed.0.conv", "conv1")
    yield Place("stages.0.embed.0.norm", "bn1")
    for number, stage in enumerate(spec.stages[1:], start=1):
        embed, layer = f"stages.{number}.embed", f"layer{number}"
        yield from _branch(f"{embed}.branch", f"{layer}.0")
        yield Place(f"{embed}.shortcut.conv", f"{layer}.0.downsample.0")
        yield Place(f"{embed}.shortcut.norm", f"{layer}.0.downsample.1")
        for block in range(len(stage.blocks)):
            ours = f"stages.{number}.blocks.{block}.bottleneck.branch"
            yield from _branch(ours, f"{layer}.{block + 1}")
    yield Place("head.classifiers.0", "fc")


def _branch(ours: str, theirs: str) -> Iterator[Place]:
    for place in (1, 2, 3):  # every other entry of our branch is an activation
        yield Place(f"{ours}.{2 * place - 2}.conv", f"{theirs}.conv{place}")
        yield Place(f"{ours}.{2 * place - 2}.norm", f"{theirs}.bn{place}")
