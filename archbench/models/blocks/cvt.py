"""CvT's block: attention whose projections are convolutions on the map, and an MLP, pre-norm.

Wu et al. 2021 (arXiv:2103.15808), sec. 3.2 and fig. 2. A squeezed projection takes keys and
values at a stride (``kv_stride: 2``), a full one at 1. As in the released code, not the text:
scores are divided by the square root of the whole width (``scale: width``), the activation is
QuickGELU, class tokens pass by the convolutions and join before the linear layers.

``shared_kv`` is the reading of lucidrains' vit-pytorch: keys and values come of one convolution.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from archbench.errors import SpecError
from archbench.models.arithmetic import Work, attention, convolution, linear, mlp, norm, total
from archbench.models.layer import (
    Attend,
    AttentionBias,
    ConvNorm,
    DropPath,
    activation,
    init_linears,
    map_tokens,
    token_map,
)
from archbench.models.part import (
    ACTIVATIONS,
    Grid,
    Site,
    check_choice,
    check_flag,
    check_heads,
    check_number,
    check_whole,
    heads_of,
    strided,
)


@dataclass(frozen=True, kw_only=True)
class Spec:
    """What may be set; ``num_heads`` or ``head_dim`` must be.

    Attributes:
        num_heads: Left out, the width // ``head_dim``.
        head_dim: Width of one head; left out, the width // ``num_heads``. With both set, the
            inner width of the attention may differ from that of the stage.
        kv_stride: Stride of the projection of keys and values; none for ``linear``.
        mlp_ratio: Hidden width of the MLP, as a multiple of the width.
        projection: ``depthwise`` (depthwise convolution, batch norm, linear), ``average``
            (queries as they are, keys and values pooled, rounding up, then linear) or ``linear``.
        kernel: Side of the kernel or of the pooling window, odd; none for ``linear``.
        scale: ``width`` as in the code or ``head`` as in the text: whose root divides scores.
        bias: Whether the linear layers of queries, keys and values have a bias.
        shared_kv: Whether keys and values share one depthwise convolution and its batch norm, not
            their linear layers; nothing to share for the other projections.
        activation: In the MLP.
    """

    kind: ClassVar[str] = "cvt"
    has_attention: ClassVar[bool] = True

    num_heads: int | None = None
    head_dim: int | None = None
    kv_stride: int | None = 2
    mlp_ratio: float = 4
    projection: str = "depthwise"
    kernel: int | None = 3
    scale: str = "width"
    bias: bool = True
    shared_kv: bool | None = False
    activation: str = "quick_gelu"

    def __post_init__(self) -> None:
        check_heads(self.num_heads, self.head_dim)
        check_choice("projection", self.projection, ("depthwise", "average", "linear"))
        if self.projection != "linear":
            check_whole("kv_stride", self.kv_stride, high=64)
            check_whole("kernel", self.kernel, high=31)
            if self.kernel is not None and self.kernel % 2 == 0:
                raise SpecError(f"the kernel {self.kernel} is not odd", place="kernel")
        check_number("mlp_ratio", self.mlp_ratio, low=0.125, high=64)
        check_choice("scale", self.scale, ("width", "head"))
        check_flag("bias", self.bias)
        if self.projection == "depthwise":
            check_flag("shared_kv", self.shared_kv)
        check_choice("activation", self.activation, ACTIVATIONS)

    def resolved(self, site: Site) -> Self:
        """With heads and their width filled in, and None for what the projection leaves unused.

        Raises:
            SpecError: The heads do not divide the width.
        """
        heads, head_dim = heads_of(self.num_heads, self.head_dim, dim=site.dim)
        filled = replace(self, num_heads=heads, head_dim=head_dim)
        if self.projection == "linear":
            return replace(filled, kv_stride=None, kernel=None, shared_kv=None)
        return filled if self.projection == "depthwise" else replace(filled, shared_kv=None)

    def count(self, site: Site) -> Work:
        """k*k*C*(N+2Nk) + C*C*(2T+2S) + 2*T*S*C + 2*r*T*C*C MACs, T and S with class tokens."""
        assert self.num_heads is not None
        assert self.head_dim is not None
        dim, inner = site.dim, self.num_heads * self.head_dim
        keys = self.key_grid(site.grid)
        t, s = site.grid.tokens + site.class_tokens, keys.tokens + site.class_tokens
        parts = [
            linear(inputs=dim, outputs=inner, tokens=t, bias=self.bias),
            linear(inputs=dim, outputs=inner, tokens=s, bias=self.bias),
            linear(inputs=dim, outputs=inner, tokens=s, bias=self.bias),
            attention(
                heads=self.num_heads,
                queries=t,
                keys=s,
                key_dim=self.head_dim,
                value_dim=self.head_dim,
            ),
            linear(inputs=inner, outputs=dim, tokens=t, bias=True),
            mlp(dim=dim, hidden=self.hidden(dim), tokens=t, bias=True),
            norm(dim, number=2),
        ]
        if self.projection == "depthwise":
            assert self.kernel is not None
            kernel = self.kernel
            grids = (site.grid, keys) if self.shared_kv else (site.grid, keys, keys)
            parts += (
                convolution(inputs=dim, outputs=dim, kernel=kernel, tokens=grid.tokens, groups=dim)
                for grid in grids
            )
            parts.append(norm(dim, number=len(grids)))
        if site.bias:
            finer = Grid(*map(max, site.grid, keys))
            parts.append(Work(params=self.num_heads * finer.tokens))
        return total(tuple(parts))

    def module(self, site: Site) -> nn.Module:
        """(B, T, C) to (B, T, C)."""
        return CvtBlock(self, site)

    def key_grid(self, grid: Grid) -> Grid:
        """The map of keys and values."""
        if self.projection == "linear":
            return grid
        assert self.kernel is not None
        assert self.kv_stride is not None
        kernel, stride, padding = self.kernel, self.kv_stride, self.kernel // 2
        if self.projection == "depthwise":
            return Grid(
                *(strided(size, kernel=kernel, stride=stride, padding=padding) for size in grid)
            )
        return Grid(*(_pooled(size, kernel, stride, padding) for size in grid))

    def hidden(self, dim: int) -> int:
        """Hidden width of the MLP."""
        return max(1, int(dim * self.mlp_ratio))


class CvtBlock(nn.Module):
    """Pre-norm attention and MLP, each a residual branch."""

    def __init__(self, spec: Spec, site: Site) -> None:
        super().__init__()
        dim, hidden = site.dim, spec.hidden(site.dim)
        self.attention_norm = nn.LayerNorm(dim)
        self.attention = CvtAttention(spec, site)
        self.mlp_norm = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(
            nn.Linear(dim, hidden), activation(spec.activation), nn.Linear(hidden, dim)
        )
        self.drop_path = DropPath(site.drop_path)
        init_linears(self)

    def forward(self, x: Tensor, grid: Grid) -> Tensor:
        x = x + self.drop_path(self.attention(self.attention_norm(x), grid))
        return x + self.drop_path(self.mlp(self.mlp_norm(x)))


class CvtAttention(nn.Module):
    """Multi-head attention with convolutional projections; (B, T, C) to (B, T, C)."""

    def __init__(self, spec: Spec, site: Site) -> None:
        super().__init__()
        assert spec.num_heads is not None
        assert spec.head_dim is not None
        dim, inner = site.dim, spec.num_heads * spec.head_dim
        self.num_heads = spec.num_heads
        self.class_tokens = site.class_tokens
        self.attend = Attend((dim if spec.scale == "width" else spec.head_dim) ** -0.5)
        self.query_map = _map_projection(spec, dim, of_query=True)
        self.key_map = _map_projection(spec, dim, of_query=False)
        self.value_map = None if spec.shared_kv else _map_projection(spec, dim, of_query=False)
        self.query = nn.Linear(dim, inner, bias=spec.bias)
        self.key = nn.Linear(dim, inner, bias=spec.bias)
        self.value = nn.Linear(dim, inner, bias=spec.bias)
        self.projection = nn.Linear(inner, dim)
        self.bias = (
            AttentionBias(
                spec.num_heads,
                queries=site.grid,
                keys=spec.key_grid(site.grid),
                key_stride=spec.kv_stride or 1,
                class_tokens=site.class_tokens,
            )
            if site.bias
            else None
        )

    def forward(self, x: Tensor, grid: Grid) -> Tensor:
        q = self._heads(self.query(self._projected(x, grid, self.query_map)))  # (B, h, T, d)
        of_key = self._projected(x, grid, self.key_map)  # (B, S, C)
        of_value = of_key if self.value_map is None else self._projected(x, grid, self.value_map)
        k = self._heads(self.key(of_key))  # (B, h, S, d)
        v = self._heads(self.value(of_value))
        bias = None if self.bias is None else self.bias()
        return self.projection(self.attend(q, k, v, bias))

    def _projected(self, x: Tensor, grid: Grid, projection: nn.Module) -> Tensor:
        if isinstance(projection, nn.Identity):
            return x
        tokens = map_tokens(projection(token_map(x[:, self.class_tokens :], grid)))
        if not self.class_tokens:
            return tokens
        return torch.cat((x[:, : self.class_tokens], tokens), dim=1)

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)


class CeilAveragePool(nn.Module):
    """Average pooling that rounds the map up, as the released code's ``avg`` projection does."""

    def __init__(self, kernel: int, stride: int) -> None:
        super().__init__()
        self.kernel = kernel
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(x, self.kernel, self.stride, self.kernel // 2, ceil_mode=True)


def _map_projection(spec: Spec, dim: int, *, of_query: bool) -> nn.Module:
    if spec.projection == "linear" or (spec.projection == "average" and of_query):
        return nn.Identity()
    assert spec.kernel is not None
    assert spec.kv_stride is not None
    stride = 1 if of_query else spec.kv_stride
    if spec.projection == "average":
        return CeilAveragePool(spec.kernel, stride)
    return ConvNorm(
        dim, dim, kernel=spec.kernel, stride=stride, padding=spec.kernel // 2, groups=dim
    )


def _pooled(size: int, kernel: int, stride: int, padding: int) -> int:
    outputs = -(-(size + 2 * padding - kernel) // stride) + 1
    # A last window that would begin in the padding beyond the map is left out.
    return outputs - 1 if (outputs - 1) * stride >= size + padding else outputs
