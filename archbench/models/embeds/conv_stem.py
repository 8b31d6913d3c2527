"""LeViT's patch embedding: a pyramid of 3x3 convolutions that doubles the width each time.

Graham et al. 2021 (arXiv:2104.01136), sec. 4.1 and table 2. A convolution's width is that of the
stage halved once for each that follows, rounded down. Initialised as PyTorch does.
"""

from dataclasses import dataclass, replace
from math import log2
from typing import Annotated, Self

from torch import nn

from archbench.errors import SpecError
from archbench.models.arithmetic import Work
from archbench.models.channels import Channels
from archbench.models.convolution import Convolution, chain, chain_layers, count_chain
from archbench.models.part import Activation, Embed, Grid, Site, whole


@dataclass(frozen=True, kw_only=True)
class Spec(Embed):
    """What may be set.

    The stride is that of all together, a power of two; the first ones take a step of 2 and the rest
    of 1. Left out, all take 2. No activation stands behind the last.
    """

    kind = "conv_stem"
    num_convs: Annotated[int, whole(high=8)] = 4
    stride: int | None = None
    activation: Activation = "hardswish"

    def __post_init__(self) -> None:
        super().__post_init__()
        allowed = [2**n for n in range(self.num_convs + 1)]
        if self.stride is not None and self.stride not in allowed:
            raise SpecError(
                f"{self.stride!r} is not a stride of {self.num_convs} convolutions; use one "
                f"of {', '.join(map(str, allowed))}",
                place="stride",
            )

    def resolved(self, site: Site) -> Self:
        if site.dim >> (self.num_convs - 1) < 1:
            raise SpecError(
                f"{self.num_convs} convolutions cannot double up to the width {site.dim}",
                place="num_convs",
                help=f"use at most {site.dim.bit_length()}",
            )
        return replace(self, stride=self.stride or 2**self.num_convs)

    def outgoing(self, grid: Grid) -> Grid:
        for step in self._steps():
            grid = grid.strided(kernel=3, stride=step, padding=1)
        return grid

    def with_stride_near(self, stride: float) -> Self:
        steps = min(self.num_convs, max(0, round(log2(max(stride, 1.0)))))
        return replace(self, stride=2**steps)

    def count(self, site: Site) -> Work:
        """9*C*C' MACs for each token of each convolution."""
        return count_chain(self._convolutions(site), site.grid)

    def named_channels(self, site: Site) -> Channels:
        convolutions = self._convolutions(site)
        inner = {f"convolved_{i}": one.outputs for i, one in enumerate(convolutions[:-1], start=1)}
        return Channels(inner, chain_layers(convolutions, ["before", *inner, "width"]))

    def module(self, site: Site) -> nn.Module:
        return chain(self._convolutions(site), self.activation)

    def _convolutions(self, site: Site) -> list[Convolution]:
        halvings = range(self.num_convs - 1, -1, -1)
        widths = [site.incoming_dim, *(site.dim >> n for n in halvings)]
        steps = zip(widths, widths[1:], self._steps(), strict=False)
        return [Convolution(i, o, kernel=3, stride=step) for i, o, step in steps]

    def _steps(self) -> list[int]:
        halvings = (self.stride or 2**self.num_convs).bit_length() - 1
        return [2] * halvings + [1] * (self.num_convs - halvings)
