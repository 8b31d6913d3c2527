"""ResNet's stem: a 7x7 convolution, batch norm, activation and a 3x3 maximum.

He et al. 2016 (arXiv:1512.03385), sec. 3.3 and table 1; the convolution starts as
``init_convolutions`` says.
"""

from dataclasses import dataclass, replace
from math import log2
from typing import Annotated, Self

from torch import nn

from archbench.models.arithmetic import Work
from archbench.models.channels import Channels
from archbench.models.convolution import Convolution, chain, count_chain, init_convolutions
from archbench.models.part import Activation, Embed, Grid, Site, choice

_STEPS = {4: (2, 2), 2: (2, 1), 1: (1, 1)}


@dataclass(frozen=True, kw_only=True)
class Spec(Embed):
    """What may be set; at a stride of 2 the convolution alone takes a step."""

    kind = "resnet_stem"
    stride: Annotated[int, choice(1, 2, 4)] = 4
    activation: Activation = "relu"

    def outgoing(self, grid: Grid) -> Grid:
        first, second = _STEPS[self.stride]
        convolved = grid.strided(kernel=7, stride=first, padding=3)
        return convolved.strided(kernel=3, stride=second, padding=1)

    def with_stride_near(self, stride: float) -> Self:
        """At the nearest of 4, 2 and 1, by ratio."""
        return replace(self, stride=2 ** min(2, max(0, round(log2(max(stride, 1.0))))))

    def count(self, site: Site) -> Work:
        """49*C*C' MACs for each token of the convolution."""
        return count_chain([self._convolution(site)], site.grid)

    def named_channels(self, site: Site) -> Channels:
        return Channels({}, {"0": ("width", "before")})

    def module(self, site: Site) -> nn.Module:
        stem = chain([self._convolution(site)], self.activation, is_last_active=True)
        stem.append(nn.MaxPool2d(3, stride=_STEPS[self.stride][1], padding=1))
        return init_convolutions(stem)

    def _convolution(self, site: Site) -> Convolution:
        return Convolution(site.incoming_dim, site.dim, kernel=7, stride=_STEPS[self.stride][0])
