"""CeiT's last attention: over the class token of every layer of the last stage.

Yuan et al. 2021 (arXiv:2103.11816), sec. 3.4. A learnt embedding says of which layer a token is;
the token of the last layer asks, those of all layers answer; an MLP follows. As in the released
code it is one more block: heads and the MLP's ratio are those of the last block, the embedding
starts at 0, and there is no drop path.

Shapes: B batch, L layers, c class tokens, C channels, h heads, d head width.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from archbench.errors import SpecError
from archbench.models.arithmetic import Work, attention, linear, mlp, norm, total
from archbench.models.layer import Attend, init_linears
from archbench.models.part import Block, document_of, hidden_width


class LayerAttentionShape(NamedTuple):
    """The sizes of the attention over layers; each head is as wide as dim // num_heads."""

    layers: int
    dim: int
    num_heads: int
    hidden: int

    @classmethod
    def of(cls, blocks: Sequence[Block], *, dim: int) -> LayerAttentionShape:
        """That of a last stage of these blocks and of a width.

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
        self.mlp = nn.Sequential(
            nn.Linear(dim, shape.hidden), nn.GELU(), nn.Linear(shape.hidden, dim)
        )
        init_linears(self)

    def forward(self, tokens: Tensor) -> Tensor:
        number = tokens.shape[2]
        x = tokens.transpose(1, 2).flatten(0, 1) + self.layer_position  # (B*c, L, C)
        normed = self.attention_norm(x)
        k, v = (
            self.key_value(normed)
            .unflatten(-1, (2, self.num_heads, -1))  # (B*c, L, 2, h, d)
            .permute(2, 0, 3, 1, 4)  # (2, B*c, h, L, d)
            .unbind(0)
        )
        q = self.query(normed[:, -1:]).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
        last = x[:, -1:] + self.projection(self.attend(q, k, v, None))  # (B*c, 1, C)
        last = last + self.mlp(self.mlp_norm(last))
        return last.reshape(-1, number, last.shape[-1])
