"""MobileNets' inverted bottleneck beside an identity shortcut; class tokens pass by it.

See ``archbench/models/embeds/inverted_bottleneck.py``.
"""

from collections import OrderedDict
from dataclasses import dataclass

from torch import nn

from archbench.models.channels import Channels, within
from archbench.models.embeds.inverted_bottleneck import InvertedBottleneck, InvertedBottleneckSpec
from archbench.models.layer import OnMap
from archbench.models.part import Block, Site


@dataclass(frozen=True, kw_only=True)
class Spec(InvertedBottleneckSpec, Block):
    """What may be set, as in the embed of this kind, which takes no step here."""

    kind = "inverted_bottleneck"

    def named_channels(self, site: Site) -> Channels:
        sizes, layers, _ = super().named_channels(site)
        return Channels(sizes, within("bottleneck", layers))

    def module(self, site: Site) -> nn.Module:
        return OnMap(OrderedDict(bottleneck=InvertedBottleneck(self, site)))
