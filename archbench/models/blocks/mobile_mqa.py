"""MobileNetV4's attention: many heads of queries, one of keys and values, which may be strided.

Qin et al. 2024 (arXiv:2404.10518), sec. 5; queries share keys and values as in Shazeer 2019
(arXiv:1911.02150). A batch norm stands in front. At a ``kv_stride`` above 1 keys and values each
come of a depthwise convolution and its batch norm. There is no MLP: an inverted bottleneck may
follow. Class tokens pass by the convolutions and join before the linear layers, as in CvT.
"""

from dataclasses import dataclass, replace
from typing import Annotated, Self

from torch import Tensor, nn

from archbench.models.arithmetic import Work, attention, linear, norm, total
from archbench.models.attention import Attend, AttentionBias
from archbench.models.channels import Channels
from archbench.models.convolution import ConvNorm, Convolution
from archbench.models.folding import fold_norm_before, scale_and_shift
from archbench.models.layer import DropPath, LayerScale, through_map
from archbench.models.part import Epsilon, Grid, HeadedBlock, Site, odd, whole


@dataclass(frozen=True, kw_only=True)
class Spec(HeadedBlock):
    """What may be set; ``num_heads`` or ``head_dim`` must be.

    The ``kernel`` is of the strided convolutions, of which there are none at a ``kv_stride`` of 1.
    The ``layer_scale`` is the first value of a learnt factor of each channel, if there is one.
    """

    kind = "mobile_mqa"
    kv_stride: Annotated[int, whole(high=64)] = 1
    kernel: int | None = 3
    layer_scale: Epsilon | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.kv_stride > 1:
            odd(31)("kernel", self.kernel)

    def resolved(self, site: Site) -> Self:
        filled = super().resolved(site)
        return filled if self.kv_stride > 1 else replace(filled, kernel=None)

    def count(self, site: Site) -> Work:
        """2*T*C*h*d + 2*S*C*d + 2*h*T*S*d MACs, and 2*k*k*C for each token of strided keys."""
        heads, head_dim = self.heads
        dim, inner, keys = site.dim, heads * head_dim, self.key_grid(site.grid)
        t, s = site.tokens, keys.tokens + site.class_tokens
        strided = [] if self.kernel is None else [self._strided(dim).work(keys.tokens)] * 2
        return total(
            norm(dim),
            *strided,
            *(linear(inputs=dim, outputs=head_dim, tokens=s, bias=False) for _ in "kv"),
            linear(inputs=dim, outputs=inner, tokens=t, bias=False),
            attention(heads=heads, queries=t, keys=s, key_dim=head_dim),
            linear(inputs=inner, outputs=dim, tokens=t, bias=False),
            Work(params=heads * site.grid.tokens if site.bias else 0),
            Work(params=dim if self.layer_scale is not None else 0),
        )

    def named_channels(self, site: Site) -> Channels:
        heads, head_dim = self.heads
        layers = {
            **dict.fromkeys(("attention_norm", "key_map", "value_map"), ("width", "")),
            "query": ("heads key", "width"),
            "key": ("key", "width"),
            "value": ("value", "width"),
            "bias": ("heads", ""),
            "output.0": ("width", "heads value"),
            "output.1": ("width",),
        }
        return Channels({"heads": heads, "key": head_dim, "value": head_dim}, layers)

    def module(self, site: Site) -> nn.Module:
        return MobileMqa(self, site)

    def key_grid(self, grid: Grid) -> Grid:
        """The map of keys and values."""
        return grid if self.kernel is None else self._strided(1).outgoing(grid)

    def key_map(self, dim: int) -> nn.Module:
        """What maps keys, or values, before their linear layer."""
        return nn.Identity() if self.kernel is None else ConvNorm(self._strided(dim))

    def _strided(self, dim: int) -> Convolution:
        assert self.kernel is not None
        return Convolution(dim, dim, self.kernel, self.kv_stride, groups=dim)


class MobileMqa(nn.Module):
    """Multi-query attention as a residual branch; (B, T, C) to (B, T, C)."""

    def __init__(self, spec: Spec, site: Site) -> None:
        super().__init__()
        self.num_heads, head_dim = spec.heads
        dim, inner = site.dim, self.num_heads * head_dim
        self.attention_norm: nn.Module = _TokenNorm(dim)
        self.key_map, self.value_map = spec.key_map(dim), spec.key_map(dim)
        self.query = nn.Linear(dim, inner, bias=False)
        self.key = nn.Linear(dim, head_dim, bias=False)
        self.value = nn.Linear(dim, head_dim, bias=False)
        self.bias = AttentionBias.at(
            site, self.num_heads, keys=(spec.key_grid(site.grid), spec.kv_stride)
        )
        self.attend = Attend(head_dim**-0.5)
        output = nn.Linear(inner, dim, bias=False)
        self.output = nn.Sequential(output)
        if spec.layer_scale is not None:
            self.output.append(LayerScale(dim, initial=spec.layer_scale))
        self.drop_path = DropPath(site.drop_path)
        for layer in (self.query, self.key, self.value, output):
            nn.init.xavier_uniform_(layer.weight)

    def forward(self, x: Tensor, grid: Grid) -> Tensor:
        y = self.attention_norm(x)
        # All heads ask the same keys, so each head's query of a token counts as a token.
        q = self.query(y).unflatten(-1, (self.num_heads, -1)).flatten(1, 2)  # (B, T*h, d)
        k = self.key(through_map(self.key_map, y, grid))  # (B, S, d)
        v = self.value(through_map(self.value_map, y, grid))
        bias = None if self.bias is None else self.bias().transpose(0, 1).flatten(0, 1)  # (T*h, S)
        y = self.attend(q[:, None], k[:, None], v[:, None], bias)  # (B, T*h, d)
        y = y.unflatten(1, (-1, self.num_heads)).flatten(2)  # (B, T, h*d)
        return x + self.drop_path(self.output(y))

    def deployed(self) -> Self:
        """Itself, with the norm in the linear layers where no convolution pads between."""
        norm = self.attention_norm
        assert isinstance(norm, _TokenNorm)
        if isinstance(self.key_map, nn.Identity):
            linears = (self.query, self.key, self.value)
            self.query, self.key, self.value = (fold_norm_before(norm, one) for one in linears)
            self.attention_norm = nn.Identity()
        else:
            self.attention_norm = _Scaled(norm)
        return self


class _TokenNorm(nn.BatchNorm1d):
    """A batch norm over all tokens; (B, T, C) to (B, T, C)."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.flatten(0, 1)).view_as(x)


class _Scaled(nn.Module):
    """A batch norm in evaluation: each channel times a factor, with a shift."""

    scale: Tensor
    shift: Tensor

    def __init__(self, norm: nn.BatchNorm1d) -> None:
        super().__init__()
        for name, value in zip(("scale", "shift"), scale_and_shift(norm), strict=True):
            self.register_buffer(name, value.detach().to(norm.weight.dtype))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale + self.shift
