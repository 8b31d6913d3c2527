"""EfficientViT's block: linear attention with ReLU at two scales, and an inverted bottleneck.

Cai et al. 2023 (arXiv:2205.14756), sec. 2. Both are residual branches on the map. In place of the
softmax of a product, queries and keys go through a ReLU, so that keys and values are multiplied
first and the cost grows with the number of tokens, not its square (eq. 2 to 4). A second set of
heads asks with queries, keys and values that are sums over near tokens (sec. 2.1.2, fig. 3). As in
the released code a batch norm stands only behind the last convolution of each branch, products are
in fp32 at any precision, and 1e-15 is added to the divisor, where timm adds 1e-5.

Class tokens pass by the block, and it takes no positions.

Shapes: B batch, C channels, H W map, N = H*W map tokens, s scales, h heads, d head width.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from archbench.models.arithmetic import Work, total
from archbench.models.channels import Channels, within
from archbench.models.convolution import ConvNorm, Convolution, count_chain
from archbench.models.embeds import inverted_bottleneck
from archbench.models.layer import DropPath, map_grid, through_map
from archbench.models.part import Activation, Grid, HeadedBlock, Kernel, Ratio, Site

_EPSILON = 1e-15


@dataclass(frozen=True, kw_only=True)
class Spec(HeadedBlock):
    """What may be set; ``num_heads`` or ``head_dim`` must be.

    The ``near_kernel`` is the side of the depthwise kernel that sums over near tokens; at 1 there
    is no second scale. All else is of the inverted bottleneck.
    """

    kind = "efficientvit"
    has_attention = False
    near_kernel: Kernel = 5
    expansion: Ratio = 4
    kernel: Kernel = 3
    activation: Activation = "hardswish"

    def count(self, site: Site) -> Work:
        """N*(3*I*C + s*I*C + 2*s*I*(d + 1)) MACs, N*3*I*(k*k + d) for a second scale, and the rest.

        I is the width of all heads together, C that of the stage.
        """
        heads, head_dim = self.heads
        tokens, groups = site.grid.tokens, heads * self.num_scales
        product = head_dim * (head_dim + 1)
        attention = Work(
            activations=groups * (product + tokens * (head_dim + 1)),
            attention=2 * groups * tokens * product,
        )
        convolutions = count_chain(self.convolutions(site.dim), site.grid)
        return total(convolutions, attention, self.local.count(site))

    def named_channels(self, site: Site) -> Channels:
        heads, head_dim = self.heads
        sizes, layers, _ = self.local.named_channels(site)
        inner = dict.fromkeys(("inner", "near_key", "near_value"), head_dim)
        # The last convolution over near tokens reads all queries, keys and values of a head alike.
        attention = {
            "query_key_value": ("heads inner+inner+inner", "width"),
            "nearby.0": ("heads inner+inner+inner", ""),
            "nearby.1": ("heads near_key+near_key+near_value", "inner"),
            "projection": ("width", "heads inner" + ", heads near_value" * (self.num_scales - 1)),
        }
        return Channels(
            {**sizes, **inner, "heads": heads},
            {**within("attention", attention), **within("local", layers)},
        )

    def module(self, site: Site) -> nn.Module:
        return EfficientVitBlock(self, site)

    def convolutions(self, dim: int) -> list[Convolution]:
        """Those of the attention: the first, two over near tokens, and the projection."""
        heads, head_dim = self.heads
        inner = heads * head_dim
        wide = 3 * inner
        near = [
            Convolution(wide, wide, kernel=self.near_kernel, groups=wide, norm="none"),
            Convolution(wide, wide, groups=3 * heads, norm="none"),
        ]
        return [
            Convolution(dim, wide, norm="none"),
            *(near if self.num_scales > 1 else []),
            Convolution(inner * self.num_scales, dim),
        ]

    @property
    def num_scales(self) -> int:
        """How many sets of heads there are, each at a scale of its own."""
        return 1 if self.near_kernel == 1 else 2

    @property
    def local(self) -> inverted_bottleneck.Spec:
        """The inverted bottleneck."""
        return inverted_bottleneck.Spec(
            stride=1,
            expansion=self.expansion,
            kernel=self.kernel,
            norm="last",
            activation=self.activation,
        )


class EfficientVitBlock(nn.Module):
    """Attention and inverted bottleneck on the map; (B, T, C) to (B, T, C)."""

    def __init__(self, spec: Spec, site: Site) -> None:
        super().__init__()
        self.attention = LinearAttention(spec, site.dim)
        self.local = spec.local.module(site)
        self.drop_path = DropPath(site.drop_path)

    def forward(self, x: Tensor, grid: Grid) -> Tensor:
        return through_map(self._on_map, x, grid)

    def _on_map(self, x: Tensor) -> Tensor:
        return self.local(x + self.drop_path(self.attention(x)))


class LinearAttention(nn.Module):
    """Attention by products of three factors, without softmax; (B, C, H, W) to (B, C, H, W)."""

    def __init__(self, spec: Spec, dim: int) -> None:
        super().__init__()
        self.head_dim = spec.heads[1]
        first, *near, last = spec.convolutions(dim)
        self.query_key_value = ConvNorm(first).conv
        self.nearby = nn.Sequential(*(ConvNorm(one).conv for one in near))
        self.projection = ConvNorm(last)

    def forward(self, x: Tensor) -> Tensor:
        parts = self.query_key_value(x)  # (B, 3*h*d, H, W)
        if len(self.nearby):
            parts = torch.cat((parts, self.nearby(parts)), dim=1)  # (B, s*3*h*d, H, W)
        heads = parts.flatten(2).unflatten(1, (-1, 3 * self.head_dim))  # (B, s*h, 3*d, N)
        if torch.is_autocast_enabled(x.device.type):
            with torch.autocast(x.device.type, enabled=False):
                y = linear_attention(*heads.chunk(3, dim=2))
        else:
            y = linear_attention(*heads.chunk(3, dim=2))
        return self.projection(y.flatten(1, 2).unflatten(2, map_grid(x)))


def linear_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Each query's mean of the values by its products with the keys, behind a ReLU (eq. 4).

    All are (B, s*h, d, N). Sums over many tokens are beyond fp16, so they are taken in fp32 at
    least. A query whose products are all 0 gets zeros.
    """
    dtype = torch.promote_types(q.dtype, torch.float32)
    query, key, value = F.relu(q).to(dtype), F.relu(k).to(dtype), v.to(dtype)
    value = F.pad(value, (0, 0, 0, 1), value=1.0)  # (B, s*h, d + 1, N): the last sums products
    y = value @ key.transpose(-2, -1) @ query  # (B, s*h, d + 1, N)
    return (y[:, :, :-1] / (y[:, :, -1:] + _EPSILON)).to(v.dtype)
