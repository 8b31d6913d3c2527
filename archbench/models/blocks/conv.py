"""A plain convolutional block, so that a stage may also do without attention.

Three forms, each a residual branch on the map, with a norm and an activation behind a
convolution: one k x k convolution; with ``depthwise`` one that looks at each channel alone, and a
1x1 convolution that mixes them (Howard et al. 2017, arXiv:1704.04861, sec. 3.1); with an
``expansion`` the inverted bottleneck, 1x1 to a larger width, k x k there, 1x1 back (Sandler et al.
2018, arXiv:1801.04381, sec. 3.3). A 1x1 convolution that ends a branch has no activation. Class
tokens pass by the block. Convolutions keep PyTorch's own initialisation.
"""

from dataclasses import dataclass
from functools import partial
from typing import Annotated

from torch import Tensor, nn

from archbench.models.arithmetic import Work
from archbench.models.channels import Channels, within
from archbench.models.convolution import Convolution, chain, chain_layers, count_chain
from archbench.models.layer import DropPath, through_map
from archbench.models.part import Activation, Block, Grid, Kernel, Ratio, Site, choice, hidden_width


@dataclass(frozen=True, kw_only=True)
class Spec(Block):
    """What may be set; a norm ``layer`` is over channels.

    ``expansion`` is the width of the k x k convolution as a multiple of the stage's; left out, the
    branch begins with that convolution.
    """

    kind = "conv"
    kernel: Kernel = 3
    expansion: Ratio | None = None
    depthwise: bool = False
    norm: Annotated[str, choice("batch", "layer", "none")] = "batch"
    activation: Activation = "relu"

    def count(self, site: Site) -> Work:
        """N*(k*k*C*C), N*(k*k*C + C*C) or N*(2*C*I + k*k*I*I) MACs, I the expanded width."""
        return count_chain(self.convolutions(site.dim), site.grid)

    def named_channels(self, site: Site) -> Channels:
        # A convolution that looks at each channel alone gives the channels that it takes.
        wide = ["expanded", "expanded" if self.depthwise else "middle"]
        inner = ["width"] * self.depthwise if self.expansion is None else wide
        layers = chain_layers(self.convolutions(site.dim), ["width", *inner, "width"])
        sizes = dict.fromkeys(wide, hidden_width(site.dim, self.expansion or 1))
        return Channels(sizes, within("branch", layers))

    def module(self, site: Site) -> nn.Module:
        return ConvBlock(self, site)

    def convolutions(self, dim: int) -> list[Convolution]:
        """The convolutions of the branch."""
        form = partial(Convolution, bias=self.norm != "batch", norm=self.norm)
        inner = dim if self.expansion is None else hidden_width(dim, self.expansion)
        groups = inner if self.depthwise else 1
        found = [form(inner, inner, kernel=self.kernel, groups=groups)]
        if self.expansion is not None:
            found.insert(0, form(dim, inner))
        if len(found) > 1 or self.depthwise:
            found.append(form(inner, dim))
        return found


class ConvBlock(nn.Module):
    """Convolutions on the map as a residual branch; (B, T, C) to (B, T, C)."""

    def __init__(self, spec: Spec, site: Site) -> None:
        super().__init__()
        convolutions = spec.convolutions(site.dim)
        is_alone = len(convolutions) == 1
        self.branch = chain(convolutions, spec.activation, is_last_active=is_alone)
        self.drop_path = DropPath(site.drop_path)

    def forward(self, x: Tensor, grid: Grid) -> Tensor:
        return through_map(lambda map_: map_ + self.drop_path(self.branch(map_)), x, grid)
