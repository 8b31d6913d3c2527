"""The attention of transformers, over all tokens of a stage, and its arithmetic."""

from __future__ import annotations

from torch import Tensor, nn

from archbench.models.arithmetic import Work, attention, linear, total
from archbench.models.layer import Attend, AttentionBias
from archbench.models.part import Site


class SelfAttention(nn.Module):
    """Multi-head attention over all tokens; (B, T, C) to (B, T, C).

    Vaswani et al. 2017 (arXiv:1706.03762), sec. 3.2.2, with queries, keys and values of one
    linear layer, each a third of its outputs, split into heads.

    Args:
        site: Where the block stands.
        num_heads: Number of heads.
        head_dim: Width of each; together they need not be as wide as the stage.
        bias: Whether queries, keys and values have a bias; the projection has one.
    """

    def __init__(self, site: Site, *, num_heads: int, head_dim: int, bias: bool) -> None:
        super().__init__()
        inner = num_heads * head_dim
        self.num_heads = num_heads
        self.query_key_value = nn.Linear(site.dim, 3 * inner, bias=bias)
        self.bias = (
            AttentionBias(
                num_heads, queries=site.grid, keys=site.grid, class_tokens=site.class_tokens
            )
            if site.bias
            else None
        )
        self.attend = Attend(head_dim**-0.5)
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


def self_attention_work(site: Site, *, num_heads: int, head_dim: int, bias: bool) -> Work:
    """The arithmetic of ``SelfAttention``: 4*T*C*C + 2*T*T*C MACs where inner and outer agree."""
    inner, tokens = num_heads * head_dim, site.grid.tokens + site.class_tokens
    return total(
        (
            linear(inputs=site.dim, outputs=3 * inner, tokens=tokens, bias=bias),
            attention(
                heads=num_heads, queries=tokens, keys=tokens, key_dim=head_dim, value_dim=head_dim
            ),
            linear(inputs=inner, outputs=site.dim, tokens=tokens, bias=True),
            Work(params=num_heads * site.grid.tokens if site.bias else 0),
        )
    )
