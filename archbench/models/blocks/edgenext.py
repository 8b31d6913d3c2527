"""EdgeNeXt's encoder with split depthwise convolutions and attention across channels (SDTA).

Maaz et al. 2022 (arXiv:2206.10589), sec. 3.2 and fig. 2. The channels are cut into groups. Each
group but the last goes through a 3x3 depthwise convolution together with what the one before gave
(after Gao et al. 2021, arXiv:1904.01169), the last stays. What all give is the stream of the
attention, whose queries, keys and values are channels (El-Nouby et al. 2021, arXiv:2106.09681, sec.
3.1): its cost is linear in the tokens. An MLP follows, and the input is added to what it gives; so
the convolutions and the attention have no residual around both.

As in the released code, a group has ceil(C / groups) channels, the last one what is left; both
branches are scaled by channel, and layers start as in ``convnext``. No token attends to another, so
there is neither a bias by distance nor a class token that would learn: class tokens pass by it.

Shapes: B batch, C channels, H W map, N = H*W map tokens, h heads, d head width.
"""

from collections import OrderedDict
from dataclasses import dataclass
from math import pi
from typing import Annotated, Self

import torch
from torch import Tensor, nn

from archbench.errors import SpecError
from archbench.models.arithmetic import Work, attention, linear, mlp, norm, total
from archbench.models.attention import Bias
from archbench.models.blocks.convnext import Scale, scaled
from archbench.models.blocks.vit import transformer_channels
from archbench.models.channels import Channels
from archbench.models.convolution import Convolution
from archbench.models.layer import (
    DropPath,
    init_truncated,
    map_tokens,
    mlp_layers,
    split_heads,
    through_map,
    token_map,
)
from archbench.models.part import Activation, Epsilon, Grid, HeadedBlock, Ratio, Site, whole

_FREQUENCIES = 32
_TEMPERATURE = 10000.0


