"""CvT's block: attention whose projections are convolutions on the map, and an MLP, pre-norm.

Wu et al. 2021 (arXiv:2103.15808), sec. 3.2 and fig. 2. A squeezed projection takes keys and
values at a stride (``kv_stride: 2``), a full one at 1. As in the released code, not the text:
scores are divided by the square root of the whole width (``scale: width``), the activation is
QuickGELU, class tokens pass by the convolutions and join before the linear layers.

``shared_kv`` is the reading of lucidrains' vit-pytorch: keys and values come of one convolution.
"""

from dataclasses import dataclass, replace
from typing import Annotated, Self

from torch import Tensor, nn

from archbench.models.arithmetic import Work, attention, linear, mlp, norm, total
from archbench.models.attention import Attend, AttentionBias
from archbench.models.blocks.vit import TransformerBlock, transformer_channels
from archbench.models.channels import Channels
from archbench.models.convolution import ConvNorm, Convolution
from archbench.models.layer import AveragePool, init_truncated, mlp_layers, pooled, through_map
from archbench.models.part import (
    Activation,
    Grid,
    HeadedBlock,
    Ratio,
    Site,
    choice,
    flag,
    odd,
    whole,
)


@dataclass(frozen=True, kw_only=True)
class Spec(HeadedBlock):
    """What may be set; ``num_heads`` or ``head_dim`` must be.

    Its ``projection`` is ``depthwise`` (depthwise convolution, batch norm, linear), ``average``
    (queries as they are, keys and values pooled, rounding up, then linear) or ``linear``, which
    has neither a ``kernel`` nor the ``kv_stride`` of keys and values. Scores are divided by the
    root of the ``scale``: ``width`` as in the code or ``head`` as in the text. With ``shared_kv``
    keys and values share one depthwise convolution and its batch norm, not their linear layers.
    """

    kind = "cvt"
    kv_stride: int | None = 2
    mlp_ratio: Ratio = 4
    projection: Annotated[str, choice("depthwise", "average", "linear")] = "depthwise"
    kernel: int | None = 3
    scale: Annotated[str, choice("width", "head")] = "width"
    bias: bool = True
    shared_kv: bool | None = False
    activation: Activation = "quick_gelu"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.projection != "linear":
            whole(high=64)("kv_stride", self.kv_stride)
            odd(31)("kernel", self.kernel)
        if self.projection == "depthwise":
            flag("shared_kv", self.shared_kv)

    def resolved(self, site: Site) -> Self:
        filled = super().resolved(site)
        if self.projection == "linear":
            return replace(filled, kv_stride=None, kernel=None, shared_kv=None)
        return filled if self.projection == "depthwise" else replace(filled, shared_kv=None)

    def count(self, site: Site) -> Work:
        """k*k*C*(N+2Nk) + C*C*(2T+2S) + 2*T*S*C + 2*r*T*C*C MACs, T and S with class tokens."""
        heads, head_dim = self.heads
        dim, inner, hidden = site.dim, heads * head_dim, site.hidden(self.mlp_ratio)
        keys = self.key_grid(site.grid)
        t, s = site.tokens, keys.tokens + site.class_tokens
        parts = [
            *(linear(inputs=dim, outputs=inner, tokens=n, bias=self.bias) for n in (t, s, s)),
            attention(heads=heads, queries=t, keys=s, key_dim=head_dim),
            linear(inputs=inner, outputs=dim, tokens=t, bias=True),
            mlp(dim=dim, hidden=hidden, tokens=t, bias=True),
            norm(dim, number=2),
        ]
        if self.projection == "depthwise":
            depthwise = self._depthwise(dim, 1)
            of_keys = depthwise.work(keys.tokens)
            parts += [depthwise.work(site.grid.tokens), of_keys]
            parts += [] if self.shared_kv else [of_keys]
        if site.bias:
            parts.append(Work(params=heads * Grid(*map(max, site.grid, keys)).tokens))
        return total(*parts)

    def named_channels(self, site: Site) -> Channels:
        maps = ("query_map", "key_map", "value_map")
        attention = {
            **dict.fromkeys(maps, ("width", "")),
            **dict.fromkeys(("query", "key"), ("heads key", "width")),
            "value": ("heads value", "width"),
            "bias": ("heads", ""),
            "projection": ("width", "heads value"),
        }
        heads, head_dim = self.heads
        return transformer_channels(
            attention, heads=(heads, head_dim, head_dim), hidden=site.hidden(self.mlp_ratio)
        )

    def module(self, site: Site) -> nn.Module:
        block = TransformerBlock(
            site,
            CvtAttention(self, site),
            mlp_layers(site.dim, site.hidden(self.mlp_ratio), active=self.activation),
        )
        return init_truncated(block, nn.Linear)

    def key_grid(self, grid: Grid) -> Grid:
        """The map of keys and values."""
        if self.projection == "linear":
            return grid
        kernel, stride = self._window
        if self.projection == "depthwise":
            return self._depthwise(1, stride).outgoing(grid)
        return Grid(*(pooled(size, kernel, stride, kernel // 2) for size in grid))

    def map_projection(self, dim: int, *, of_query: bool) -> nn.Module:
        """What maps queries, or keys or values, before their linear layer."""
        if self.projection == "linear" or (self.projection == "average" and of_query):
            return nn.Identity()
        kernel, stride = self._window
        if self.projection == "average":
            # It rounds the map up, as the released code's ``avg`` projection does.
            return AveragePool(kernel, stride, kernel // 2)
        return ConvNorm(self._depthwise(dim, 1 if of_query else stride))

    def _depthwise(self, dim: int, stride: int) -> Convolution:
        return Convolution(dim, dim, self._window[0], stride, groups=dim)

    @property
    def _window(self) -> tuple[int, int]:
        """Kernel and stride of a projection that has them."""
        assert self.kernel is not None
        assert self.kv_stride is not None
        return self.kernel, self.kv_stride


class CvtAttention(nn.Module):
    """Multi-head attention with convolutional projections; (B, T, C) to (B, T, C)."""

    def __init__(self, spec: Spec, site: Site) -> None:
        super().__init__()
        self.num_heads, head_dim = spec.heads
        dim, inner = site.dim, self.num_heads * head_dim
        self.attend = Attend((dim if spec.scale == "width" else head_dim) ** -0.5)
        self.query_map = spec.map_projection(dim, of_query=True)
        self.key_map = spec.map_projection(dim, of_query=False)
        self.value_map = None if spec.shared_kv else spec.map_projection(dim, of_query=False)
        self.query = nn.Linear(dim, inner, bias=spec.bias)
        self.key = nn.Linear(dim, inner, bias=spec.bias)
        self.value = nn.Linear(dim, inner, bias=spec.bias)
        self.projection = nn.Linear(inner, dim)
        keys = (spec.key_grid(site.grid), spec.kv_stride or 1)
        self.bias = AttentionBias.at(site, self.num_heads, keys=keys)

    def forward(self, x: Tensor, grid: Grid) -> Tensor:
        q = self._heads(self.query(through_map(self.query_map, x, grid)))  # (B, h, T, d)
        of_key = through_map(self.key_map, x, grid)  # (B, S, C)
        of_value = of_key if self.value_map is None else through_map(self.value_map, x, grid)
        k = self._heads(self.key(of_key))  # (B, h, S, d)
        v = self._heads(self.value(of_value))
        bias = None if self.bias is None else self.bias()
        return self.projection(self.attend(q, k, v, bias))

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
