"""The proxy of a network: the same spec for smaller images and other classes."""

from __future__ import annotations

from dataclasses import replace
from math import sqrt

from archbench.errors import UsageError
from archbench.models.part import Grid
from archbench.models.spec import ArchSpec

STEMS = ("keep_grid", "as_is")


def proxy(
    spec: ArchSpec, *, resolution: int, num_classes: int, stem: str = "keep_grid"
) -> ArchSpec:
    """The network that is trained in place of a target.

    Args:
        spec: The target.
        resolution: Side of the proxy's images in pixels.
        num_classes: Classes of the proxy's data.
        stem: ``keep_grid`` reduces the stride of the first embed, so that the token grid stays
            about that of the target (LeViT at 64 px would otherwise end in one token);
            ``as_is`` changes nothing.

    Raises:
        UsageError: The stem is neither.
    """
    if stem not in STEMS:
        raise UsageError(f"stem {stem!r} is not one of {', '.join(STEMS)}", place="proxy.stem")
    stages = spec.stages
    target = spec.resolution
    if stem == "keep_grid":
        ratio = resolution / sqrt(target.height * target.width)
        embed = stages[0].embed
        out = embed.outgoing(target)
        stride = sqrt(target.tokens / out.tokens) * ratio
        if ratio != 1.0:
            stages = (replace(stages[0], embed=embed.with_stride_near(stride)), *stages[1:])
    return replace(
        spec,
        name=f"{spec.name}@{resolution}" if spec.name else "",
        resolution=Grid(resolution, resolution),
        num_classes=num_classes,
        stages=stages,
    )
