"""LeViT's shrinking attention: fewer queries than keys, no residual, then a residual MLP.

Graham et al. 2021 (arXiv:2104.01136), sec. 4.2, fig. 5 and table 2. Heads are the width before
divided by the key width, as in the released code; table 2 prints 18 for LeViT-384's second one,
where the code, and the 39.1 M parameters of the paper, have 16. The norm behind the projection
starts at 1: without a residual, zero would block the network.

``norm: layer`` is row A3 of table 5 as we read it (see the block ``levit``): a layer norm of the
map that enters, which queries, keys and values share, another before the MLP, and linear layers
with a bias. What the projection gives is not normed, so that the stream stays one of pre-norm.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Self

from torch import Tensor, nn

from archbench.errors import SpecError
from archbench.models.arithmetic import Work, attention, linear, mlp, norm, total
from archbench.models.layer import (
    Attend,
    AttentionBias,
    DropPath,
    activation,
    branch_linear,
    branch_norm,
    map_tokens,
    token_map,
)
from archbench.models.part import (
    ACTIVATIONS,
    Grid,
    Site,
    check_choice,
    check_number,
    check_whole,
)


@dataclass(frozen=True, kw_only=True)
class Spec:
    """What may be set.

    Attributes:
        key_dim: Width of queries and keys in each head.
        num_heads: Left out, the width before // ``key_dim``.
        attention_ratio: Width of the values in each head, as a multiple of ``key_dim``.
        mlp_ratio: Hidden width of the MLP, as a multiple of the new width.
        stride: Every how manieth token, along each side, asks.
        activation: In the MLP.
        attention_activation: Before the projection.
        norm: ``batch`` behind every linear layer, or ``layer`` before attention and MLP.
    """

    kind: ClassVar[str] = "shrink_attention"
    has_attention: ClassVar[bool] = True

    key_dim: int = 16
    num_heads: int | None = None
    attention_ratio: int = 4
    mlp_ratio: float = 2
    stride: int = 2
    activation: str = "hardswish"
    attention_activation: str = "hardswish"
    norm: str = "batch"

    def __post_init__(self) -> None:
        check_whole("key_dim", self.key_dim, high=1024)
        if self.num_heads is not None:
            check_whole("num_heads", self.num_heads, high=1024)
        check_whole("attention_ratio", self.attention_ratio, high=64)
        check_number("mlp_ratio", self.mlp_ratio, low=0.125, high=64)
        check_whole("stride", self.stride, high=64)
        check_choice("activation", self.activation, ACTIVATIONS)
        check_choice("attention_activation", self.attention_activation, ACTIVATIONS)
        check_choice("norm", self.norm, ("batch", "layer"))

    def resolved(self, site: Site) -> Self:
        """With the number of heads filled in.

        Raises:
            SpecError: A head is wider than the map that enters.
        """
        heads = self.num_heads or site.incoming_dim // self.key_dim
        if heads < 1:
            raise SpecError(
                f"keys of width {self.key_dim} do not fit once into the width {site.incoming_dim}",
                place="key_dim",
                help=f"use at most {site.incoming_dim}, or set num_heads",
            )
        return replace(self, num_heads=heads)

    def outgoing(self, grid: Grid) -> Grid:
        """The map of the queries: ceil(size / stride)."""
        return Grid(*(-(-size // self.stride) for size in grid))

    def with_stride_near(self, stride: float) -> Self:
        """At the nearest whole stride."""
        return replace(self, stride=max(1, round(stride)))

    def count(self, site: Site) -> Work:
        """Keys and values of every token, queries of the tokens that stay, then the MLP."""
        assert self.num_heads is not None
        heads, before, after = self.num_heads, site.incoming_dim, site.dim
        keys, queries = site.grid.tokens, self.outgoing(site.grid).tokens
        key_width, value_width = heads * self.key_dim, heads * self.value_dim
        hidden = self.hidden(after)
        bias = self.norm == "layer"
        behind = 2 * key_width + value_width + after + hidden + after
        return total(
            (
                linear(inputs=before, outputs=key_width + value_width, tokens=keys, bias=bias),
                linear(inputs=before, outputs=key_width, tokens=queries, bias=bias),
                attention(
                    heads=heads,
                    queries=queries,
                    keys=keys,
                    key_dim=self.key_dim,
                    value_dim=self.value_dim,
                ),
                linear(inputs=value_width, outputs=after, tokens=queries, bias=bias),
                mlp(dim=after, hidden=hidden, tokens=queries, bias=bias),
                norm(before + after if bias else behind),
                Work(params=heads * keys if site.bias else 0),
            )
        )

    def module(self, site: Site) -> nn.Module:
        """(B, C, H, W) to (B, C', H', W')."""
        return ShrinkAttention(self, site)

    @property
    def value_dim(self) -> int:
        """Width of the values in each head."""
        return self.attention_ratio * self.key_dim

    def hidden(self, dim: int) -> int:
        """Hidden width of the MLP."""
        return max(1, int(dim * self.mlp_ratio))


class ShrinkAttention(nn.Module):
    """Attention of every ``stride``-th token over all, then an MLP; no residual but the MLP's."""

    def __init__(self, spec: Spec, site: Site) -> None:
        super().__init__()
        assert spec.num_heads is not None
        self.spec = spec
        self.grid = spec.outgoing(site.grid)
        heads, dim, hidden = spec.num_heads, site.dim, spec.hidden(site.dim)
        before, norm = site.incoming_dim, spec.norm
        self.attention_norm = branch_norm(before, norm=norm)
        self.key_value = branch_linear(before, heads * (spec.key_dim + spec.value_dim), norm=norm)
        self.query = branch_linear(before, heads * spec.key_dim, norm=norm)
        self.bias = (
            AttentionBias(heads, queries=self.grid, keys=site.grid, query_stride=spec.stride)
            if site.bias
            else None
        )
        self.attend = Attend(spec.key_dim**-0.5)
        self.attention_activation = activation(spec.attention_activation)
        self.projection = branch_linear(heads * spec.value_dim, dim, norm=norm)
        self.mlp_norm = branch_norm(dim, norm=norm)
        self.mlp = nn.Sequential(
            branch_linear(dim, hidden, norm=norm),
            activation(spec.activation),
            branch_linear(hidden, dim, norm=norm, zero_init=True),
        )
        self.drop_path = DropPath(site.drop_path)

    def forward(self, x: Tensor) -> Tensor:
        spec = self.spec
        heads = spec.num_heads
        assert heads is not None
        tokens = self.attention_norm(map_tokens(x))  # (B, N, C)
        x = token_map(tokens, Grid(*x.shape[-2:]))
        asking = map_tokens(x[:, :, :: spec.stride, :: spec.stride])  # (B, M, C), M of N tokens
        k, v = (
            self.key_value(tokens)
            .unflatten(-1, (heads, spec.key_dim + spec.value_dim))
            .transpose(1, 2)  # (B, h, N, d + e)
            .split([spec.key_dim, spec.value_dim], dim=-1)
        )
        q = self.query(asking).unflatten(-1, (heads, spec.key_dim)).transpose(1, 2)
        bias = None if self.bias is None else self.bias()
        y = self.attend(q, k, v, bias)  # (B, M, h*e)
        y = self.projection(self.attention_activation(y))  # (B, M, C')
        y = y + self.drop_path(self.mlp(self.mlp_norm(y)))
        return token_map(y, self.grid)
