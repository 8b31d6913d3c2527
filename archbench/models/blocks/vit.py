"""ViT's block: attention over all tokens and an MLP, each pre-norm and a residual branch.

Dosovitskiy et al. 2021 (arXiv:2010.11929), sec. 3.1, eq. 2 and 3, with DeiT's settings (Touvron et
al. 2021, arXiv:2012.12877): layer norms of epsilon 1e-6, exact GELU, linears that start truncated
normal of deviation 0.02.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Self

from torch import Tensor, nn

from archbench.models.arithmetic import Work, attention, linear, mlp, norm, total
from archbench.models.layer import Attend, AttentionBias, DropPath, activation, init_truncated
from archbench.models.part import (
    ACTIVATIONS,
    Grid,
    Site,
    check_choice,
    check_flag,
    check_heads,
    check_number,
    heads_of,
)


@dataclass(frozen=True, kw_only=True)
class Spec:
    """What may be set; ``num_heads`` or ``head_dim`` must be.

    Attributes:
        num_heads: Left out, the width // ``head_dim``.
        head_dim: Width of one head; left out, the width // ``num_heads``. With both set, the
            inner width of the attention may differ from that of the stage.
        mlp_ratio: Hidden width of the MLP, as a multiple of the width.
        bias: Whether the linear layer of queries, keys and values has a bias.
        epsilon: Of both layer norms.
        activation: In the MLP.
    """

    kind: ClassVar[str] = "vit"
    has_attention: ClassVar[bool] = True

    num_heads: int | None = None
    head_dim: int | None = None
    mlp_ratio: float = 4
    bias: bool = True
    epsilon: float = 1e-6
    activation: str = "gelu"

    def __post_init__(self) -> None:
        check_heads(self.num_heads, self.head_dim)
        check_number("mlp_ratio", self.mlp_ratio, low=0.125, high=64)
        check_flag("bias", self.bias)
        check_number("epsilon", self.epsilon, low=1e-12, high=1.0)
        check_choice("activation", self.activation, ACTIVATIONS)

    def resolved(self, site: Site) -> Self:
        """With heads and their width filled in.

        Raises:
            SpecError: The heads do not divide the width.
        """
        heads, head_dim = heads_of(self.num_heads, self.head_dim, dim=site.dim)
        return replace(self, num_heads=heads, head_dim=head_dim)

    def count(self, site: Site) -> Work:
        """T*4*C*C + 2*T*T*C + 2*r*T*C*C MACs where the inner width is that of the stage."""
        assert self.num_heads is not None
        assert self.head_dim is not None
        heads, head_dim, dim = self.num_heads, self.head_dim, site.dim
        inner, tokens = heads * head_dim, site.grid.tokens + site.class_tokens
        return total(
            (
                linear(inputs=dim, outputs=3 * inner, tokens=tokens, bias=self.bias),
                attention(
                    heads=heads, queries=tokens, keys=tokens, key_dim=head_dim, value_dim=head_dim
                ),
                linear(inputs=inner, outputs=dim, tokens=tokens, bias=True),
                mlp(dim=dim, hidden=self.hidden(dim), tokens=tokens, bias=True),
                norm(dim, number=2),
                Work(params=heads * site.grid.tokens if site.bias else 0),
            )
        )

    def module(self, site: Site) -> nn.Module:
        """(B, T, C) to (B, T, C)."""
        return VitBlock(self, site)

    def hidden(self, dim: int) -> int:
        """Hidden width of the MLP."""
        return max(1, int(dim * self.mlp_ratio))


class VitBlock(nn.Module):
    """Attention and MLP, each a residual branch behind a layer norm."""

    def __init__(self, spec: Spec, site: Site) -> None:
        super().__init__()
        dim, hidden = site.dim, spec.hidden(site.dim)
        self.attention_norm = nn.LayerNorm(dim, eps=spec.epsilon)
        self.attention = VitAttention(spec, site)
        self.mlp_norm = nn.LayerNorm(dim, eps=spec.epsilon)
        self.mlp = nn.Sequential(
            nn.Linear(dim, hidden), activation(spec.activation), nn.Linear(hidden, dim)
        )
        self.drop_path = DropPath(site.drop_path)
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                init_truncated(layer.weight)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor, grid: Grid) -> Tensor:
        x = x + self.drop_path(self.attention(self.attention_norm(x)))
        return x + self.drop_path(self.mlp(self.mlp_norm(x)))


class VitAttention(nn.Module):
    """Multi-head attention over all tokens; (B, T, C) to (B, T, C)."""

    def __init__(self, spec: Spec, site: Site) -> None:
        super().__init__()
        assert spec.num_heads is not None
        assert spec.head_dim is not None
        inner = spec.num_heads * spec.head_dim
        self.num_heads = spec.num_heads
        self.query_key_value = nn.Linear(site.dim, 3 * inner, bias=spec.bias)
        self.bias = (
            AttentionBias(
                spec.num_heads, queries=site.grid, keys=site.grid, class_tokens=site.class_tokens
            )
            if site.bias
            else None
        )
        self.attend = Attend(spec.head_dim**-0.5)
        self.projection = nn.Linear(inner, site.dim)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (
            self.query_key_value(x)
            .unflatten(-1, (3, self.num_heads, -1))  # (B, T, 3, h, d)
            .permute(2, 0, 3, 1, 4)  # (3, B, h, T, d)
            .unbind(0)
        )
        bias = None if self.bias is None else self.bias()
        return self.projection(self.attend(q, k, v, bias))
