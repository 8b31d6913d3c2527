"""CeiT's image-to-tokens module: a convolution and a max pooling before the patches.

Yuan et al. 2021 (arXiv:2103.11816), sec. 3.2. As in the released code there is no activation, the
convolution has no bias before its batch norm, and the patches are projected with one. The paper's
patches are 4 wide, so that a token still stands for 16x16 pixels. Initialised as PyTorch does.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Self

from torch import Tensor, nn

from archbench.errors import SpecError
from archbench.models.arithmetic import Work, convolution, norm, total
from archbench.models.layer import ConvNorm
from archbench.models.part import Grid, Site, check_whole, strided

_POOL_KERNEL = 3


@dataclass(frozen=True, kw_only=True)
class Spec:
    """What may be set.

    Attributes:
        channels: Width of the convolution.
        kernel: Side of its kernel, odd.
        stride: Of all together: a multiple of 4, of which convolution and pooling take 2 each and
            the patches the rest, or 1 or 2, where the pooling and the patches take 1.
    """

    kind: ClassVar[str] = "image_to_tokens"
    has_attention: ClassVar[bool] = False

    channels: int = 64
    kernel: int = 7
    stride: int = 16

    def __post_init__(self) -> None:
        check_whole("channels", self.channels)
        check_whole("kernel", self.kernel, high=31)
        if self.kernel % 2 == 0:
            raise SpecError(f"the kernel {self.kernel} is not odd", place="kernel")
        check_whole("stride", self.stride, high=64)
        if self.stride > 2 and self.stride % 4:
            raise SpecError(
                f"the stride {self.stride} is not 1, 2 or a multiple of 4", place="stride"
            )

    def resolved(self, site: Site) -> Self:
        """Itself."""
        return self

    def outgoing(self, grid: Grid) -> Grid:
        """The map of the patches; rows and columns that do not fill one are left out.

        Raises:
            SpecError: Not one patch fits the pooled map.
        """
        pooled = self.pooled(self.convolved(grid))
        patches = Grid(*(size // self.patch for size in pooled))
        if min(patches) < 1:
            raise SpecError(
                f"patches of {self.patch} do not fit the pooled map of {pooled}",
                place="stride",
                help="use a smaller stride or a higher resolution",
            )
        return patches

    def with_stride_near(self, stride: float) -> Self:
        """At the nearest of 1, 2 and the multiples of 4."""
        return replace(self, stride=min((1, 2, *range(4, 65, 4)), key=lambda n: abs(n - stride)))

    def count(self, site: Site) -> Work:
        """k*k*C*c MACs for each pixel of the convolution, p*p*c*C' for each patch."""
        return total(
            (
                convolution(
                    inputs=site.incoming_dim,
                    outputs=self.channels,
                    kernel=self.kernel,
                    tokens=self.convolved(site.grid).tokens,
                ),
                norm(self.channels),
                convolution(
                    inputs=self.channels,
                    outputs=site.dim,
                    kernel=self.patch,
                    tokens=self.outgoing(site.grid).tokens,
                    bias=True,
                ),
            )
        )

    def module(self, site: Site) -> nn.Module:
        """(B, C, H, W) to (B, C', H', W')."""
        return ImageToTokens(self, site)

    @property
    def patch(self) -> int:
        """Side of a patch on the pooled map."""
        return max(1, self.stride // 4)

    @property
    def conv_stride(self) -> int:
        """Step of the convolution."""
        return min(2, self.stride)

    @property
    def pool_stride(self) -> int:
        """Step of the pooling."""
        return 2 if self.stride >= 4 else 1

    def convolved(self, grid: Grid) -> Grid:
        """The map of the convolution."""
        padding = self.kernel // 2
        return Grid(
            *(
                strided(size, kernel=self.kernel, stride=self.conv_stride, padding=padding)
                for size in grid
            )
        )

    def pooled(self, grid: Grid) -> Grid:
        """The map of the pooling, from that of the convolution."""
        return Grid(
            *(
                strided(size, kernel=_POOL_KERNEL, stride=self.pool_stride, padding=1)
                for size in grid
            )
        )


class ImageToTokens(nn.Module):
    """Convolution, batch norm, max pooling, patches; (B, C, H, W) to (B, C', H', W')."""

    def __init__(self, spec: Spec, site: Site) -> None:
        super().__init__()
        self.stem = ConvNorm(
            site.incoming_dim,
            spec.channels,
            kernel=spec.kernel,
            stride=spec.conv_stride,
            padding=spec.kernel // 2,
        )
        self.pool = nn.MaxPool2d(_POOL_KERNEL, spec.pool_stride, padding=1)
        self.projection = nn.Conv2d(spec.channels, site.dim, spec.patch, spec.patch)

    def forward(self, x: Tensor) -> Tensor:
        return self.projection(self.pool(self.stem(x)))
