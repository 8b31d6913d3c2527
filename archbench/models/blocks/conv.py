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
from typing import ClassVar, NamedTuple, Self

from torch import Tensor, nn

from archbench.errors import SpecError
from archbench.models.arithmetic import Work, convolution, norm, total
from archbench.models.layer import (
    ConvNorm,
    DropPath,
    MapLayerNorm,
    activation,
    through_map,
)
from archbench.models.part import (
    ACTIVATIONS,
    Grid,
    Site,
    check_choice,
    check_flag,
    check_number,
    check_whole,
)


class _Layer(NamedTuple):
    """One convolution of the branch."""

    inputs: int
    outputs: int
    kernel: int
    groups: int
    is_active: bool


@dataclass(frozen=True, kw_only=True)
class Spec:
    """What may be set.

    Attributes:
        kernel: Side of the kernel, odd.
        expansion: Width of the k x k convolution, as a multiple of the stage's; left out, the
            branch is that convolution alone.
        depthwise: Whether the k x k convolution looks at each channel alone.
        norm: Behind each convolution: ``batch``, ``layer`` (over channels) or ``none``.
        activation: Behind each convolution but a 1x1 at the end.
    """

    kind: ClassVar[str] = "conv"
    has_attention: ClassVar[bool] = False

    kernel: int = 3
    expansion: float | None = None
    depthwise: bool = False
    norm: str = "batch"
    activation: str = "relu"

    def __post_init__(self) -> None:
        check_whole("kernel", self.kernel, high=31)
        if self.kernel % 2 == 0:
            raise SpecError(f"the kernel {self.kernel} is not odd", place="kernel")
        if self.expansion is not None:
            check_number("expansion", self.expansion, low=0.125, high=64)
        check_flag("depthwise", self.depthwise)
        check_choice("norm", self.norm, ("batch", "layer", "none"))
        check_choice("activation", self.activation, ACTIVATIONS)

    def resolved(self, site: Site) -> Self:
        """Itself."""
        return self

    def count(self, site: Site) -> Work:
        """N*(k*k*C*C), N*(k*k*C + C*C) or N*(2*C*I + k*k*I*I) MACs, I the expanded width."""
        has_bias = self.norm != "batch"
        parts = []
        for layer in self.layers(site.dim):
            parts.append(
                convolution(
                    inputs=layer.inputs,
                    outputs=layer.outputs,
                    kernel=layer.kernel,
                    tokens=site.grid.tokens,
                    groups=layer.groups,
                    bias=has_bias,
                )
            )
            if self.norm != "none":
                parts.append(norm(layer.outputs))
        return total(tuple(parts))

    def module(self, site: Site) -> nn.Module:
        """(B, T, C) to (B, T, C)."""
        return ConvBlock(self, site)

    def layers(self, dim: int) -> list[_Layer]:
        """The convolutions of the branch."""
        inner = dim if self.expansion is None else max(1, int(dim * self.expansion))
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
    padding = kernel // 2
    if norm_name == "batch":
        return [ConvNorm(inputs, outputs, kernel=kernel, stride=1, padding=padding, groups=groups)]
    conv = nn.Conv2d(inputs, outputs, kernel, padding=padding, groups=groups)
    return [conv, MapLayerNorm(outputs)] if norm_name == "layer" else [conv]
