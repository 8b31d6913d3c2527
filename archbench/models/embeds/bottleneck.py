"""ResNet's bottleneck that widens or shrinks the map: the first one of each of its stages.

He et al. 2016 (arXiv:1512.03385), sec. 4.1 and fig. 5, right. A step of 2 is taken by the 3x3
convolution, as torchvision's networks have it ("v1.5"), not by the first 1x1 as in the paper.
Convolutions start as ``init_convolutions`` says.
"""

from dataclasses import dataclass
from typing import Annotated, Self

from torch import Tensor, nn

from archbench.errors import SpecError
from archbench.models.arithmetic import Work, total
from archbench.models.channels import Channels, within
from archbench.models.convolution import (
    ConvNorm,
    Convolution,
    chain,
    chain_layers,
    count_chain,
    init_convolutions,
)
from archbench.models.layer import DropPath, activation
from archbench.models.part import Activation, Embed, Site, Stride, whole


@dataclass(frozen=True, kw_only=True)
class Spec(Embed):
    """What may be set: the step, and how many times the new width is that of the 3x3 convolution.

    An activation stands behind each convolution, the last one's behind the sum.
    """

    kind = "bottleneck"
    stride: Stride = 2
    reduction: Annotated[int, whole(high=64)] = 4
    activation: Activation = "relu"

    def resolved(self, site: Site) -> Self:
        if site.dim < self.reduction:
            raise SpecError(
                f"{self.reduction} does not fit once into the width {site.dim}",
                place="reduction",
                help=f"use at most {site.dim}",
            )
        return self

    def count(self, site: Site) -> Work:
        """N*C*I + M*(9*I*I + I*C') MACs and M*C*C' of the shortcut; N tokens enter, M leave."""
        branch, shortcut = count_chain(self.branch(site), site.grid), self.shortcut(site)
        if shortcut is None:
            return branch
        return total(branch, shortcut.work(self.outgoing(site.grid).tokens))

    def carries_on(self, site: Site) -> bool:
        return self.shortcut(site) is None

    def named_channels(self, site: Site) -> Channels:
        names = ("before", "reduced", "convolved", "width")
        layers = chain_layers(self.branch(site), names)
        inner = site.dim // self.reduction
        return Channels(
            {"reduced": inner, "convolved": inner},
            {**within("branch", layers), "shortcut": ("width", "before")},
        )

    def module(self, site: Site) -> nn.Module:
        return Bottleneck(self, site)

    def branch(self, site: Site) -> list[Convolution]:
        """1x1 to the inner width I, 3x3 there, 1x1 to the new width."""
        inner = site.dim // self.reduction
        return [
            Convolution(site.incoming_dim, inner),
            Convolution(inner, inner, kernel=3, stride=self.stride),
            Convolution(inner, site.dim),
        ]

    def shortcut(self, site: Site) -> Convolution | None:
        """None, the identity, where neither width nor map changes; else 1x1, with the stride."""
        if self.stride == 1 and site.incoming_dim == site.dim:
            return None
        return Convolution(site.incoming_dim, site.dim, stride=self.stride)


class Bottleneck(nn.Module):
    """Three convolutions beside a shortcut, and an activation behind their sum."""

    def __init__(self, spec: Spec, site: Site) -> None:
        super().__init__()
        shortcut = spec.shortcut(site)
        self.branch = chain(spec.branch(site), spec.activation)
        self.shortcut = nn.Identity() if shortcut is None else ConvNorm(shortcut)
        self.drop_path = DropPath(site.drop_path)
        self.activation = activation(spec.activation)
        init_convolutions(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.shortcut(x) + self.drop_path(self.branch(x)))
