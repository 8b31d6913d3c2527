"""MobileNets' inverted bottleneck beside an identity shortcut; class tokens pass by it.

See ``archbench/models/embeds/inverted_bottleneck.py``.
"""

from dataclasses import dataclass

from torch import Tensor, nn

from archbench.models.channels import Channels, within
from archbench.models.embeds.inverted_bottleneck import InvertedBottleneck, InvertedBottleneckSpec
from archbench.models.layer import through_map
from archbench.models.part import Block, Grid, Site


@dataclass(frozen=True, kw_only=True)
class Spec(InvertedBottleneckSpec, Block):
    """What may be set, as in the embed of this kind, which takes no step here."""

    kind = "inverted_bottleneck"

    def named_channels(self, site: Site) -> Channels:
        sizes, layers, _ = super().named_channels(site)
        return Channels(sizes, within("bottleneck", layers))

    def module(self, site: Site) -> nn.Module:
        return InvertedBottleneckBlock(self, site)


class InvertedBottleneckBlock(nn.Module):
    """An inverted bottleneck on the map; (B, T, C) to (B, T, C)."""

    def __init__(self, spec: Spec, site: Site) -> None:
        super().__init__()
        self.bottleneck = InvertedBottleneck(spec, site)

    def forward(self, x: Tensor, grid: Grid) -> Tensor:
        return through_map(self.bottleneck, x, grid)
