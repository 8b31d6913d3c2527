"""RepViT's block: a depthwise convolution of three branches, which ship as one, and an MLP.

Wang et al. 2024 (arXiv:2307.09283), sec. 3.2 and fig. 3. The token mixer is a k x k and a 1x1
depthwise convolution and the identity, added; as in the released code a batch norm stands behind
their sum, too. Squeeze and excitation may follow. The channel mixer, two 1x1 convolutions with
batch norms of which the last starts at 0, is a residual branch. Class tokens pass by it.
"""

from dataclasses import dataclass
from typing import Annotated

from torch import Tensor, nn

from archbench.models.arithmetic import Work, norm, total
from archbench.models.channels import Channels
from archbench.models.convolution import ConvNorm, Convolution, chain, count_chain
from archbench.models.folding import fold_norm
from archbench.models.layer import DropPath, through_map
from archbench.models.part import (
    Activation,
    Block,
    Grid,
    Kernel,
    Ratio,
    Site,
    hidden_width,
    number,
)
from archbench.models.reparameterised import fused
from archbench.models.squeeze_excite import SqueezeExcite, squeeze_excite_work, squeezed_width


@dataclass(frozen=True, kw_only=True)
class Spec(Block):
    """What may be set.

    ``squeeze`` is the width that channels are squeezed to, as a share, in multiples of 8; at 0
    nothing is squeezed.
    """

    kind = "repvit"
    kernel: Kernel = 3
    mlp_ratio: Ratio = 2
    squeeze: Annotated[float, number(0, 1)] = 0.0
    activation: Activation = "gelu"

    def count(self, site: Site) -> Work:
        """N*((k*k + 1)*C + 2*r*C*C) MACs, and 2*C*S."""
        mixer = self.mixer(site.dim)
        branch = mixer._replace(kernel=1, bias=True, norm="none")
        works = (mixer.work(site.grid.tokens), branch.work(site.grid.tokens), norm(site.dim))
        return total(*works, self._work_behind(site))

    def deployed_count(self, site: Site) -> Work:
        """N*(k*k*C + 2*r*C*C) MACs, and 2*C*S."""
        mixer = self.mixer(site.dim)._replace(bias=True, norm="none")
        return total(mixer.work(site.grid.tokens), self._work_behind(site))

    def named_channels(self, site: Site) -> Channels:
        layers = {
            "mixer": ("width", ""),
            "squeeze_excite.squeeze": ("squeezed", "width"),
            "squeeze_excite.excite": ("width", "squeezed"),
            "mlp.0": ("hidden", "width"),
            "mlp.2": ("width", "hidden"),
        }
        sizes = {"squeezed": self.squeezed(site.dim), "hidden": site.hidden(self.mlp_ratio)}
        return Channels(sizes, layers)

    def module(self, site: Site) -> nn.Module:
        return RepVitBlock(self, site)

    def mixer(self, dim: int) -> Convolution:
        """The k x k branch of the token mixer."""
        return Convolution(dim, dim, kernel=self.kernel, groups=dim)

    def squeezed(self, dim: int) -> int:
        """The width that channels are squeezed to; 0 where they are not."""
        return squeezed_width(dim, self.squeeze)

    def _work_behind(self, site: Site) -> Work:
        """Of what stands behind the token mixer."""
        squeezed = self.squeezed(site.dim)
        return total(
            squeeze_excite_work(site.dim, squeezed) if squeezed else Work(),
            count_chain(mlp_convolutions(site.dim, self.mlp_ratio), site.grid),
        )


class RepVitBlock(nn.Module):
    """Token mixer and channel mixer; (B, T, C) to (B, T, C)."""

    def __init__(self, spec: Spec, site: Site) -> None:
        super().__init__()
        dim, squeezed = site.dim, spec.squeezed(site.dim)
        self.mixer = TokenMixer(spec.mixer(dim))
        self.squeeze_excite = (
            SqueezeExcite(dim, squeezed, gate=nn.Sigmoid) if squeezed else nn.Identity()
        )
        self.mlp = channel_mixer(dim, spec.mlp_ratio, spec.activation)
        self.drop_path = DropPath(site.drop_path)

    def forward(self, x: Tensor, grid: Grid) -> Tensor:
        return through_map(self.on_map, x, grid)

    def on_map(self, x: Tensor) -> Tensor:
        """The same of a map without class tokens; (B, C, H, W) to (B, C, H, W)."""
        x = self.squeeze_excite(self.mixer(x))
        return x + self.drop_path(self.mlp(x))


class TokenMixer(nn.Module):
    """Three depthwise branches and a batch norm; (B, C, H, W) to (B, C, H, W)."""

    def __init__(self, spec: Convolution) -> None:
        super().__init__()
        self.wide = ConvNorm(spec)
        self.narrow = nn.Conv2d(spec.inputs, spec.inputs, 1, groups=spec.inputs)
        self.norm = nn.BatchNorm2d(spec.inputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.wide(x) + self.narrow(x) + x)

    def deployed(self) -> nn.Module:
        """One depthwise convolution."""
        return fold_norm(fused([self.wide, self.narrow, nn.Identity()]).eval(), self.norm)


def mlp_convolutions(dim: int, ratio: float) -> list[Convolution]:
    """The 1x1 convolutions of a channel mixer."""
    hidden = hidden_width(dim, ratio)
    return [Convolution(dim, hidden), Convolution(hidden, dim)]


def channel_mixer(dim: int, ratio: float, active: str) -> nn.Sequential:
    """Two 1x1 convolutions with their norms and an activation between, which start as nothing."""
    layers = chain(mlp_convolutions(dim, ratio), active)
    last = layers[-1].norm
    assert isinstance(last, nn.BatchNorm2d)
    nn.init.zeros_(last.weight)
    return layers
