"""CeiT's image-to-tokens module: a convolution and a max pooling before the patches.

Yuan et al. 2021 (arXiv:2103.11816), sec. 3.2. As in the released code there is no activation, the
convolution has no bias before its batch norm, and the patches are projected with one. The paper's
patches are 4 wide, so that a token still stands for 16x16 pixels. Initialised as PyTorch does.
"""

from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Annotated, Self

from torch import nn

from archbench.errors import SpecError
from archbench.models.arithmetic import Work, total
from archbench.models.channels import Channels
from archbench.models.convolution import ConvNorm, Convolution
from archbench.models.part import Embed, Grid, Kernel, Site, Stride, whole


@dataclass(frozen=True, kw_only=True)
class Spec(Embed):
    """What may be set: width and kernel of the convolution, and the stride of all together.

    That is a multiple of 4, of which convolution and pooling take 2 each and the patches the rest,
    or 1 or 2, where the pooling and the patches take 1.
    """

    kind = "image_to_tokens"
    channels: Annotated[int, whole()] = 64
    kernel: Kernel = 7
    stride: Stride = 16

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.stride > 2 and self.stride % 4:
            raise SpecError(
                f"the stride {self.stride} is not 1, 2 or a multiple of 4", place="stride"
            )

    def outgoing(self, grid: Grid) -> Grid:
        """The map of the patches; rows and columns that do not fill one are left out."""
        first, second, patch = self.steps
        convolved = grid.strided(kernel=self.kernel, stride=first, padding=self.kernel // 2)
        pooled = convolved.strided(kernel=3, stride=second, padding=1)
        patches = Grid(*(size // patch for size in pooled))
        if min(patches) < 1:
            raise SpecError(
                f"patches of {patch} do not fit the pooled map of {pooled}",
                place="stride",
                help="use a smaller stride or a higher resolution",
            )
        return patches

    def with_stride_near(self, stride: float) -> Self:
        return replace(self, stride=min((1, 2, *range(4, 65, 4)), key=lambda n: abs(n - stride)))

    def count(self, site: Site) -> Work:
        """k*k*C*c MACs for each pixel of the convolution, p*p*c*C' for each patch."""
        stem, patches = self._convolutions(site)
        pixels, tokens = stem.outgoing(site.grid).tokens, self.outgoing(site.grid).tokens
        return total(stem.work(pixels), patches.work(tokens))

    def named_channels(self, site: Site) -> Channels:
        layers = {"stem": ("convolved", "before"), "projection": ("width", "convolved")}
        return Channels({"convolved": self.channels}, layers)

    def module(self, site: Site) -> nn.Module:
        stem, patches = self._convolutions(site)
        layers = OrderedDict[str, nn.Module](
            stem=ConvNorm(stem),
            pool=nn.MaxPool2d(3, self.steps[1], padding=1),
            projection=ConvNorm(patches).conv,
        )
        return nn.Sequential(layers)

    @property
    def steps(self) -> tuple[int, int, int]:
        """Steps of convolution and pooling, and the side of a patch on the pooled map."""
        return min(2, self.stride), 2 if self.stride >= 4 else 1, max(1, self.stride // 4)

    def _convolutions(self, site: Site) -> tuple[Convolution, Convolution]:
        first, _, patch = self.steps
        stem = Convolution(site.incoming_dim, self.channels, kernel=self.kernel, stride=first)
        sides: dict[str, int] = {"kernel": patch, "stride": patch, "padding": 0}
        return stem, Convolution(self.channels, site.dim, **sides, bias=True, norm="none")
