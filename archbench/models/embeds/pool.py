"""Average pooling without overlap, then a 1x1 convolution to the new width.

Where LeViT's first experiments put a transformer on top of a ResNet (Graham et al. 2021,
arXiv:2104.01136, sec. 3 and table 1), which pool to 14x14; that a 1x1 convolution takes the
pooled map to the transformer's width is our reading, which the table's parameters confirm.
"""

from dataclasses import dataclass

from torch import nn

from archbench.models.arithmetic import Work, convolution
from archbench.models.channels import Channels
from archbench.models.layer import AveragePool
from archbench.models.part import Embed, Site, Stride


@dataclass(frozen=True, kw_only=True)
class Spec(Embed):
    """What may be set: the side of the pooling window, which is the step between two.

    A window that reaches beyond the map averages what of it lies on the map.
    """

    kind = "pool"
    stride: Stride = 2

    def count(self, site: Site) -> Work:
        """C*C' MACs for each token that leaves."""
        before, tokens = site.incoming_dim, self.outgoing(site.grid).tokens
        return convolution(inputs=before, outputs=site.dim, kernel=1, tokens=tokens, bias=True)

    def named_channels(self, site: Site) -> Channels:
        return Channels({}, {"1": ("width", "before")})

    def module(self, site: Site) -> nn.Module:
        return nn.Sequential(
            AveragePool(self.stride, self.stride) if self.stride > 1 else nn.Identity(),
            nn.Conv2d(site.incoming_dim, site.dim, 1),
        )
