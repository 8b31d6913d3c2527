"""LeViT's block: attention with wide values and an activation before its projection, and an MLP.

Graham et al. 2021 (arXiv:2104.01136), sec. 4.2, fig. 5. Both are residual branches without
pre-norm; every linear layer is followed by a batch norm, of which the last of a branch starts at
0. Queries, keys and values of one head lie side by side, as in the released code.

``norm: layer`` is row A3 of table 5, "without batch norm", of which no code was released. We read
it as the usual transformer: each branch begins with a layer norm over channels, its linear layers
have a bias in place of the norm's, and nothing starts at 0.
"""

from dataclasses import dataclass, replace
from typing import Annotated, Self

from torch import Tensor, nn

from archbench.errors import SpecError
from archbench.models.arithmetic import Work, attention, linear, mlp, norm, total
from archbench.models.attention import Attend, AttentionBias
from archbench.models.blocks.vit import TransformerBlock, transformer_channels
from archbench.models.channels import Channels
from archbench.models.layer import activation, branch_linear, mlp_layers
from archbench.models.part import Activation, Block, Grid, Heads, Part, Ratio, Site, choice, whole


@dataclass(frozen=True, kw_only=True)
class LevitHeads(Part):
    """What this block and the shrinking attention have in common.

    Heads (the paper's N) have queries and keys of ``key_dim`` (its D) and values of
    ``attention_ratio`` times as much; left out, there are as many heads as fit the width.
    """

    has_attention = True
    key_dim: Heads = 16
    num_heads: Heads | None = None
    attention_ratio: Annotated[int, whole(high=64)] = 2
    mlp_ratio: Ratio = 2

    @property
    def heads(self) -> tuple[int, int, int]:
        """Number of heads of a resolved spec, and in each the width of its keys and values."""
        assert self.num_heads is not None
        return self.num_heads, self.key_dim, self.attention_ratio * self.key_dim

    def attention_work(self, site: Site, *, queries: int) -> Work:
        """So many tokens ask all tokens of the site; with the bias, where it has one."""
        heads, key_dim, value_dim = self.heads
        products = attention(
            heads=heads, queries=queries, keys=site.tokens, key_dim=key_dim, value_dim=value_dim
        )
        return products._replace(params=heads * site.grid.tokens if site.bias else 0)


@dataclass(frozen=True, kw_only=True)
class Spec(LevitHeads, Block):
    """What may be set; heads left out are as many as make the values as wide as the stage."""

    kind = "levit"
    activation: Activation = "hardswish"
    attention_activation: Activation = "hardswish"
    norm: Annotated[str, choice("batch", "layer")] = "batch"

    def resolved(self, site: Site) -> Self:
        value_dim = self.attention_ratio * self.key_dim
        heads = self.num_heads or site.dim // value_dim
        if heads < 1:
            raise SpecError(
                f"values of width {value_dim} (attention_ratio x key_dim) do not fit once "
                f"into the width {site.dim}",
                place="key_dim",
                help=f"use at most {site.dim // self.attention_ratio}, or set num_heads",
            )
        return replace(self, num_heads=heads)

    def count(self, site: Site) -> Work:
        """n*C*4DN + n*2DN*C + 3*N*n*n*D + 4*n*C*C MACs at the paper's ratios."""
        heads, key_dim, value_dim = self.heads
        dim, tokens, hidden = site.dim, site.tokens, site.hidden(self.mlp_ratio)
        width, has_bias = heads * (2 * key_dim + value_dim), self.norm == "layer"
        return total(
            linear(inputs=dim, outputs=width, tokens=tokens, bias=has_bias),
            self.attention_work(site, queries=tokens),
            linear(inputs=heads * value_dim, outputs=dim, tokens=tokens, bias=has_bias),
            mlp(dim=dim, hidden=hidden, tokens=tokens, bias=has_bias),
            norm(2 * dim if has_bias else width + dim + hidden + dim),
        )

    def named_channels(self, site: Site) -> Channels:
        attention = {
            "query_key_value": ("heads key+key+value", "width"),
            "bias": ("heads", ""),
            "projection": ("width", "heads value"),
        }
        hidden = site.hidden(self.mlp_ratio)
        return transformer_channels(attention, heads=self.heads, hidden=hidden)

    def module(self, site: Site) -> nn.Module:
        return TransformerBlock(
            site,
            LevitAttention(self, site),
            mlp_layers(
                site.dim, site.hidden(self.mlp_ratio), active=self.activation, norm=self.norm
            ),
            norm=self.norm,
        )


class LevitAttention(nn.Module):
    """Multi-head attention over all tokens; (B, T, C) to (B, T, C)."""

    def __init__(self, spec: Spec, site: Site) -> None:
        super().__init__()
        self.num_heads, key_dim, value_dim = spec.heads
        self.widths = [key_dim, key_dim, value_dim]
        norm, inner = spec.norm, self.num_heads * value_dim
        self.query_key_value = branch_linear(site.dim, self.num_heads * sum(self.widths), norm=norm)
        self.bias = AttentionBias.at(site, self.num_heads)
        self.attend = Attend(key_dim**-0.5)
        self.activation = activation(spec.attention_activation)
        self.projection = branch_linear(inner, site.dim, norm=norm, zero_init=True)

    def forward(self, x: Tensor, grid: Grid) -> Tensor:
        q, k, v = (
            self.query_key_value(x)
            .unflatten(-1, (self.num_heads, -1))
            .transpose(1, 2)  # (B, h, T, 2d + e)
            .split(self.widths, dim=-1)
        )
        bias = None if self.bias is None else self.bias()
        return self.projection(self.activation(self.attend(q, k, v, bias)))
