"""LeViT's shrinking attention: fewer queries than keys, no residual, then a residual MLP.

Graham et al. 2021 (arXiv:2104.01136), sec. 4.2, fig. 5 and table 2. Heads are the width before
divided by the key width, as in the released code; table 2 prints 18 for LeViT-384's second one,
where the code, and the 39.1 M parameters of the paper, have 16. The norm behind the projection
starts at 1: without a residual, zero would block the network.

``norm: layer`` is row A3 of table 5 as we read it (see the block ``levit``): a layer norm of the
map that enters, which queries, keys and values share, another before the MLP, and linear layers
with a bias. What the projection gives is not normed, so that the stream stays one of pre-norm.
"""

from dataclasses import dataclass, replace
from typing import Annotated, Self

from torch import Tensor, nn

from archbench.errors import SpecError
from archbench.models.arithmetic import Work, linear, mlp, norm, total
from archbench.models.attention import Attend, AttentionBias
from archbench.models.blocks.levit import LevitHeads
from archbench.models.blocks.vit import transformer_channels
from archbench.models.channels import Channels
from archbench.models.layer import (
    DropPath,
    activation,
    branch_linear,
    branch_norm,
    map_grid,
    map_tokens,
    mlp_layers,
    strided_map,
    token_map,
)
from archbench.models.part import Activation, Embed, Site, Stride, choice, whole


@dataclass(frozen=True, kw_only=True)
class Spec(LevitHeads, Embed):
    """What may be set; heads left out are the width before // ``key_dim``.

    The stride is the step along each side between the tokens that ask.
    """

    kind = "shrink_attention"
    attention_ratio: Annotated[int, whole(high=64)] = 4
    stride: Stride = 2
    activation: Activation = "hardswish"
    attention_activation: Activation = "hardswish"
    norm: Annotated[str, choice("batch", "layer")] = "batch"

    def resolved(self, site: Site) -> Self:
        heads = self.num_heads or site.incoming_dim // self.key_dim
        if heads < 1:
            raise SpecError(
                f"keys of width {self.key_dim} do not fit once into the width {site.incoming_dim}",
                place="key_dim",
                help=f"use at most {site.incoming_dim}, or set num_heads",
            )
        return replace(self, num_heads=heads)

    def count(self, site: Site) -> Work:
        """Keys and values of every token, queries of the tokens that stay, then the MLP."""
        heads, key_dim, value_dim = self.heads
        before, after, hidden = site.incoming_dim, site.dim, site.hidden(self.mlp_ratio)
        keys, queries = site.grid.tokens, self.outgoing(site.grid).tokens
        key_width, value_width = heads * key_dim, heads * value_dim
        has_bias = self.norm == "layer"
        behind = 2 * key_width + value_width + after + hidden + after
        return total(
            linear(inputs=before, outputs=key_width + value_width, tokens=keys, bias=has_bias),
            linear(inputs=before, outputs=key_width, tokens=queries, bias=has_bias),
            self.attention_work(site, queries=queries),
            linear(inputs=value_width, outputs=after, tokens=queries, bias=has_bias),
            mlp(dim=after, hidden=hidden, tokens=queries, bias=has_bias),
            norm(before + after if has_bias else behind),
        )

    def named_channels(self, site: Site) -> Channels:
        hidden = site.hidden(self.mlp_ratio)
        sizes, layers, _ = transformer_channels({}, heads=self.heads, hidden=hidden)
        own = {
            "attention_norm": ("before", ""),
            "key_value": ("heads key+value", "before"),
            "query": ("heads key", "before"),
            "bias": ("heads", ""),
            "projection": ("width", "heads value"),
        }
        return Channels(sizes, {**layers, **own})

    def module(self, site: Site) -> nn.Module:
        return ShrinkAttention(self, site)


class ShrinkAttention(nn.Module):
    """Attention of every ``stride``-th token over all, then an MLP; no residual but the MLP's."""

    def __init__(self, spec: Spec, site: Site) -> None:
        super().__init__()
        self.num_heads, key_dim, value_dim = spec.heads
        self.widths, self.stride = [key_dim, value_dim], spec.stride
        self.grid = spec.outgoing(site.grid)
        dim, before, heads, norm = site.dim, site.incoming_dim, self.num_heads, spec.norm
        self.attention_norm = branch_norm(before, norm=norm)
        self.key_value = branch_linear(before, heads * (key_dim + value_dim), norm=norm)
        self.query = branch_linear(before, heads * key_dim, norm=norm)
        self.bias = AttentionBias.at(site, heads, queries=(self.grid, spec.stride))
        self.attend = Attend(key_dim**-0.5)
        self.attention_activation = activation(spec.attention_activation)
        self.projection = branch_linear(heads * value_dim, dim, norm=norm)
        self.mlp_norm = branch_norm(dim, norm=norm)
        hidden = site.hidden(spec.mlp_ratio)
        self.mlp = mlp_layers(dim, hidden, active=spec.activation, norm=norm)
        self.drop_path = DropPath(site.drop_path)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.attention_norm(map_tokens(x))  # (B, N, C)
        x = token_map(tokens, map_grid(x))
        asking = map_tokens(strided_map(x, self.stride))  # (B, M, C), M of N tokens
        k, v = (
            self.key_value(tokens)
            .unflatten(-1, (self.num_heads, -1))
            .transpose(1, 2)  # (B, h, N, d + e)
            .split(self.widths, dim=-1)
        )
        q = self.query(asking).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
        bias = None if self.bias is None else self.bias()
        y = self.attend(q, k, v, bias)  # (B, M, h*e)
        y = self.projection(self.attention_activation(y))  # (B, M, C')
        y = y + self.drop_path(self.mlp(self.mlp_norm(y)))
        return token_map(y, self.grid)
