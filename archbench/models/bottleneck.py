"""ResNet's bottleneck: what its block and its widening embed have in common.

He et al. 2016 (arXiv:1512.03385), sec. 4.1 and fig. 5, right. A step of 2 is taken by the 3x3
convolution, as torchvision's networks have it ("v1.5"), not by the first 1x1 as in the paper.
Convolutions start normal with the gain of a ReLU by their outputs (He et al. 2015,
arXiv:1502.01852, eq. 14).
"""

from __future__ import annotations

from torch import Tensor, nn

from archbench.errors import SpecError
from archbench.models.arithmetic import Work, convolution, norm, total
from archbench.models.layer import ConvNorm, DropPath, activation
from archbench.models.part import Site


class Bottleneck(nn.Module):
    """Three convolutions beside a shortcut, and an activation behind their sum.

    Takes (B, C, H, W) to (B, C', H', W'). The shortcut is the identity where neither width nor
    map changes, else a 1x1 convolution with a batch norm, which takes the stride, too.
    """

    def __init__(self, site: Site, *, reduction: int, stride: int, activation_name: str) -> None:
        super().__init__()
        before, after = site.incoming_dim, site.dim
        inner = inner_width(site, reduction=reduction)
        self.branch = nn.Sequential(
            ConvNorm(before, inner, kernel=1),
            activation(activation_name),
            ConvNorm(inner, inner, kernel=3, stride=stride),
            activation(activation_name),
            ConvNorm(inner, after, kernel=1),
        )
        self.shortcut = (
            ConvNorm(before, after, kernel=1, stride=stride)
            if _is_projected(site, stride)
            else nn.Identity()
        )
        self.drop_path = DropPath(site.drop_path)
        self.activation = activation(activation_name)
        init_convolutions(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.shortcut(x) + self.drop_path(self.branch(x)))


def bottleneck_work(site: Site, *, reduction: int, stride: int) -> Work:
    """N*C*I + M*(9*I*I + I*C') MACs and M*C*C' of the shortcut; N tokens enter, M leave."""
    before, after, inner = site.incoming_dim, site.dim, inner_width(site, reduction=reduction)
    entering = site.grid.tokens
    leaving = site.grid.strided(kernel=3, stride=stride, padding=1).tokens
    parts = [
        convolution(inputs=before, outputs=inner, kernel=1, tokens=entering),
        convolution(inputs=inner, outputs=inner, kernel=3, tokens=leaving),
        convolution(inputs=inner, outputs=after, kernel=1, tokens=leaving),
        norm(inner, number=2),
        norm(after),
    ]
    if _is_projected(site, stride):
        shortcut = convolution(inputs=before, outputs=after, kernel=1, tokens=leaving)
        parts += [shortcut, norm(after)]
    return total(*parts)


def inner_width(site: Site, *, reduction: int) -> int:
    """Width of the 3x3 convolution: that of the stage // ``reduction``.

    Raises:
        SpecError: Nothing is left of it.
    """
    if site.dim < reduction:
        raise SpecError(
            f"{reduction} does not fit once into the width {site.dim}",
            place="reduction",
            help=f"use at most {site.dim}",
        )
    return site.dim // reduction


def init_convolutions(network: nn.Module) -> nn.Module:
    """A network of which every convolution starts as ResNet's do."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return network


def _is_projected(site: Site, stride: int) -> bool:
    return stride != 1 or site.incoming_dim != site.dim
