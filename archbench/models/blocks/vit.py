"""ViT's block: attention over all tokens and an MLP, each pre-norm and a residual branch.

Dosovitskiy et al. 2021 (arXiv:2010.11929), sec. 3.1, eq. 2 and 3, with DeiT's settings (Touvron et
al. 2021, arXiv:2012.12877): layer norms of epsilon 1e-6, exact GELU, linears that start truncated
normal of deviation 0.02.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from torch import nn

from archbench.models.arithmetic import Work, mlp, norm, total
from archbench.models.layer import init_linears
from archbench.models.part import Activation, Epsilon, HeadedBlock, Ratio, Site
from archbench.models.transformer import (
    SelfAttention,
    TransformerBlock,
    mlp_layers,
    self_attention_work,
)


@dataclass(frozen=True, kw_only=True)
class Spec(HeadedBlock):
    """What may be set; ``num_heads`` or ``head_dim`` must be.

    Attributes:
        mlp_ratio: Hidden width of the MLP, as a multiple of the width.
        bias: Whether the linear layer of queries, keys and values has a bias.
        epsilon: Of both layer norms.
        activation: In the MLP.
    """

    kind = "vit"

    mlp_ratio: Ratio = 4
    bias: bool = True
    epsilon: Epsilon = 1e-6
    activation: Activation = "gelu"

    def count(self, site: Site) -> Work:
        """T*4*C*C + 2*T*T*C + 2*r*T*C*C MACs where the inner width is that of the stage."""
        return total(
            self_attention_work(site, heads=self.heads, bias=self.bias),
            mlp(dim=site.dim, hidden=site.hidden(self.mlp_ratio), tokens=site.tokens, bias=True),
            norm(site.dim, number=2),
        )

    def module(self, site: Site) -> nn.Module:
        """Attention and MLP behind layer norms."""
        block = TransformerBlock(
            site,
            attention=SelfAttention(site, heads=self.heads, bias=self.bias),
            mlp=mlp_layers(site, self.mlp_ratio, activation_name=self.activation),
            norm=partial(nn.LayerNorm, site.dim, eps=self.epsilon),
        )
        return init_linears(block)
