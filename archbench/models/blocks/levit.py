"""LeViT's block: attention with wide values and an activation before its projection, and an MLP.

Graham et al. 2021 (arXiv:2104.01136), sec. 4.2, fig. 5. Both are residual branches without
pre-norm; every linear layer is followed by a batch norm, of which the last of a branch starts at
0. Queries, keys and values of one head lie side by side, as in the released code.

``norm: layer`` is row A3 of table 5, "without batch norm", of which no code was released. We read
it as the usual transformer: each branch begins with a layer norm over channels, its linear layers
have a bias in place of the norm's, and nothing starts at 0.
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
        key_dim: Width of queries and keys in each head (the paper's D).
        num_heads: The paper's N; left out, as many as make the values as wide as the stage.
        attention_ratio: Width of the values in each head, as a multiple of ``key_dim``.
        mlp_ratio: Hidden width of the MLP, as a multiple of the width.
        activation: In the MLP.
        attention_activation: Before the projection.
        norm: ``batch`` behind every linear layer, or ``layer`` before each branch.
    """

    kind: ClassVar[str] = "levit"
    has_attention: ClassVar[bool] = True

    key_dim: int = 16
    num_heads: int | None = None
    attention_ratio: int = 2
    mlp_ratio: float = 2
    activation: str = "hardswish"
    attention_activation: str = "hardswish"
    norm: str = "batch"

    def __post_init__(self) -> None:
        check_whole("key_dim", self.key_dim, high=1024)
        if self.num_heads is not None:
            check_whole("num_heads", self.num_heads, high=1024)
        check_whole("attention_ratio", self.attention_ratio, high=64)
        check_number("mlp_ratio", self.mlp_ratio, low=0.125, high=64)
        check_choice("activation", self.activation, ACTIVATIONS)
        check_choice("attention_activation", self.attention_activation, ACTIVATIONS)
        check_choice("norm", self.norm, ("batch", "layer"))

    def resolved(self, site: Site) -> Self:
        """With the number of heads filled in.

        Raises:
            SpecError: The values of one head are wider than the stage.
        """
        heads = self.num_heads or site.dim // self.value_dim
        if heads < 1:
            raise SpecError(
                f"values of width {self.value_dim} (attention_ratio x key_dim) do not fit once "
                f"into the width {site.dim}",
                place="key_dim",
                help=f"use at most {site.dim // self.attention_ratio}, or set num_heads",
            )
        return replace(self, num_heads=heads)

    def count(self, site: Site) -> Work:
        """n*C*4DN + n*2DN*C + 3*N*n*n*D + 4*n*C*C MACs at the paper's ratios."""
        assert self.num_heads is not None
        heads, dim, tokens = self.num_heads, site.dim, site.grid.tokens + site.class_tokens
        width, value_width = heads * (2 * self.key_dim + self.value_dim), heads * self.value_dim
        hidden = self.hidden(dim)
        bias = self.norm == "layer"
        return total(
            (
                linear(inputs=dim, outputs=width, tokens=tokens, bias=bias),
                attention(
                    heads=heads,
                    queries=tokens,
                    keys=tokens,
                    key_dim=self.key_dim,
                    value_dim=self.value_dim,
                ),
                linear(inputs=value_width, outputs=dim, tokens=tokens, bias=bias),
                mlp(dim=dim, hidden=hidden, tokens=tokens, bias=bias),
                norm(2 * dim if bias else width + dim + hidden + dim),
                Work(params=heads * site.grid.tokens if site.bias else 0),
            )
        )

    def module(self, site: Site) -> nn.Module:
        """(B, T, C) to (B, T, C)."""
        return LevitBlock(self, site)

    @property
    def value_dim(self) -> int:
        """Width of the values in each head."""
        return self.attention_ratio * self.key_dim

    def hidden(self, dim: int) -> int:
        """Hidden width of the MLP."""
        return max(1, int(dim * self.mlp_ratio))


class LevitBlock(nn.Module):
    """Attention and MLP, each a residual branch."""

    def __init__(self, spec: Spec, site: Site) -> None:
        super().__init__()
        dim, hidden = site.dim, spec.hidden(site.dim)
        self.attention_norm = branch_norm(dim, norm=spec.norm)
        self.attention = LevitAttention(spec, site)
        self.mlp_norm = branch_norm(dim, norm=spec.norm)
        self.mlp = nn.Sequential(
            branch_linear(dim, hidden, norm=spec.norm),
            activation(spec.activation),
            branch_linear(hidden, dim, norm=spec.norm, zero_init=True),
        )
        self.drop_path = DropPath(site.drop_path)

    def forward(self, x: Tensor, grid: Grid) -> Tensor:
        x = x + self.drop_path(self.attention(self.attention_norm(x)))
        return x + self.drop_path(self.mlp(self.mlp_norm(x)))


class LevitAttention(nn.Module):
    """Multi-head attention over all tokens; (B, T, C) to (B, T, C)."""

    def __init__(self, spec: Spec, site: Site) -> None:
        super().__init__()
        assert spec.num_heads is not None
        self.spec = spec
        heads, width = spec.num_heads, 2 * spec.key_dim + spec.value_dim
        self.query_key_value = branch_linear(site.dim, heads * width, norm=spec.norm)
        self.bias = (
            AttentionBias(heads, queries=site.grid, keys=site.grid, class_tokens=site.class_tokens)
            if site.bias
            else None
        )
        self.attend = Attend(spec.key_dim**-0.5)
        self.activation = activation(spec.attention_activation)
        self.projection = branch_linear(
            heads * spec.value_dim, site.dim, norm=spec.norm, zero_init=True
        )

    def forward(self, x: Tensor) -> Tensor:
        spec = self.spec
        assert spec.num_heads is not None
        q, k, v = (
            self.query_key_value(x)
            .unflatten(-1, (spec.num_heads, 2 * spec.key_dim + spec.value_dim))
            .transpose(1, 2)  # (B, h, T, 2d + e)
            .split([spec.key_dim, spec.key_dim, spec.value_dim], dim=-1)
        )
        bias = None if self.bias is None else self.bias()
        return self.projection(self.activation(self.attend(q, k, v, bias)))
