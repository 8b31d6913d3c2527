"""CeiT's block: attention, then a feed-forward with a depthwise convolution on the map, pre-norm.

Yuan et al. 2021 (arXiv:2103.11816), sec. 3.3, eq. 3 to 8. Class tokens pass by the locally
enhanced feed-forward unchanged: what is added to them is what entered it, their normed selves. So
nothing reads what the last block's feed-forward makes of the map if the head reads class tokens;
that is so in the released code, too, from which also comes that queries, keys, values and the
three convolutions have a bias, though a batch norm follows. Linears start truncated, convolutions
as PyTorch does.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from torch import Tensor, nn

from archbench.models.arithmetic import Work, norm, total
from archbench.models.blocks import vit
from archbench.models.convolution import Convolution, chain, count_chain
from archbench.models.layer import init_linears, through_map
from archbench.models.part import Grid, Kernel, Site


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
            vit.self_attention_work(site, heads=self.heads, bias=self.bias),
            count_chain(self.feed_forward(site), site.grid),
            norm(site.dim, number=2),
        )

    def module(self, site: Site) -> nn.Module:
        """Attention and the locally enhanced feed-forward behind layer norms."""
        block = CeitBlock(
            site,
            vit.SelfAttention(site, heads=self.heads, bias=self.bias),
            nn.Sequential(OrderedDict(layers=chain(self.feed_forward(site), self.activation))),
            epsilon=self.epsilon,
        )
        return init_linears(block)

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
