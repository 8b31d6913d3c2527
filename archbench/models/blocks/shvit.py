"""SHViT's block: a depthwise convolution, attention with a single head, and an MLP.

Yun & Ro 2024 (arXiv:2401.16456), sec. 2.3 and 2.4, fig. 5. All three are residual branches. Only
the first channels attend, behind a norm over all their tokens and channels; the others join what
they give before an activation and the projection (eq. 1 to 4). Each linear layer and the
convolution are followed by a batch norm, of which the last of a branch starts at 0, as in the
released code. Blocks of the first stage have no attention.

Class tokens pass by the convolution and join in all else, which is our reading: the paper has none.

Shapes: B batch, T tokens with class tokens in front, C channels, P channels that attend, d key
width.
"""

from dataclasses import dataclass, replace
from typing import Annotated, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from archbench.models.arithmetic import Work, attention, linear, mlp, norm, total
from archbench.models.attention import Attend, AttentionBias
from archbench.models.channels import Channels
from archbench.models.convolution import ConvNorm, Convolution
from archbench.models.layer import DropPath, LinearNorm, activation, mlp_layers, sizes, through_map
from archbench.models.part import Activation, Block, Grid, Ratio, Site, number, whole
from archbench.models.reparameterised import fused


@dataclass(frozen=True, kw_only=True)
class Spec(Block):
    """What may be set; with a ``partial_ratio`` of 0 there is no attention.

    That is the share of the channels that attend, the paper's r of 1/4.67; queries and keys have
    ``key_dim`` channels. The activation stands before the projection and in the MLP.
    """

    kind = "shvit"
    has_attention = True
    partial_ratio: Annotated[float, number(0, 1)] = 0.214
    key_dim: int | None = 16
    mlp_ratio: Ratio = 2
    activation: Activation = "relu"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.partial_ratio:
            whole(high=1024)("key_dim", self.key_dim)

    def resolved(self, site: Site) -> Self:
        return self if self.partial_ratio else replace(self, key_dim=None)

    def count(self, site: Site) -> Work:
        """9*N*C + T*P*(2d + P) + T*T*(d + P) + T*C*C + 2*r*T*C*C MACs, r the MLP's ratio."""
        dim, hidden = site.dim, site.hidden(self.mlp_ratio)
        return total(
            self.convolution(dim).work(site.grid.tokens),
            self._attention_work(site),
            mlp(dim=dim, hidden=hidden, tokens=site.tokens, bias=False),
            norm(hidden + dim),
        )

    def named_channels(self, site: Site) -> Channels:
        found = {"hidden": site.hidden(self.mlp_ratio)}
        layers = {
            "local": ("width", ""),
            "mlp.0": ("hidden", "width"),
            "mlp.2": ("width", "hidden"),
        }
        if self.key_dim is None:
            return Channels(found, layers)
        partial = self.partial(site.dim)
        rest = ", width.rest" if partial < site.dim else ""
        found |= {"heads": 1, "key": self.key_dim, "value": partial}
        found |= {"width.first": partial, "width.rest": site.dim - partial}
        layers |= {
            "attention.norm": ("width.first", ""),
            "attention.query_key_value": ("key, key, value", "width.first"),
            "attention.bias": ("heads", ""),
            "attention.projection": ("width", f"value{rest}"),
        }
        return Channels(found, layers, width=f"width.first{rest}")

    def module(self, site: Site) -> nn.Module:
        return ShvitBlock(self, site)

    def convolution(self, dim: int) -> Convolution:
        """3x3 on each channel alone."""
        return Convolution(dim, dim, kernel=3, groups=dim)

    def partial(self, dim: int) -> int:
        """How many channels attend."""
        return max(1, round(dim * self.partial_ratio)) if self.partial_ratio else 0

    def _attention_work(self, site: Site) -> Work:
        if self.key_dim is None:
            return Work()
        dim, tokens, partial = site.dim, site.tokens, self.partial(site.dim)
        width = 2 * self.key_dim + partial
        return total(
            norm(partial + width + dim),
            linear(inputs=partial, outputs=width, tokens=tokens, bias=False),
            attention(
                heads=1, queries=tokens, keys=tokens, key_dim=self.key_dim, value_dim=partial
            ),
            linear(inputs=dim, outputs=dim, tokens=tokens, bias=False),
            Work(params=site.grid.tokens if site.bias else 0),
        )


class ShvitBlock(nn.Module):
    """Convolution, attention and MLP, each a residual branch; (B, T, C) to (B, T, C).

    With ``zero_init`` the norm behind the convolution starts at 0, too.
    """

    def __init__(self, spec: Spec, site: Site, *, zero_init: bool = True) -> None:
        super().__init__()
        self.drop_path = DropPath(site.drop_path)
        self.local = ResidualDepthwise(
            spec.convolution(site.dim), drop_path=site.drop_path, zero_init=zero_init
        )
        self.attention = None if spec.key_dim is None else SingleHeadAttention(spec, site)
        hidden = site.hidden(spec.mlp_ratio)
        self.mlp = mlp_layers(site.dim, hidden, active=spec.activation, norm="batch")

    def forward(self, x: Tensor, grid: Grid) -> Tensor:
        x = through_map(self.local, x, grid)
        if self.attention is not None:
            x = x + self.drop_path(self.attention(x))
        return x + self.drop_path(self.mlp(x))


class ResidualDepthwise(ConvNorm):
    """A depthwise convolution and its norm as a residual branch of a map; one when deployed."""

    def __init__(self, spec: Convolution, *, drop_path: float, zero_init: bool) -> None:
        super().__init__(spec)
        self.drop_path = DropPath(drop_path)
        if zero_init:
            assert isinstance(self.norm, nn.BatchNorm2d)
            nn.init.zeros_(self.norm.weight)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.drop_path(super().forward(x))

    def deployed(self) -> nn.Conv2d:
        """One convolution, of which the identity is a part."""
        return fused([super().deployed(), nn.Identity()])


class SingleHeadAttention(nn.Module):
    """Attention of the first channels over all tokens; (B, T, C) to (B, T, C)."""

    def __init__(self, spec: Spec, site: Site) -> None:
        super().__init__()
        assert spec.key_dim is not None
        partial = spec.partial(site.dim)
        self.widths = [spec.key_dim, spec.key_dim, partial]
        self.norm = TokenNorm(partial)
        self.query_key_value = LinearNorm(partial, sum(self.widths))
        self.bias = AttentionBias.at(site, 1)
        self.attend = Attend(spec.key_dim**-0.5)
        self.activation = activation(spec.activation)
        self.projection = LinearNorm(site.dim, site.dim, zero_init=True)

    def forward(self, x: Tensor) -> Tensor:
        partial = self.widths[-1]
        attending, rest = x[..., :partial], x[..., partial:]
        q, k, v = self.query_key_value(self.norm(attending)).unsqueeze(1).split(self.widths, dim=-1)
        bias = None if self.bias is None else self.bias()
        y = self.attend(q, k, v, bias)  # (B, T, P)
        return self.projection(self.activation(torch.cat((y, rest), dim=-1)))


class TokenNorm(nn.GroupNorm):
    """A group norm of one group over all tokens and channels of an image, (B, T, C)."""

    def __init__(self, dim: int) -> None:
        super().__init__(1, dim)

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, sizes(x)[1:], eps=self.eps) * self.weight + self.bias
