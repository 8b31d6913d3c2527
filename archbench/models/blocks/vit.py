"""ViT's block: attention over all tokens and an MLP, each pre-norm and a residual branch.

Dosovitskiy et al. 2021 (arXiv:2010.11929), sec. 3.1, eq. 2 and 3, with DeiT's settings (Touvron et
al. 2021, arXiv:2012.12877): layer norms of epsilon 1e-6, exact GELU, linears that start truncated
normal of deviation 0.02.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Self

from torch import Tensor, nn

from archbench.models.arithmetic import Work, mlp, norm, total
from archbench.models.layer import DropPath, activation, init_linears
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
from archbench.models.self_attention import SelfAttention, self_attention_work


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
        dim, tokens = site.dim, site.grid.tokens + site.class_tokens
        return total(
            (
                self_attention_work(
                    site, num_heads=self.num_heads, head_dim=self.head_dim, bias=self.bias
                ),
                mlp(dim=dim, hidden=self.hidden(dim), tokens=tokens, bias=True),
                norm(dim, number=2),
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
        assert spec.num_heads is not None
        assert spec.head_dim is not None
        dim, hidden = site.dim, spec.hidden(site.dim)
        self.attention_norm = nn.LayerNorm(dim, eps=spec.epsilon)
        self.attention = SelfAttention(
            site, num_heads=spec.num_heads, head_dim=spec.head_dim, bias=spec.bias
        )
        self.mlp_norm = nn.LayerNorm(dim, eps=spec.epsilon)
        self.mlp = nn.Sequential(
            nn.Linear(dim, hidden), activation(spec.activation), nn.Linear(hidden, dim)
        )
        self.drop_path = DropPath(site.drop_path)
        init_linears(self)

    def forward(self, x: Tensor, grid: Grid) -> Tensor:
        x = x + self.drop_path(self.attention(self.attention_norm(x)))
        return x + self.drop_path(self.mlp(self.mlp_norm(x)))
