"""Local-to-global attention: to the tokens of a window and, in parallel, to a pooled map.

The idea of several granularities side by side in one stage is that of Li et al. 2021
(arXiv:2107.04735). Neither their code nor their tables were at hand, and no equivalence with
their network is claimed. Here a token asks once, with one query, in two softmax attentions:

- local: the tokens of its window. The map is cut into the fewest windows not wider than
  ``window``, all of one size, so that a map that none divides is padded by less than one token
  per window; padded tokens are never attended to. Windows do not shift: the other path joins them.
- global: the whole map, averaged to at most ``pool`` x ``pool`` tokens, which have their own keys
  and values, and the class tokens. So the cost grows with the number of tokens, not its square.

Both answers are added before the projection. Class tokens ask in the global path only.

``position: bias`` adds a value by distance in both: between two tokens of a window, on the map;
between a token and a pooled one, on the pooled map, where a token stands in the cell that holds it.

Shapes: B batch, C channels, H W map, N = H*W map tokens, c class tokens, T = c + N, n windows,
w = tokens of a window, P pooled tokens, h heads, d head width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from archbench.models.arithmetic import Work, attention, linear, mlp, norm, total
from archbench.models.attention import Attend, AttentionBias, Bias
from archbench.models.blocks.vit import SELF_ATTENTION, TransformerBlock, transformer_channels
from archbench.models.channels import Channels
from archbench.models.layer import init_truncated, map_tokens, mlp_layers, split_heads, token_map
from archbench.models.part import Activation, Epsilon, Grid, HeadedBlock, Ratio, Site, whole


@dataclass(frozen=True, kw_only=True)
class Spec(HeadedBlock):
    """What may be set: largest sides of a window and of the pooled map, heads as in ViT's block."""

    kind = "local_global"
    window: Annotated[int, whole(high=256)] = 7
    pool: Annotated[int, whole(high=64)] = 7
    mlp_ratio: Ratio = 4
    epsilon: Epsilon = 1e-6
    activation: Activation = "gelu"

    def count(self, site: Site) -> Work:
        """4*T*C*C + 2*S*C*C + 2*n*w*w*C + 2*T*S*C + 2*r*T*C*C MACs, S = P + c; padding counts."""
        heads, head_dim = self.heads
        dim, inner, tokens = site.dim, heads * head_dim, site.tokens
        windows, pooled = self.windows(site.grid), self.pooled(site.grid)
        keys, size = pooled.tokens + site.class_tokens, windows.size.tokens
        num_windows, hidden = windows.grid.tokens, site.hidden(self.mlp_ratio)
        return total(
            linear(inputs=dim, outputs=3 * inner, tokens=tokens, bias=True),
            linear(inputs=dim, outputs=2 * inner, tokens=keys, bias=True),
            attention(heads=heads * num_windows, queries=size, keys=size, key_dim=head_dim),
            attention(heads=heads, queries=tokens, keys=keys, key_dim=head_dim),
            linear(inputs=inner, outputs=dim, tokens=tokens, bias=True),
            mlp(dim=dim, hidden=hidden, tokens=tokens, bias=True),
            norm(dim, number=2),
            Work(params=heads * (size + pooled.tokens) if site.bias else 0),
        )

    def named_channels(self, site: Site) -> Channels:
        attention = {
            **SELF_ATTENTION,
            "pooled_key_value": ("heads key, heads value", "width"),
            **dict.fromkeys(("window_bias", "pooled_bias"), ("heads", "")),
        }
        heads, head_dim = self.heads
        return transformer_channels(
            attention, heads=(heads, head_dim, head_dim), hidden=site.hidden(self.mlp_ratio)
        )

    def module(self, site: Site) -> nn.Module:
        block = TransformerBlock(
            site,
            LocalGlobalAttention(self, site),
            mlp_layers(site.dim, site.hidden(self.mlp_ratio), active=self.activation),
            epsilon=self.epsilon,
        )
        return init_truncated(block, nn.Linear)

    def windows(self, grid: Grid) -> Windows:
        """How a map is cut."""
        number = Grid(*(-(-side // self.window) for side in grid))
        size = Grid(*(-(-side // n) for side, n in zip(grid, number, strict=True)))
        return Windows(number, size, grid)

    def pooled(self, grid: Grid) -> Grid:
        """The pooled map."""
        return Grid(*(min(side, self.pool) for side in grid))


class Windows(NamedTuple):
    """A grid of windows of one size, cut of a map beyond which the last ones may reach."""

    grid: Grid
    size: Grid
    of: Grid

    @property
    def padding(self) -> Grid:
        """Rows and columns by which the windows reach beyond the map."""
        return Grid(*(n * size - side for n, size, side in zip(*self, strict=True)))

    def cut(self, x: Tensor) -> Tensor:
        """The windows (B, n, w, C) of map tokens (B, N, C), padded with zeros."""
        x = x.unflatten(1, tuple(self.of))  # (B, H, W, C)
        if any(self.padding):
            x = F.pad(x, (0, 0, 0, self.padding.width, 0, self.padding.height))
        x = x.unflatten(2, (self.grid.width, self.size.width))
        x = x.unflatten(1, (self.grid.height, self.size.height))  # (B, nh, wh, nw, ww, C)
        return x.transpose(2, 3).flatten(3, 4).flatten(1, 2)

    def joined(self, x: Tensor) -> Tensor:
        """The map tokens (B, N, C) of windows (B, n, w, C), without the padding."""
        x = x.unflatten(2, tuple(self.size)).unflatten(1, tuple(self.grid))
        x = x.transpose(2, 3).flatten(3, 4).flatten(1, 2)  # (B, H', W', C)
        return x[:, : self.of.height, : self.of.width].flatten(1, 2)


class LocalGlobalAttention(nn.Module):
    """Both paths and their sum; (B, T, C) to (B, T, C), for maps of its site's size only."""

    def __init__(self, spec: Spec, site: Site) -> None:
        super().__init__()
        self.num_heads, head_dim = spec.heads
        inner = self.num_heads * head_dim
        self.class_tokens = site.class_tokens
        self.grid, self.pooled_grid = site.grid, spec.pooled(site.grid)
        self.windows = spec.windows(site.grid)
        self.query_key_value = nn.Linear(site.dim, 3 * inner)
        self.pooled_key_value = nn.Linear(site.dim, 2 * inner)
        self.attend_window = Attend(head_dim**-0.5)
        self.attend_pooled = Attend(head_dim**-0.5)
        self.window_bias = self.pooled_bias = None
        if site.bias or any(self.windows.padding):
            self.window_bias = WindowBias(self.num_heads, self.windows, by_distance=site.bias)
        if site.bias:
            self.pooled_bias = PooledBias(self.num_heads, site, pooled=self.pooled_grid)
        self.projection = nn.Linear(inner, site.dim)

    def forward(self, x: Tensor, grid: Grid) -> Tensor:
        number = self.class_tokens
        query_key_value = self.query_key_value(x)  # (B, T, 3*h*d)
        local = self._local(query_key_value[:, number:])  # (B, N, h*d)
        y = self._global(query_key_value.chunk(3, dim=-1)[0], x)  # (B, T, h*d)
        y = torch.cat((y[:, :number], y[:, number:] + local), dim=1) if number else y + local
        return self.projection(y)

    def _local(self, query_key_value: Tensor) -> Tensor:
        number = self.windows.grid.tokens
        # Windows stand beside the heads, so that one bias serves every image of a batch.
        q, k, v = (
            self.windows.cut(query_key_value)  # (B, n, w, 3*h*d)
            .unflatten(-1, (3, self.num_heads, -1))
            .permute(3, 0, 1, 4, 2, 5)  # (3, B, n, h, w, d)
            .flatten(2, 3)
            .unbind(0)
        )
        bias = None if self.window_bias is None else self.window_bias()
        y = self.attend_window(q, k, v, bias).unflatten(-1, (number, -1))  # (B, w, n, h*d)
        return self.windows.joined(y.transpose(1, 2))

    def _global(self, query: Tensor, x: Tensor) -> Tensor:
        number = self.class_tokens
        image = token_map(x[:, number:], self.grid)
        pooled = map_tokens(F.adaptive_avg_pool2d(image, (*self.pooled_grid,)))
        if number:
            pooled = torch.cat((x[:, :number], pooled), dim=1)  # (B, c + P, C)
        k, v = split_heads(self.pooled_key_value(pooled), 2, self.num_heads)  # (B, h, c + P, d)
        q = query.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)  # (B, h, T, d)
        bias = None if self.pooled_bias is None else self.pooled_bias()
        return self.attend_pooled(q, k, v, bias)


class WindowBias(Bias):
    """Values by distance for the scores in windows, and no padded key: (n*h, w or 1, w)."""

    padded: Tensor

    def __init__(self, heads: int, windows: Windows, *, by_distance: bool) -> None:
        super().__init__()
        self.heads = heads
        places = (windows.size, 1)
        self.near = AttentionBias(heads, queries=places, keys=places) if by_distance else None
        inside = windows.cut(torch.ones(1, windows.of.tokens, 1))  # (1, n, w, 1)
        padded = torch.zeros_like(inside).masked_fill(inside == 0, float("-inf"))
        self.register_buffer("padded", padded.reshape(-1, 1, 1, windows.size.tokens), False)

    def forward(self) -> Tensor:
        bias = self.padded.expand(-1, self.heads, -1, -1)  # (n, h, 1, w)
        if self.near is not None:
            bias = bias + self.near()
        return bias.flatten(0, 1)


class PooledBias(Bias):
    """A learnt value per head and distance on the pooled map, class tokens zero: (h, T, c + P)."""

    cell: Tensor

    def __init__(self, heads: int, site: Site, *, pooled: Grid) -> None:
        super().__init__()
        self.class_tokens, grid = site.class_tokens, site.grid
        self.near = AttentionBias(heads, queries=(pooled, 1), keys=(pooled, 1))
        rows = torch.arange(grid.height) * pooled.height // grid.height
        columns = torch.arange(grid.width) * pooled.width // grid.width
        cell = rows[:, None] * pooled.width + columns[None, :]
        self.register_buffer("cell", cell.flatten(), persistent=False)

    def forward(self) -> Tensor:
        bias = self.near()[:, self.cell]  # (h, N, P)
        return F.pad(bias, (self.class_tokens, 0, self.class_tokens, 0))
