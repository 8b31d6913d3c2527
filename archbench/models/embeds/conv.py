"""One strided convolution: CvT's token embedding and, with kernel = stride, ViT's patches.

Wu et al. 2021 (arXiv:2103.15808), sec. 3.1; the released code pads the first embedding of
kernel 7 by 2, not 3. Its convolutions keep PyTorch's own initialisation.
"""

from dataclasses import dataclass, replace
from typing import Annotated, Self

from torch import nn

from archbench.errors import SpecError
from archbench.models.arithmetic import Work
from archbench.models.channels import Channels
from archbench.models.convolution import ConvNorm, Convolution
from archbench.models.layer import activation
from archbench.models.part import (
    Activation,
    Embed,
    Epsilon,
    Grid,
    Site,
    Stride,
    choice,
    whole,
)


@dataclass(frozen=True, kw_only=True)
class Spec(Embed):
    """What may be set; a norm ``layer`` is over channels.

    Padding left out is as much as keeps ceil(size / stride) tokens; a convolution of which nothing
    is said of the bias has one but before a batch norm. The ``epsilon`` is that of a layer norm,
    left out 1e-5. Behind the norm stands an ``activation``, where one is given.
    """

    kind = "conv"
    kernel: Annotated[int, whole(high=64)] = 3
    stride: Stride = 2
    padding: int | None = None
    norm: Annotated[str, choice("layer", "batch", "none")] = "layer"
    bias: bool | None = None
    activation: Activation | None = None
    epsilon: Epsilon | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.padding is not None:
            whole(0, self.kernel - 1)("padding", self.padding)
        if self.norm == "batch" and self.bias:
            raise SpecError("a batch norm makes the bias of the convolution useless", place="bias")
        if self.norm != "layer" and self.epsilon is not None:
            raise SpecError("only a layer norm has an epsilon", place="epsilon")

    def resolved(self, site: Site) -> Self:
        bias = self.norm != "batch" if self.bias is None else self.bias
        active = None if self.activation == "none" else self.activation
        return replace(self, padding=self._padding(), bias=bias, activation=active)

    def outgoing(self, grid: Grid) -> Grid:
        padding = self._padding()
        outgoing = grid.strided(kernel=self.kernel, stride=self.stride, padding=padding)
        if min(outgoing) < 1:
            raise SpecError(
                f"a kernel of {self.kernel} with padding {padding} does not fit the map of {grid}",
                place="kernel",
                help="use a smaller kernel, more padding, or a higher resolution",
            )
        return outgoing

    def with_stride_near(self, stride: float) -> Self:
        """At the nearest whole stride; padding follows the stride."""
        nearest = max(1, round(stride))
        return self if nearest == self.stride else replace(self, stride=nearest, padding=None)

    def count(self, site: Site) -> Work:
        """k*k*C*C' MACs for each token that leaves."""
        return self._convolution(site).work(self.outgoing(site.grid).tokens)

    def named_channels(self, site: Site) -> Channels:
        return Channels({}, {"": ("width", "before")})

    def module(self, site: Site) -> nn.Module:
        layer = ConvNorm(self._convolution(site))
        return nn.Sequential(layer, activation(self.activation)) if self.activation else layer

    def _convolution(self, site: Site) -> Convolution:
        return Convolution(
            site.incoming_dim,
            site.dim,
            kernel=self.kernel,
            stride=self.stride,
            padding=self._padding(),
            bias=bool(self.bias),
            norm=self.norm,
            epsilon=self.epsilon or 1e-5,
        )

    def _padding(self) -> int:
        if self.padding is not None:
            return self.padding
        return max(0, (self.kernel - self.stride + 1) // 2)
