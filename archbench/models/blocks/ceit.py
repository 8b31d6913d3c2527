"""CeiT's block, and its last attention, over the class token of every layer of the last stage.

Yuan et al. 2021 (arXiv:2103.11816). In the block (sec. 3.3, eq. 3 to 8), pre-norm attention comes
before a feed-forward with a depthwise convolution on the map. Class tokens pass by the locally
enhanced feed-forward unchanged: what is added to them is what entered it, their normed selves. So
nothing reads what the last block's feed-forward makes of the map if the head reads class tokens;
that is so in the released code, too, from which also comes that queries, keys, values and the
three convolutions have a bias, though a batch norm follows. Linears start truncated, convolutions
as PyTorch does.

In the last attention (sec. 3.4), a learnt embedding says of which layer a token is; the token of
the last layer asks, those of all layers answer; an MLP follows. As in the released code it is one
more block: heads and the MLP's ratio are those of the last block, the embedding starts at 0, and
there is no drop path.

Shapes: B batch, L layers, T tokens, c class tokens, C channels, h heads, d head width.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from archbench.errors import SpecError
from archbench.models.arithmetic import Work, attention, linear, mlp, norm, total
from archbench.models.attention import Attend
from archbench.models.blocks import vit
from archbench.models.channels import Channels, within
from archbench.models.convolution import Convolution, chain, chain_layers, count_chain
from archbench.models.layer import init_truncated, mlp_layers, sizes, split_heads, through_map
from archbench.models.part import Block, Grid, Kernel, Site, document_of, hidden_width


@dataclass(frozen=True, kw_only=True)
class Spec(vit.Spec):
    """What may be set, as in ViT's block, and the side of the depthwise kernel, odd.

    The activation stands between the convolutions.
    """

    kind = "ceit"
    kernel: Kernel = 3

    def count(self, site: Site) -> Work:
        """4*T*C*C + 2*T*T*C + (2*r*C*C + k*k*r*C)*N MACs: N without class tokens, T with them."""
        return total(
            self.attention_work(site),
            count_chain(self.feed_forward(site), site.grid),
            norm(site.dim, number=2),
        )

    def named_channels(self, site: Site) -> Channels:
        sizes, layers, _ = super().named_channels(site)
        names = ("width", "hidden", "hidden", "width")
        forward = within("mlp.layers", chain_layers(self.feed_forward(site), names))
        return Channels(sizes, {**layers, **forward})

    def module(self, site: Site) -> nn.Module:
        block = CeitBlock(
            site,
            vit.SelfAttention(self, site),
            nn.Sequential(OrderedDict(layers=chain(self.feed_forward(site), self.activation))),
            epsilon=self.epsilon,
        )
        return init_truncated(block, nn.Linear)

    def feed_forward(self, site: Site) -> list[Convolution]:
        """1x1 to the hidden width, k x k on each channel alone, 1x1 back (eq. 4 to 6)."""
        dim, hidden = site.dim, site.hidden(self.mlp_ratio)
        return [
            Convolution(dim, hidden, bias=True),
            Convolution(hidden, hidden, kernel=self.kernel, groups=hidden, bias=True),
            Convolution(hidden, dim, bias=True),
        ]


class CeitBlock(vit.TransformerBlock):
    """The block of transformers with an MLP on the map, which class tokens pass by."""

    def forward(self, x: Tensor, grid: Grid) -> Tensor:
        x = x + self.drop_path(self.attention(self.attention_norm(x), grid))
        return x + self.drop_path(through_map(self.mlp, self.mlp_norm(x), grid))


class LayerAttentionShape(NamedTuple):
    """The sizes of the attention over layers; each head is as wide as dim // num_heads."""

    layers: int
    dim: int
    num_heads: int
    hidden: int

    @classmethod
    def of(cls, blocks: Sequence[Block], *, dim: int) -> LayerAttentionShape:
        """That behind a last stage of these blocks.

        Raises:
            SpecError: It has no layers, or its last block no heads that divide the width.
        """
        last = document_of(blocks[-1]) if blocks else {}
        heads, ratio = last.get("num_heads"), last.get("mlp_ratio")
        if heads is None or ratio is None:
            raise SpecError(
                "layer_class_attention takes heads and mlp_ratio from the last block, which has "
                "none",
                place="head.pool",
                help="end the last stage with a block with attention, or use pool: class_token",
            )
        if dim % heads:
            raise SpecError(
                f"the {heads} heads of the last block do not divide the width {dim}",
                place="head.pool",
                help="use another number of heads in the last block, or pool: class_token",
            )
        return cls(len(blocks), dim, heads, hidden_width(dim, ratio))

    @property
    def named_channels(self) -> Channels:
        """Those of ``LayerAttention``; layers are of the last stage."""
        width = self.dim // self.num_heads
        heads = self.num_heads, width, width
        sizes, layers, _ = vit.transformer_channels({}, heads=heads, hidden=self.hidden)
        own = {
            "query": ("heads key", "width"),
            "key_value": ("heads key, heads value", "width"),
            "projection": ("width", "heads value"),
        }
        return Channels(sizes, {**layers, **own})

    def work(self, *, tokens: int) -> Work:
        """2*C*C*L + 2*C*C + 2*L*C + 2*r*C*C MACs for each class token that is read."""
        layers, dim, heads, hidden = self
        project = partial(linear, inputs=dim, bias=True)
        return total(
            Work(params=layers * dim),
            project(outputs=dim, tokens=tokens),
            project(outputs=2 * dim, tokens=tokens * layers),
            attention(heads=heads * tokens, queries=1, keys=layers, key_dim=dim // heads),
            project(outputs=dim, tokens=tokens),
            mlp(dim=dim, hidden=hidden, tokens=tokens, bias=True),
            norm(dim, number=2),
        )


class LayerAttention(nn.Module):
    """The class tokens (B, L, c, C) of all layers to (B, c, C); each of c is for itself."""

    def __init__(self, shape: LayerAttentionShape, *, epsilon: float) -> None:
        super().__init__()
        dim = shape.dim
        self.num_heads = shape.num_heads
        self.layer_position = nn.Parameter(torch.zeros(1, shape.layers, dim))
        self.attention_norm = nn.LayerNorm(dim, eps=epsilon)
        self.query = nn.Linear(dim, dim)
        self.key_value = nn.Linear(dim, 2 * dim)
        self.attend = Attend((dim // shape.num_heads) ** -0.5)
        self.projection = nn.Linear(dim, dim)
        self.mlp_norm = nn.LayerNorm(dim, eps=epsilon)
        self.mlp = mlp_layers(dim, shape.hidden, active="gelu")
        init_truncated(self, nn.Linear)

    def forward(self, tokens: Tensor) -> Tensor:
        number = sizes(tokens)[2]
        x = tokens.transpose(1, 2).flatten(0, 1) + self.layer_position  # (B*c, L, C)
        normed = self.attention_norm(x)
        k, v = split_heads(self.key_value(normed), 2, self.num_heads)  # (B*c, h, L, d)
        q = self.query(normed[:, -1:]).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
        last = x[:, -1:] + self.projection(self.attend(q, k, v, None))  # (B*c, 1, C)
        last = last + self.mlp(self.mlp_norm(last))
        return last.reshape(-1, number, sizes(last)[-1])
