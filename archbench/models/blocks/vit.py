"""ViT's block: attention over all tokens and an MLP, each pre-norm and a residual branch.

Dosovitskiy et al. 2021 (arXiv:2010.11929), sec. 3.1, eq. 2 and 3, with DeiT's settings (Touvron et
al. 2021, arXiv:2012.12877): layer norms of epsilon 1e-6, exact GELU, linears that start truncated
normal of deviation 0.02. The blocks of other transformers are made of these layers, too.

Shapes: B batch, T tokens with class tokens in front, C channels, h heads, d head width.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from archbench.models.arithmetic import Work, attention, linear, mlp, norm, total
from archbench.models.attention import Attend, AttentionBias
from archbench.models.channels import Channels, within
from archbench.models.layer import DropPath, branch_norm, init_truncated, mlp_layers, split_heads
from archbench.models.part import Activation, Epsilon, Grid, HeadedBlock, Ratio, Site

SELF_ATTENTION = {
    "query_key_value": ("heads key, heads key, heads value", "width"),
    "bias": ("heads", ""),
    "projection": ("width", "heads value"),
}
"""Outputs and inputs of the layers of ``SelfAttention``, for ``Channels``."""


@dataclass(frozen=True, kw_only=True)
class Spec(HeadedBlock):
    """What may be set; ``num_heads`` or ``head_dim`` must be.

    ``bias`` is that of queries, keys and values, ``epsilon`` of both layer norms.
    """

    kind = "vit"
    mlp_ratio: Ratio = 4
    bias: bool = True
    epsilon: Epsilon = 1e-6
    activation: Activation = "gelu"

    def count(self, site: Site) -> Work:
        """T*4*C*C + 2*T*T*C + 2*r*T*C*C MACs where the inner width is that of the stage."""
        return total(
            self.attention_work(site),
            mlp(dim=site.dim, hidden=site.hidden(self.mlp_ratio), tokens=site.tokens, bias=True),
            norm(site.dim, number=2),
        )

    def module(self, site: Site) -> nn.Module:
        block = TransformerBlock(
            site,
            SelfAttention(self, site),
            mlp_layers(site.dim, site.hidden(self.mlp_ratio), active=self.activation),
            epsilon=self.epsilon,
        )
        return init_truncated(block, nn.Linear)

    def named_channels(self, site: Site) -> Channels:
        heads, head_dim = self.heads
        return transformer_channels(
            SELF_ATTENTION,
            heads=(heads, head_dim, head_dim),
            hidden=site.hidden(self.mlp_ratio),
        )

    def attention_work(self, site: Site) -> Work:
        """The arithmetic of its attention: 4*T*C*C + 2*T*T*C MACs where the widths agree."""
        num_heads, head_dim = self.heads
        inner, tokens = num_heads * head_dim, site.tokens
        return total(
            linear(inputs=site.dim, outputs=3 * inner, tokens=tokens, bias=self.bias),
            attention(heads=num_heads, queries=tokens, keys=tokens, key_dim=head_dim),
            linear(inputs=inner, outputs=site.dim, tokens=tokens, bias=True),
            Work(params=num_heads * site.grid.tokens if site.bias else 0),
        )


def transformer_channels(
    attention: Mapping[str, tuple[str, ...]], *, heads: tuple[int, int, int], hidden: int
) -> Channels:
    """Those of a ``TransformerBlock``, given outputs and inputs of the layers of its attention.

    Heads are their number, and in each the width of its keys and values.
    """
    layers = {
        "attention_norm": ("width", ""),
        **within("attention", attention),
        "mlp_norm": ("width", ""),
        "mlp.0": ("hidden", "width"),
        "mlp.2": ("width", "hidden"),
    }
    number, key, value = heads
    return Channels({"heads": number, "key": key, "value": value, "hidden": hidden}, layers)


class TransformerBlock(nn.Module):
    """Attention and an MLP, each a residual branch behind its norm; (B, T, C) to (B, T, C).

    Attention takes tokens and the grid of the map among them.
    """

    def __init__(
        self,
        site: Site,
        attention: nn.Module,
        mlp: nn.Module,
        *,
        norm: str = "layer",
        epsilon: float = 1e-5,
    ) -> None:
        super().__init__()
        self.attention_norm = branch_norm(site.dim, norm=norm, epsilon=epsilon)
        self.attention = attention
        self.mlp_norm = branch_norm(site.dim, norm=norm, epsilon=epsilon)
        self.mlp = mlp
        self.drop_path = DropPath(site.drop_path)

    def forward(self, x: Tensor, grid: Grid) -> Tensor:
        x = x + self.drop_path(self.attention(self.attention_norm(x), grid))
        return x + self.drop_path(self.mlp(self.mlp_norm(x)))


class SelfAttention(nn.Module):
    """Multi-head attention over all tokens; (B, T, C) to (B, T, C).

    Vaswani et al. 2017 (arXiv:1706.03762), sec. 3.2.2, with queries, keys and values of one
    linear layer, each a third of its outputs, split into heads. Together these need not be as
    wide as the stage. The projection always has a bias.
    """

    def __init__(self, spec: Spec, site: Site) -> None:
        super().__init__()
        self.num_heads, head_dim = spec.heads
        inner = self.num_heads * head_dim
        self.query_key_value = nn.Linear(site.dim, 3 * inner, bias=spec.bias)
        self.bias = AttentionBias.at(site, self.num_heads)
        self.attend = Attend(head_dim**-0.5)
        self.projection = nn.Linear(inner, site.dim)

    def forward(self, x: Tensor, grid: Grid) -> Tensor:
        q, k, v = split_heads(self.query_key_value(x), 3, self.num_heads)
        bias = None if self.bias is None else self.bias()
        return self.projection(self.attend(q, k, v, bias))
