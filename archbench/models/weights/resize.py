"""How does what was learnt for each place of a map come to a map of another size?

Both follow the shape of the map, not the pixels: a position is a share of the map, and a distance
a share of the farthest one.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from archbench.models.part import Grid


def resized_position(values: Tensor, *, first: int, old: Grid, new: Grid) -> Tensor:
    """Embeddings (1, c+N, C) of another map: bicubic over it, antialiased, class tokens kept.

    As DeiT's authors do for 384 px (Touvron et al. 2021, arXiv:2012.12877, sec. 6), whose code
    lacks the antialiasing, which matters where the map shrinks; timm has it.

    Args:
        values: One row for each token, class tokens in front.
        first: How many class tokens, c.
        old: The map they were learnt for.
        new: The map they are wanted for; the same gives the same values.
    """
    if old == new:
        return values
    kept, rows = values[:, :first], values[:, first:]
    image = rows.float().unflatten(1, tuple(old)).permute(0, 3, 1, 2)  # (1, C, H, W)
    image = F.interpolate(image, size=tuple(new), mode="bicubic", antialias=True)
    tokens = image.permute(0, 2, 3, 1).flatten(1, 2).to(values.dtype)  # (1, H*W, C)
    return torch.cat((kept, tokens), dim=1)


def resized_bias(values: Tensor, *, old: Grid, new: Grid) -> Tensor:
    """Biases (h, H*W) by |dy|, |dx| on another grid: linear between the nearest distances.

    No distance stays none and the farthest stays the farthest, so the distance d of the new grid
    is d * (old side - 1) / (new side - 1) of the old one. Linear, as the learnt values have an
    edge at no distance, which a cubic would overshoot.

    Args:
        values: One row for each head.
        old: The finer grid of queries and keys that they were learnt for.
        new: The one they are wanted for; the same gives the same values.
    """
    if old == new:
        return values
    tables = values.float().unflatten(1, tuple(old))[None]  # (1, h, H, W)
    tables = F.interpolate(tables, size=tuple(new), mode="bilinear", align_corners=True)
    return tables[0].flatten(1).to(values.dtype)
