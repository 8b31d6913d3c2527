"""One strided convolution: CvT's token embedding and, with kernel = stride, ViT's patches.

Wu et al. 2021 (arXiv:2103.15808), sec. 3.1; the released code pads the first embedding of
kernel 7 by 2, not 3. Its convolutions keep PyTorch's own initialisation.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Self

from torch import Tensor, nn

from archbench.errors import SpecError
from archbench.models.arithmetic import Work, convolution, norm, total
from archbench.models.layer import ConvNorm, MapLayerNorm
from archbench.models.part import Grid, Site, check_choice, check_flag, check_whole, strided


@dataclass(frozen=True, kw_only=True)
class Spec:
    """What may be set.

    Attributes:
        kernel: Side of the square kernel.
        stride: Step of the kernel.
        padding: Zeros on each side; left out, as many as keep ceil(size / stride) tokens.
        norm: ``layer`` (over channels), ``batch`` or ``none``.
        bias: Whether the convolution has a bias; left out, it has one but before a batch norm.
    """

    kind: ClassVar[str] = "conv"
    has_attention: ClassVar[bool] = False

    kernel: int = 3
    stride: int = 2
    padding: int | None = None
    norm: str = "layer"
    bias: bool | None = None

    def __post_init__(self) -> None:
        check_whole("kernel", self.kernel, high=64)
        check_whole("stride", self.stride, high=64)
        if self.padding is not None:
            check_whole("padding", self.padding, low=0, high=self.kernel - 1)
        check_choice("norm", self.norm, ("layer", "batch", "none"))
        if self.bias is not None:
            check_flag("bias", self.bias)
        if self.norm == "batch" and self.bias:
            raise SpecError("a batch norm makes the bias of the convolution useless", place="bias")

    def resolved(self, site: Site) -> Self:
        """With padding and bias filled in."""
        return replace(
            self,
            padding=self._padding(),
            bias=self.norm != "batch" if self.bias is None else self.bias,
        )

    def outgoing(self, grid: Grid) -> Grid:
        """The map that leaves it.

        Raises:
            SpecError: The padded map is smaller than the kernel.
        """
        padding = self._padding()
        sizes = [
            strided(size, kernel=self.kernel, stride=self.stride, padding=padding) for size in grid
        ]
        if min(sizes) < 1:
            raise SpecError(
                f"a kernel of {self.kernel} with padding {padding} does not fit the map of {grid}",
                place="kernel",
                help="use a smaller kernel, more padding, or a higher resolution",
            )
        return Grid(*sizes)

    def with_stride_near(self, stride: float) -> Self:
        """At the nearest whole stride; padding follows the stride."""
        nearest = max(1, round(stride))
        return self if nearest == self.stride else replace(self, stride=nearest, padding=None)

    def count(self, site: Site) -> Work:
        """k*k*C*C' MACs for each token that leaves."""
        conv = convolution(
            inputs=site.incoming_dim,
            outputs=site.dim,
            kernel=self.kernel,
            tokens=self.outgoing(site.grid).tokens,
            bias=bool(self.bias),
        )
        return conv if self.norm == "none" else total((conv, norm(site.dim)))

    def module(self, site: Site) -> nn.Module:
        """(B, C, H, W) to (B, C', H', W')."""
        assert self.padding is not None
        assert self.bias is not None
        if self.norm == "batch":
            return ConvNorm(
                site.incoming_dim,
                site.dim,
                kernel=self.kernel,
                stride=self.stride,
                padding=self.padding,
            )
        return ConvEmbed(self, site)

    def _padding(self) -> int:
        if self.padding is not None:
            return self.padding
        return max(0, (self.kernel - self.stride + 1) // 2)


class ConvEmbed(nn.Module):
    """A convolution and its layer norm over channels; (B, C, H, W) to (B, C', H', W')."""

    def __init__(self, spec: Spec, site: Site) -> None:
        super().__init__()
        assert spec.padding is not None
        self.conv = nn.Conv2d(
            site.incoming_dim,
            site.dim,
            spec.kernel,
            spec.stride,
            spec.padding,
            bias=bool(spec.bias),
        )
        self.norm = MapLayerNorm(site.dim) if spec.norm == "layer" else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x))
