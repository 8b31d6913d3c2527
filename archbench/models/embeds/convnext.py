"""ConvNeXt's downsampling: a layer norm over channels, then a convolution without overlap.

Liu et al. 2022 (arXiv:2201.03545), sec. 2.6, "separate downsampling layers"; EdgeNeXt has it, too
(Maaz et al. 2022, arXiv:2206.10589, sec. 3). The convolution starts as those of the block.
"""

from collections import OrderedDict
from dataclasses import dataclass

from torch import nn

from archbench.errors import SpecError
from archbench.models.arithmetic import Work, norm, total
from archbench.models.channels import Channels
from archbench.models.convolution import Convolution, MapLayerNorm
from archbench.models.layer import init_truncated
from archbench.models.part import Embed, Epsilon, Grid, Site, Stride


@dataclass(frozen=True, kw_only=True)
class Spec(Embed):
    """What may be set: the step, which is the side of the kernel, and the epsilon of the norm.

    Rows and columns that do not fill a kernel are left out.
    """

    kind = "convnext"
    stride: Stride = 2
    epsilon: Epsilon = 1e-6

    def outgoing(self, grid: Grid) -> Grid:
        outgoing = grid.strided(kernel=self.stride, stride=self.stride, padding=0)
        if min(outgoing) < 1:
            raise SpecError(
                f"a kernel of {self.stride} does not fit the map of {grid}",
                place="stride",
                help="use a smaller stride or a higher resolution",
            )
        return outgoing

    def count(self, site: Site) -> Work:
        """s*s*C*C' MACs for each token that leaves."""
        before, step = site.incoming_dim, self.stride
        conv = Convolution(before, site.dim, step, step, padding=0, bias=True, norm="none")
        return total(norm(before), conv.work(self.outgoing(site.grid).tokens))

    def named_channels(self, site: Site) -> Channels:
        return Channels({}, {"norm": ("before", ""), "conv": ("width", "before")})

    def module(self, site: Site) -> nn.Module:
        conv = nn.Conv2d(site.incoming_dim, site.dim, self.stride, self.stride)
        norm = MapLayerNorm(site.incoming_dim, eps=self.epsilon)
        return init_truncated(nn.Sequential(OrderedDict(norm=norm, conv=conv)), nn.Conv2d)
