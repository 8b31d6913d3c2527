"""ResNet's bottleneck with an identity shortcut: 1x1, 3x3 and 1x1 convolution on the map.

He et al. 2016 (arXiv:1512.03385), sec. 4.1; see ``archbench/models/embeds/bottleneck.py``. Class
tokens pass by it.
"""

from collections import OrderedDict
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Self

from torch import nn

from archbench.models.arithmetic import Work
from archbench.models.channels import Channels, within
from archbench.models.embeds import bottleneck
from archbench.models.layer import OnMap
from archbench.models.part import Activation, Block, Site, whole


@dataclass(frozen=True, kw_only=True)
class Spec(Block):
    """What may be set, as in the embed of this kind, which takes no step here."""

    kind = "bottleneck"
    reduction: Annotated[int, whole(high=64)] = 4
    activation: Activation = "relu"

    def resolved(self, site: Site) -> Self:
        self.embed.resolved(site)
        return self

    def count(self, site: Site) -> Work:
        """N*(2*C*I + 9*I*I) MACs, I the inner width."""
        return self.embed.count(site)

    def named_channels(self, site: Site) -> Channels:
        sizes, layers, _ = self.embed.named_channels(site)
        return Channels(sizes, within("bottleneck", layers))

    def module(self, site: Site) -> nn.Module:
        return OnMap(OrderedDict(bottleneck=self.embed.module(site)))

    @cached_property
    def embed(self) -> bottleneck.Spec:
        """The same as an embed."""
        return bottleneck.Spec(stride=1, reduction=self.reduction, activation=self.activation)
