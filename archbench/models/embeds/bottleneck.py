"""ResNet's bottleneck that widens or shrinks the map: the first one of each of its stages.

He et al. 2016 (arXiv:1512.03385), sec. 4.1; see ``archbench/models/bottleneck.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Self

from torch import nn

from archbench.models.arithmetic import Work
from archbench.models.bottleneck import Bottleneck, bottleneck_work, inner_width
from archbench.models.part import Activation, Embed, Site, Stride, whole


@dataclass(frozen=True, kw_only=True)
class Spec(Embed):
    """What may be set.

    Attributes:
        stride: Of the 3x3 convolution and of the shortcut.
        reduction: How many times the new width is that of the 3x3 convolution.
        activation: Behind each convolution, the last one's behind the sum.
    """

    kind = "bottleneck"

    stride: Stride = 2
    reduction: Annotated[int, whole(high=64)] = 4
    activation: Activation = "relu"

    def resolved(self, site: Site) -> Self:
        """Itself.

        Raises:
            SpecError: The new width is smaller than the reduction.
        """
        inner_width(site, reduction=self.reduction)
        return self

    def count(self, site: Site) -> Work:
        """N*C*I + M*(9*I*I + I*C' + C*C') MACs; N tokens enter, M leave, I the inner width."""
        return bottleneck_work(site, reduction=self.reduction, stride=self.stride)

    def module(self, site: Site) -> nn.Module:
        """A bottleneck whose shortcut is a convolution, too."""
        return Bottleneck(
            site,
            reduction=self.reduction,
            stride=self.stride,
            activation_name=self.activation,
        )
