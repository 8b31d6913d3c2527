"""ConvNeXt's block: a depthwise convolution, a layer norm and an MLP, as one residual branch.

Liu et al. 2022 (arXiv:2201.03545), sec. 2.6 and fig. 4; EdgeNeXt's convolution encoder is the same
with kernels that grow from stage to stage (Maaz et al. 2022, arXiv:2206.10589, sec. 3.1). As in the
released code, the branch is scaled by channel and its layers start truncated normal of deviation
0.02. Class tokens pass by it.
"""

from dataclasses import dataclass
from typing import Annotated

from torch import Tensor, nn

from archbench.models.arithmetic import Work, mlp, norm, total
from archbench.models.channels import Channels
from archbench.models.convolution import Convolution
from archbench.models.depthwise import convolved
from archbench.models.layer import (
    DropPath,
    LayerScale,
    init_truncated,
    map_tokens,
    mlp_layers,
    through_map,
    token_map,
)
from archbench.models.part import Activation, Block, Epsilon, Grid, Kernel, Ratio, Site, number

Scale = Annotated[float, number(1e-12, 1.0)]
"""What the factors of a branch's channels start with, in ``layer_scale``."""


@dataclass(frozen=True, kw_only=True)
class Spec(Block):
    """What may be set; a branch without ``layer_scale`` is not scaled."""

    kind = "convnext"
    kernel: Kernel = 7
    mlp_ratio: Ratio = 4
    layer_scale: Scale | None = 1e-6
    epsilon: Epsilon = 1e-6
    activation: Activation = "gelu"

    def count(self, site: Site) -> Work:
        """k*k*N*C + 2*r*N*C*C MACs."""
        dim, tokens = site.dim, site.grid.tokens
        depthwise = Convolution(dim, dim, self.kernel, groups=dim, bias=True, norm="none")
        return total(
            depthwise.work(tokens),
            norm(dim),
            mlp(dim=dim, hidden=site.hidden(self.mlp_ratio), tokens=tokens, bias=True),
            Work(params=dim if self.layer_scale is not None else 0),
        )

    def named_channels(self, site: Site) -> Channels:
        layers = {
            "conv": ("width", ""),
            "norm": ("width", ""),
            "mlp.0": ("hidden", "width"),
            "mlp.2": ("width", "hidden"),
            "mlp.scale": ("width",),
        }
        return Channels({"hidden": site.hidden(self.mlp_ratio)}, layers)

    def module(self, site: Site) -> nn.Module:
        return init_truncated(ConvNextBlock(self, site), nn.Conv2d, nn.Linear)


class ConvNextBlock(nn.Module):
    """The branch beside the identity; (B, T, C) to (B, T, C)."""

    def __init__(self, spec: Spec, site: Site) -> None:
        super().__init__()
        dim, kernel = site.dim, spec.kernel
        self.conv = nn.Conv2d(dim, dim, kernel, padding=kernel // 2, groups=dim)
        self.norm = nn.LayerNorm(dim, eps=spec.epsilon)
        mlp = mlp_layers(dim, site.hidden(spec.mlp_ratio), active=spec.activation)
        self.mlp = scaled(mlp, dim, initial=spec.layer_scale)
        self.drop_path = DropPath(site.drop_path)

    def forward(self, x: Tensor, grid: Grid) -> Tensor:
        def residual(image: Tensor) -> Tensor:
            y = convolved(self.conv, image)
            y = self.mlp(self.norm(map_tokens(y)))  # (B, N, C)
            return image + token_map(self.drop_path(y), grid)

        return through_map(residual, x, grid)


def scaled(layers: nn.Sequential, dim: int, *, initial: float | None) -> nn.Sequential:
    """Layers with a ``scale`` of each channel behind them, unless it has no initial value."""
    if initial is not None:
        layers.add_module("scale", LayerScale(dim, initial=initial))
    return layers
