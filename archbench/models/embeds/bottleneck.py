"""ResNet's bottleneck that widens or shrinks the map: the first one of each of its stages.

He et al. 2016 (arXiv:1512.03385), sec. 4.1; see ``archbench/models/bottleneck.py``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Self

from torch import nn

from archbench.models.arithmetic import Work
from archbench.models.bottleneck import Bottleneck, bottleneck_grid, bottleneck_work, inner_width
from archbench.models.part import ACTIVATIONS, Grid, Site, check_choice, check_whole


@dataclass(frozen=True, kw_only=True)
class Spec:
    """What may be set.

    Attributes:
        stride: Of the 3x3 convolution and of the shortcut.
        reduction: How many times the new width is that of the 3x3 convolution.
        activation: Behind each convolution, the last one's behind the sum.
    """

    kind: ClassVar[str] = "bottleneck"
    has_attention: ClassVar[bool] = False

    stride: int = 2
    reduction: int = 4
    activation: str = "relu"

    def __post_init__(self) -> None:
        check_whole("stride", self.stride, high=64)
        check_whole("reduction", self.reduction, high=64)
        check_choice("activation", self.activation, ACTIVATIONS)

    def resolved(self, site: Site) -> Self:
        """Itself.

        Raises:
            SpecError: The new width is smaller than the reduction.
        """
        inner_width(site, reduction=self.reduction)
        return self

    def outgoing(self, grid: Grid) -> Grid:
        """The map that leaves it: ceil(size / stride)."""
        return bottleneck_grid(grid, stride=self.stride)

    def with_stride_near(self, stride: float) -> Self:
        """At the nearest whole stride."""
        return replace(self, stride=max(1, round(stride)))

    def count(self, site: Site) -> Work:
        """N*C*I + M*(9*I*I + I*C' + C*C') MACs; N tokens enter, M leave, I the inner width."""
        inner = inner_width(site, reduction=self.reduction)
        return bottleneck_work(site, inner=inner, stride=self.stride)

    def module(self, site: Site) -> nn.Module:
        """(B, C, H, W) to (B, C', H', W')."""
        return Bottleneck(
            site,
            inner=inner_width(site, reduction=self.reduction),
            stride=self.stride,
            activation_name=self.activation,
        )
