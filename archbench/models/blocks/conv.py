"""A plain convolutional block, so that a stage may also do without attention.

Three forms, each a residual branch on the map, with a norm and an activation behind a
convolution: one k x k convolution; with ``depthwise`` one that looks at each channel alone, and a
1x1 convolution that mixes them (Howard et al. 2017, arXiv:1704.04861, sec. 3.1); with an
``expansion`` the inverted bottleneck, 1x1 to a larger width, k x k there, 1x1 back (Sandler et al.
2018, arXiv:1801.04381, sec. 3.3). A 1x1 convolution that ends a branch has no activation. Class
tokens pass by the block. Convolutions keep PyTorch's own initialisation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, NamedTuple

from torch import Tensor, nn

from archbench.models.arithmetic import Work, convolution, norm, total
from archbench.models.layer import ConvNorm, DropPath, MapLayerNorm, activation, through_map
from archbench.models.part import Activation, Block, Grid, Kernel, Ratio, Site, choice, hidden_width


class _Layer(NamedTuple):
    """One convolution of the branch."""

    inputs: int
    outputs: int
    kernel: int
    groups: int
    is_active: bool


@dataclass(frozen=True, kw_only=True)
class Spec(Block):
    """What may be set.

    Attributes:
        kernel: Side of the kernel, odd.
        expansion: Width of the k x k convolution, as a multiple of the stage's; left out, the
            branch is that convolution alone.
        depthwise: Whether the k x k convolution looks at each channel alone.
        norm: Behind each convolution: ``batch``, ``layer`` (over channels) or ``none``.
        activation: Behind each convolution but a 1x1 at the end.
    """

    kind = "conv"

    kernel: Kernel = 3
    expansion: Ratio | None = None
    depthwise: bool = False
    norm: Annotated[str, choice("batch", "layer", "none")] = "batch"
    activation: Activation = "relu"

    def count(self, site: Site) -> Work:
        """N*(k*k*C*C), N*(k*k*C + C*C) or N*(2*C*I + k*k*I*I) MACs, I the expanded width."""
        parts = []
        for inputs, outputs, kernel, groups, _ in self.layers(site.dim):
            parts.append(
                convolution(
                    inputs=inputs,
                    outputs=outputs,
                    kernel=kernel,
                    tokens=site.grid.tokens,
                    groups=groups,
                    bias=self.norm != "batch",
                )
            )
            if self.norm != "none":
                parts.append(norm(outputs))
        return total(*parts)

    def module(self, site: Site) -> nn.Module:
        """Convolutions on the map."""
        return ConvBlock(self, site)

    def layers(self, dim: int) -> list[_Layer]:
        """The convolutions of the branch."""
        inner = dim if self.expansion is None else hidden_width(dim, self.expansion)
        groups = inner if self.depthwise else 1
        before = [] if self.expansion is None else [_Layer(dim, inner, 1, 1, is_active=True)]
        is_mixed = self.depthwise or self.expansion is not None
        after = [_Layer(inner, dim, 1, 1, is_active=False)] if is_mixed else []
        return [*before, _Layer(inner, inner, self.kernel, groups, is_active=True), *after]


class ConvBlock(nn.Module):
    """Convolutions on the map as a residual branch; (B, T, C) to (B, T, C)."""

    def __init__(self, spec: Spec, site: Site) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for layer in spec.layers(site.dim):
            layers += _normed(layer, norm_name=spec.norm)
            if layer.is_active:
                layers.append(activation(spec.activation))
        self.branch = nn.Sequential(*layers)
        self.drop_path = DropPath(site.drop_path)

    def forward(self, x: Tensor, grid: Grid) -> Tensor:
        return through_map(self._residual, x, grid)

    def _residual(self, x: Tensor) -> Tensor:
        return x + self.drop_path(self.branch(x))


def _normed(layer: _Layer, *, norm_name: str) -> list[nn.Module]:
    inputs, outputs, kernel, groups, _ = layer
    if norm_name == "batch":
        return [ConvNorm(inputs, outputs, kernel=kernel, groups=groups)]
    conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, groups=groups)
    return [conv, MapLayerNorm(outputs)] if norm_name == "layer" else [conv]
