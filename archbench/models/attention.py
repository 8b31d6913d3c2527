"""Softmax attention and what is added to its scores.

Shapes: B batch, T queries, S keys, h heads, d and e the widths of a head's keys and values.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from archbench.models.layer import sizes
from archbench.models.part import Grid, Site

Strided = tuple[Grid, int]
"""A grid of tokens, and how many steps on a finer grid lie between two of its neighbours."""


class Bias(nn.Module):
    """Something that gives an attention bias, which evaluation needs to compute only once."""

    def deployed(self) -> CachedBias:
        with torch.inference_mode(False), torch.no_grad():
            return CachedBias(self().contiguous().clone())


class AttentionBias(Bias):
    """One learnt value per head and distance between query and key, added before the softmax.

    The distance is |dy|, |dx| on the finer of the two grids (Graham et al. 2021, sec. 4.2,
    eq. 2); class tokens get zero. The released LeViT code numbers the distances in the order of
    first use, which is this order for every square map of less than 20 tokens a side.

    Queries and keys are each a grid and the steps on the finer one between two of its neighbours;
    class tokens stand in front of both. ``forward`` gives (h, T_queries, T_keys).
    """

    index: Tensor

    def __init__(
        self, heads: int, *, queries: Strided, keys: Strided, class_tokens: int = 0
    ) -> None:
        super().__init__()
        self.class_tokens = class_tokens
        (of_queries, query_stride), (of_keys, key_stride) = queries, keys
        self.grid = finer = Grid(*map(max, of_queries, of_keys))
        self.values = nn.Parameter(torch.zeros(heads, finer.tokens))
        # Pooling that rounds up has one key beyond the border: it counts as on the border.
        rows, columns = (
            (torch.arange(q)[:, None] * query_stride - torch.arange(k) * key_stride)
            .abs()
            .clamp_max(side - 1)
            for q, k, side in zip(of_queries, of_keys, finer, strict=True)
        )
        # (Qy, 1, Ky, 1) * W + (1, Qx, 1, Kx) -> (Q, K)
        index = rows[:, None, :, None] * finer.width + columns[None, :, None, :]
        index = index.reshape(of_queries.tokens, of_keys.tokens)
        self.register_buffer("index", index, persistent=False)

    def forward(self) -> Tensor:
        bias = self.values[:, self.index]
        if self.class_tokens:
            bias = F.pad(bias, (self.class_tokens, 0, self.class_tokens, 0))
        return bias

    @classmethod
    def at(
        cls, site: Site, heads: int, *, queries: Strided | None = None, keys: Strided | None = None
    ) -> AttentionBias | None:
        """That of an attention over the map of a site; None where it has no bias."""
        if not site.bias:
            return None
        whole = (site.grid, 1)
        tokens = site.class_tokens
        return cls(heads, queries=queries or whole, keys=keys or whole, class_tokens=tokens)


class CachedBias(nn.Module):
    """Attention bias that is already gathered: a buffer, so that it moves with its network."""

    bias: Tensor

    def __init__(self, bias: Tensor) -> None:
        super().__init__()
        self.register_buffer("bias", bias)

    def forward(self) -> Tensor:
        return self.bias


class Attend(nn.Module):
    """Softmax attention: q (B, h, T, d), k (B, h, S, d), v (B, h, S, e) to (B, T, h*e).

    Scores are scaled before bias and softmax. Without one of ``ATTENTION_KERNELS``, PyTorch's
    fused operator serves evaluation with equal widths and without bias; with a bias or wider
    values it is plain products, too, at a higher price, and its backward on a CPU costs half of a
    step where heads are narrow.
    """

    def __init__(self, scale: float, *, kernel: str | None = None) -> None:
        super().__init__()
        self.scale = scale
        self.kernel = kernel

    def forward(self, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None) -> Tensor:
        kernel = self.kernel
        if kernel is None:
            is_training_here = q.requires_grad and q.is_cpu
            is_plain = bias is None and sizes(q)[-1] == sizes(v)[-1]
            kernel = "fused" if is_plain and not is_training_here else "products"
        elif kernel == "by_image" and torch.compiler.is_exporting():
            kernel = "products"  # the loop would run over so many images for ever
        return ATTENTION_KERNELS[kernel](q, k, v, bias, self.scale)

    def extra_repr(self) -> str:
        return f"scale={self.scale:.4g}, kernel={self.kernel}"


def _fused(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, scale: float) -> Tensor:
    y = F.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=scale)
    return y.transpose(1, 2).flatten(2)


def _products(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, scale: float) -> Tensor:
    scores = (q * scale) @ k.transpose(-2, -1)  # (B, h, T, S)
    if bias is not None:
        scores = scores + bias
    return (scores.softmax(dim=-1) @ v).transpose(1, 2).flatten(2)


def _by_image(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, scale: float) -> Tensor:
    """One image after the other, in place: the scores of one stay in the cache. No gradients."""
    y = q.new_empty(q.shape[0], q.shape[2], q.shape[1], v.shape[-1])  # (B, T, h, e)
    transposed = k.transpose(-2, -1)
    for image in range(q.shape[0]):
        if bias is None:
            scores = torch.bmm(q[image], transposed[image]).mul_(scale)  # (h, T, S)
        else:
            scores = torch.baddbmm(bias, q[image], transposed[image], alpha=scale)
        torch.softmax(scores, dim=-1, out=scores)
        y[image].copy_(torch.bmm(scores, v[image]).transpose(0, 1))
    return y.flatten(2)


ATTENTION_KERNELS = {"products": _products, "fused": _fused, "by_image": _by_image}
"""``products`` multiplies explicitly, ``fused`` leaves it to PyTorch; ``by_image`` is for
evaluation only."""
