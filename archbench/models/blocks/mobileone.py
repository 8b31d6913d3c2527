"""MobileOne's block: a depthwise and a 1x1 convolution on the map, each of several branches.

Vasu et al. 2022 (arXiv:2206.04040), sec. 3.2; see ``archbench/models/embeds/mobileone.py``. It has
no residual but the identity among the branches. Class tokens pass by it.
"""

from collections import OrderedDict
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

from torch import nn

from archbench.models.arithmetic import Work
from archbench.models.channels import Channels, within
from archbench.models.embeds import mobileone
from archbench.models.layer import OnMap
from archbench.models.part import Activation, Block, Kernel, Site, number, whole


@dataclass(frozen=True, kw_only=True)
class Spec(Block):
    """What may be set, as in the embed of this kind, which takes no step here."""

    kind = "mobileone"
    kernel: Kernel = 3
    num_branches: Annotated[int, whole(high=16)] = 1
    squeeze: Annotated[float, number(0, 1)] = 0.0
    activation: Activation = "relu"

    def count(self, site: Site) -> Work:
        """N*((k*k*b + 1)*C + b*C*C) MACs, b branches, and 4*C*S."""
        return self.embed.count(site)

    def deployed_count(self, site: Site) -> Work:
        """N*(k*k*C + C*C) MACs, and 4*C*S."""
        return self.embed.deployed_count(site)

    def named_channels(self, site: Site) -> Channels:
        found = self.embed.named_channels(site)
        return found._replace(layers=within("layers", found.layers))

    def module(self, site: Site) -> nn.Module:
        return OnMap(OrderedDict(layers=self.embed.module(site)))

    @cached_property
    def embed(self) -> mobileone.Spec:
        """The same as an embed."""
        return mobileone.Spec(
            kernel=self.kernel,
            stride=1,
            num_branches=self.num_branches,
            squeeze=self.squeeze,
            activation=self.activation,
        )