@dataclass(frozen=True, kw_only=True)
class Spec(HeadedBlock):
    """What may be set; ``num_heads`` or ``head_dim`` must be.

    With ``fourier_position`` a projection of sines and cosines of the place is added before the
    attention; branches without ``layer_scale`` are not scaled.
    """

    kind = "edgenext"
    has_attention = False  # over tokens
    groups: Annotated[int, whole(2, 64)] = 2
    fourier_position: bool = False
    mlp_ratio: Ratio = 4
    layer_scale: Scale | None = 1e-6
    epsilon: Epsilon = 1e-6
    activation: Activation = "gelu"

    def resolved(self, site: Site) -> Self:
        if (self.groups - 1) * self.group_dim(site) >= site.dim:
            raise SpecError(
                f"{self.groups} groups of {self.group_dim(site)} channels do not fit the width "
                f"{site.dim}",
                place="groups",
                help="use fewer, or a width that they divide",
            )
        return super().resolved(site)

    def count(self, site: Site) -> Work:
        """9*(C-g)*N + 4*N*C*C + 2*N*C*d + 2*r*N*C*C MACs; g is the width of the last group."""
        heads, head_dim = self.heads
        dim, inner, tokens = site.dim, heads * head_dim, site.grid.tokens
        mixed = (self.groups - 1) * self.group_dim(site)
        scales = 2 * dim if self.layer_scale is not None else 0
        split = Convolution(mixed, mixed, 3, groups=mixed, bias=True, norm="none")
        position = Convolution(2 * _FREQUENCIES, dim, bias=True, norm="none").work(tokens)
        return total(
            split.work(tokens),
            position if self.fourier_position else Work(),
            linear(inputs=dim, outputs=3 * inner, tokens=tokens, bias=True),
            attention(heads=heads, queries=head_dim, keys=head_dim, key_dim=tokens),
            linear(inputs=inner, outputs=dim, tokens=tokens, bias=True),
            mlp(dim=dim, hidden=site.hidden(self.mlp_ratio), tokens=tokens, bias=True),
            norm(dim, number=2),
            Work(params=heads + scales),
        )

    def named_channels(self, site: Site) -> Channels:
        heads, head_dim = self.heads
        # The product pairs a channel of the keys with the same one of the values.
        of_attention = {
            "query_key_value": ("heads query, heads key, heads key", "width"),
            "temperature": ("heads",),
            "projection.linear": ("width", "heads query"),
            "projection.scale": ("width",),
        }
        found = transformer_channels(
            of_attention,
            heads=(heads, head_dim, head_dim),
            hidden=site.hidden(self.mlp_ratio),
        )
        number, group_dim = self.groups - 1, self.group_dim(site)
        sizes = {"width.group": group_dim, "width.rest": site.dim - number * group_dim}
        own = {f"convs.{i}": ("width.group", "") for i in range(number)}
        own |= {"position": ("width", ""), "mlp.scale": ("width", "")}
        return Channels(
            {**found.sizes, "query": head_dim, **sizes},
            {**found.layers, **own},
            width=", ".join([*["width.group"] * number, "width.rest"]),
        )

    def module(self, site: Site) -> nn.Module:
        return init_truncated(EdgeNextBlock(self, site), nn.Conv2d, nn.Linear)

    def group_dim(self, site: Site) -> int:
        """Channels of each group but the last."""
        return -(-site.dim // self.groups)


class EdgeNextBlock(nn.Module):
    """The encoder as one residual branch; (B, T, C) to (B, T, C)."""

    def __init__(self, spec: Spec, site: Site) -> None:
        super().__init__()
        dim, group_dim = site.dim, spec.group_dim(site)
        self.widths = [group_dim] * (spec.groups - 1) + [dim - (spec.groups - 1) * group_dim]
        self.convs = nn.ModuleList(
            nn.Conv2d(width, width, 3, padding=1, groups=width) for width in self.widths[:-1]
        )
        self.position = FourierPosition(dim, site.grid) if spec.fourier_position else None
        self.attention_norm = nn.LayerNorm(dim, eps=spec.epsilon)
        self.attention = ChannelAttention(spec, dim)
        self.mlp_norm = nn.LayerNorm(dim, eps=spec.epsilon)
        mlp = mlp_layers(dim, site.hidden(spec.mlp_ratio), active=spec.activation)
        self.mlp = scaled(mlp, dim, initial=spec.layer_scale)
        self.drop_path = DropPath(site.drop_path)

    def forward(self, x: Tensor, grid: Grid) -> Tensor:
        return through_map(lambda image: image + token_map(self._branch(image), grid), x, grid)

    def _branch(self, image: Tensor) -> Tensor:
        groups = image.split(self.widths, dim=1)
        mixed = [self.convs[0](groups[0])]
        for conv, group in zip(self.convs[1:], groups[1:], strict=False):
            mixed.append(conv(mixed[-1] + group))
        x = map_tokens(torch.cat((*mixed, groups[-1]), dim=1))  # (B, N, C)
        if self.position is not None:
            x = x + self.position()
        x = x + self.drop_path(self.attention(self.attention_norm(x)))
        return self.drop_path(self.mlp(self.mlp_norm(x)))


class ChannelAttention(nn.Module):
    """Multi-head attention of channels to channels; (B, N, C) to (B, N, C).

    Queries and keys have length 1 over the tokens; a learnt temperature scales their products.
    """

    def __init__(self, spec: Spec, dim: int) -> None:
        super().__init__()
        self.num_heads, head_dim = spec.heads
        inner = self.num_heads * head_dim
        self.query_key_value = nn.Linear(dim, 3 * inner)
        self.temperature = nn.Parameter(torch.ones(self.num_heads, 1, 1))
        projection = nn.Sequential(OrderedDict(linear=nn.Linear(inner, dim)))
        self.projection = scaled(projection, dim, initial=spec.layer_scale)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = split_heads(self.query_key_value(x), 3, self.num_heads)  # (B, h, N, d)
        scores = _unit(q).transpose(-2, -1) @ _unit(k) * self.temperature  # (B, h, d, d)
        y = v @ scores.softmax(dim=-1).transpose(-2, -1)  # (B, h, N, d)
        return self.projection(y.transpose(1, 2).flatten(2))


class FourierPosition(Bias):
    """Sines and cosines of row and column, projected to the width; gives (1, N, C).

    Carion et al. 2020 (arXiv:2005.12872), sec. A.4: each is counted from 1 and is a share of a
    turn. Evaluation needs to compute it only once.
    """

    table: Tensor

    def __init__(self, dim: int, grid: Grid) -> None:
        super().__init__()
        self.projection = nn.Conv2d(2 * _FREQUENCIES, dim, 1)
        steps = torch.arange(_FREQUENCIES, dtype=torch.float32)
        periods = _TEMPERATURE ** (2 * (steps // 2) / _FREQUENCIES)
        waves = []
        for side in grid:
            turn = torch.arange(1, side + 1, dtype=torch.float32) / (side + 1e-6) * (2 * pi)
            angle = turn[:, None] / periods  # (side, frequencies)
            pairs = torch.stack((angle[:, 0::2].sin(), angle[:, 1::2].cos()), dim=-1)
            waves.append(pairs.flatten(1).T)  # (frequencies, side)
        rows = waves[0][:, :, None].expand(-1, -1, grid.width)
        columns = waves[1][:, None, :].expand(-1, grid.height, -1)
        self.register_buffer("table", torch.cat((rows, columns))[None], persistent=False)

    def forward(self) -> Tensor:
        return map_tokens(self.projection(self.table))


def _unit(x: Tensor) -> Tensor:
    """Channels (B, h, N, d) of length 1 over the tokens."""
    return x / torch.linalg.vector_norm(x, dim=-2, keepdim=True).clamp_min(1e-12)
