"""Average pooling without overlap, then a 1x1 convolution to the new width.

Where LeViT's first experiments put a transformer on top of a ResNet (Graham et al. 2021,
arXiv:2104.01136, sec. 3 and table 1), which pool to 14x14; that a 1x1 convolution takes the
pooled map to the transformer's width is our reading, which the table's parameters confirm.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Self

from torch import nn

from archbench.models.arithmetic import Work, convolution
from archbench.models.part import Grid, Site, check_whole


@dataclass(frozen=True, kw_only=True)
class Spec:
    """What may be set.

    Attributes:
        stride: Side of the pooling window and step between two; 1 pools nothing. Windows that
            reach beyond the map average what of them lies on it.
    """

    kind: ClassVar[str] = "pool"
    has_attention: ClassVar[bool] = False

    stride: int = 2

    def __post_init__(self) -> None:
        check_whole("stride", self.stride, high=64)

    def resolved(self, site: Site) -> Self:
        """Itself."""
        return self

    def outgoing(self, grid: Grid) -> Grid:
        """The map that leaves it: ceil(size / stride)."""
        return Grid(*(-(-size // self.stride) for size in grid))

    def with_stride_near(self, stride: float) -> Self:
        """At the nearest whole stride."""
        return replace(self, stride=max(1, round(stride)))

    def count(self, site: Site) -> Work:
        """C*C' MACs for each token that leaves."""
        return convolution(
            inputs=site.incoming_dim,
            outputs=site.dim,
            kernel=1,
            tokens=self.outgoing(site.grid).tokens,
            bias=True,
        )

    def module(self, site: Site) -> nn.Module:
        """(B, C, H, W) to (B, C', H', W')."""
        return nn.Sequential(
            nn.AvgPool2d(self.stride, ceil_mode=True) if self.stride > 1 else nn.Identity(),
            nn.Conv2d(site.incoming_dim, site.dim, 1),
        )
