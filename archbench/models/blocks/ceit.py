"""CeiT's block: attention, then a feed-forward with a depthwise convolution on the map, pre-norm.

Yuan et al. 2021 (arXiv:2103.11816), sec. 3.3, eq. 3 to 8. Class tokens pass by the locally
enhanced feed-forward unchanged: what is added to them is what entered it, their normed selves. So
nothing reads what the last block's feed-forward makes of the map if the head reads class tokens;
that is so in the released code, too, from which also comes that queries, keys, values and the
three convolutions have a bias, though a batch norm follows. Linears start truncated, convolutions
as PyTorch does.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Self

import torch
from torch import Tensor, nn

from archbench.errors import SpecError
from archbench.models.arithmetic import Work, convolution, norm, total
from archbench.models.layer import (
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
)
from archbench.models.self_attention import SelfAttention, self_attention_work


@dataclass(frozen=True, kw_only=True)
class Spec:
    """What may be set; ``num_heads`` or ``head_dim`` must be.

    Attributes:
        num_heads: Left out, the width // ``head_dim``.
        head_dim: Width of one head; left out, the width // ``num_heads``. With both set, the
            inner width of the attention may differ from that of the stage.
        mlp_ratio: Hidden width of the feed-forward, as a multiple of the width.
        kernel: Side of the depthwise kernel, odd.
        bias: Whether the linear layer of queries, keys and values has a bias.
        epsilon: Of both layer norms.
        activation: Between the convolutions.
    """

    kind: ClassVar[str] = "ceit"
    has_attention: ClassVar[bool] = True

    num_heads: int | None = None
    head_dim: int | None = None
    mlp_ratio: float = 4
    kernel: int = 3
    bias: bool = True
    epsilon: float = 1e-6
    activation: str = "gelu"

    def __post_init__(self) -> None:
        check_heads(self.num_heads, self.head_dim)
        check_number("mlp_ratio", self.mlp_ratio, low=0.125, high=64)
        check_whole("kernel", self.kernel, high=31)
        if self.kernel % 2 == 0:
            raise SpecError(f"the kernel {self.kernel} is not odd", place="kernel")
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
        """4*T*C*C + 2*T*T*C + (2*r*C*C + k*k*r*C)*N MACs: N without class tokens, T with them."""
        assert self.num_heads is not None
        assert self.head_dim is not None
        dim, hidden, tokens = site.dim, self.hidden(site.dim), site.grid.tokens
        return total(
            (
                self_attention_work(
                    site, num_heads=self.num_heads, head_dim=self.head_dim, bias=self.bias
                ),
                convolution(inputs=dim, outputs=hidden, kernel=1, tokens=tokens, bias=True),
                convolution(
                    inputs=hidden,
                    outputs=hidden,
                    kernel=self.kernel,
                    tokens=tokens,
                    groups=hidden,
                    bias=True,
                ),
                convolution(inputs=hidden, outputs=dim, kernel=1, tokens=tokens, bias=True),
                norm(dim, number=2),
                norm(2 * hidden + dim),
            )
        )

    def module(self, site: Site) -> nn.Module:
        """(B, T, C) to (B, T, C)."""
        return CeitBlock(self, site)

    def hidden(self, dim: int) -> int:
        """Hidden width of the feed-forward."""
        return max(1, int(dim * self.mlp_ratio))


class CeitBlock(nn.Module):
    """Attention and feed-forward, each a residual branch behind a layer norm."""

    def __init__(self, spec: Spec, site: Site) -> None:
        super().__init__()
        assert spec.num_heads is not None
        assert spec.head_dim is not None
        self.attention_norm = nn.LayerNorm(site.dim, eps=spec.epsilon)
        self.attention = SelfAttention(
            site, num_heads=spec.num_heads, head_dim=spec.head_dim, bias=spec.bias
        )
        self.mlp_norm = nn.LayerNorm(site.dim, eps=spec.epsilon)
        self.mlp = LocallyEnhanced(spec, site)
        self.drop_path = DropPath(site.drop_path)
        init_linears(self)

    def forward(self, x: Tensor, grid: Grid) -> Tensor:
        x = x + self.drop_path(self.attention(self.attention_norm(x)))
        return x + self.drop_path(self.mlp(self.mlp_norm(x), grid))


class LocallyEnhanced(nn.Module):
    """Three convolutions on the map, past the class tokens; (B, T, C) to (B, T, C)."""

    def __init__(self, spec: Spec, site: Site) -> None:
        super().__init__()
        dim, hidden = site.dim, spec.hidden(site.dim)
        self.class_tokens = site.class_tokens
        self.layers = nn.Sequential(
            ConvNorm(dim, hidden, kernel=1, stride=1, padding=0, bias=True),
            activation(spec.activation),
            ConvNorm(
                hidden,
                hidden,
                kernel=spec.kernel,
                stride=1,
                padding=spec.kernel // 2,
                groups=hidden,
                bias=True,
            ),
            activation(spec.activation),
            ConvNorm(hidden, dim, kernel=1, stride=1, padding=0, bias=True),
        )

    def forward(self, x: Tensor, grid: Grid) -> Tensor:
        number = self.class_tokens
        tokens = map_tokens(self.layers(token_map(x[:, number:], grid)))
        return torch.cat((x[:, :number], tokens), dim=1) if number else tokens
