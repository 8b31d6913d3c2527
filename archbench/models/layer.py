"""The layers that several embeds and blocks are made of.

Shapes: B batch, C channels, H W map, N = H*W map tokens, T tokens with class tokens in front,
h heads, d head width. A map (B, C, H, W) in channels_last memory and its tokens (B, N, C) are
the same memory.
"""

import warnings
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from archbench.models.folding import fold_norm, fold_norm_before
from archbench.models.part import Grid

_JIT: Any = torch.jit  # which does not tell the type checker what it exports


class QuickGELU(nn.Module):
    """``x * sigmoid(1.702 x)``, the activation of the CvT code."""

    FACTOR = 1.702

    def forward(self, x: Tensor) -> Tensor:
        # silu(a x) / a: the same, with fewer tensors kept for the backward pass.
        return F.silu(x * self.FACTOR) * (1 / self.FACTOR)


def activation(name: str) -> nn.Module:
    """The activation function of one of ``part.ACTIVATIONS``."""
    kinds: dict[str, Callable[[], nn.Module]] = {
        "gelu": nn.GELU,
        "hardswish": nn.Hardswish,
        "none": nn.Identity,
        "quick_gelu": QuickGELU,
        "relu": nn.ReLU,
        "silu": nn.SiLU,
    }
    return kinds[name]()


def map_tokens(x: Tensor) -> Tensor:
    """The tokens (B, N, C) of a map (B, C, H, W); copies nothing in channels_last memory."""
    return x.permute(0, 2, 3, 1).flatten(1, 2)


def sizes(x: Tensor) -> tuple[int, ...]:
    """The shape, in plain numbers also while ``torch.jit.trace`` runs.

    It would record how each was taken, by operators that converters such as Core ML's refuse.
    """
    if not _JIT.is_tracing():
        return x.shape
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", _JIT.TracerWarning)  # that they become constants
        return tuple(int(size) for size in x.shape)


def map_grid(x: Tensor) -> Grid:
    """The grid of a map (B, C, H, W)."""
    return Grid(*sizes(x)[-2:])


def token_map(x: Tensor, grid: Grid) -> Tensor:
    """The map (B, C, H, W), in channels_last memory, of tokens (B, N, C)."""
    return x.unflatten(1, (grid.height, grid.width)).permute(0, 3, 1, 2)


def strided_map(x: Tensor, stride: int) -> Tensor:
    """Every ``stride``-th of the rows and columns of a map (B, C, H, W), from the first.

    Traced it is a pooling of one value, to the same bits, as not every converter takes strided
    slices (pnnx). Run by PyTorch a slice is faster: 64 maps of 256 x 14 x 14 take 0.08 ms, and
    0.24 ms pooled.
    """
    if _JIT.is_tracing():
        return F.max_pool2d(x, 1, stride)
    return x[:, :, ::stride, ::stride]


def pooled(size: int, kernel: int, stride: int, padding: int) -> int:
    """The side of what ``AveragePool`` makes of a side of a map."""
    outputs = -(-(size + 2 * padding - kernel) // stride) + 1
    # A last window that would begin in the padding beyond the map is left out.
    return outputs - 1 if (outputs - 1) * stride >= size + padding else outputs


class AveragePool(nn.AvgPool2d):
    """Average pooling that rounds the map up: (B, C, H, W) to (B, C, H', W').

    Zeros of the padding count, what of a window lies beyond them does not. Traced, it rounds down
    on a map with more zeros behind it and corrects what then counts too much, as ncnn rounds up by
    other rules: it begins windows beyond the map, and what lies beyond counts.
    """

    def __init__(self, kernel: int, stride: int, padding: int = 0) -> None:
        super().__init__(kernel, stride, padding, ceil_mode=True)
        self.sides = kernel, stride, padding

    def forward(self, x: Tensor) -> Tensor:
        if not _JIT.is_tracing():
            return super().forward(x)
        kernel, stride, padding = self.sides
        grid = map_grid(x)
        # Of each window the rows, or columns, on the map or its padding.
        rows, columns = inside = [
            [
                min(kernel, size + 2 * padding - stride * place)
                for place in range(pooled(size, *self.sides))
            ]
            for size in grid
        ]
        if min(*rows, *columns) == kernel:
            return F.avg_pool2d(x, kernel, stride, padding)
        bottom, right = (
            max(padding, stride * (len(windows) - 1) - padding + kernel - size)
            for windows, size in zip(inside, grid, strict=True)
        )
        y = F.avg_pool2d(F.pad(x, (padding, right, padding, bottom)), kernel, stride)
        shares = [[kernel**2 / (row * column) for column in columns] for row in rows]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", _JIT.TracerWarning)  # that they become constants
            return y * torch.tensor([[shares]], dtype=x.dtype, device=x.device)


def per_image(token: Tensor, sequence: Tensor) -> Tensor:
    """Class tokens (1, c, C) for each image of a sequence (B, T, C): (B, c, C).

    The number of images is not asked for, which a trace would record. Traced it is a sum with
    zeros, as not every converter takes an expansion to the size of another tensor (ncnn's).
    """
    first = sequence[:, :1]
    if _JIT.is_tracing():
        return token + (first - first)
    return token.expand_as(first.expand(-1, token.shape[1], -1))


def through_map(layer: Callable[[Tensor], Tensor], x: Tensor, grid: Grid) -> Tensor:
    """Tokens (B, T, C) of which the map went through a layer; class tokens pass by it."""
    if isinstance(layer, nn.Identity):
        return x
    number = sizes(x)[1] - grid.tokens
    y = map_tokens(layer(token_map(x[:, number:], grid)))
    return torch.cat((x[:, :number], y), dim=1) if number else y


class OnMap(nn.Sequential):
    """Layers of a map (B, C, H, W), on tokens; (B, T, C) to (B, T, C), class tokens pass by."""

    def forward(self, x: Tensor, grid: Grid) -> Tensor:  # type: ignore[override]
        return through_map(super().forward, x, grid)


def split_heads(x: Tensor, parts: int, heads: int) -> tuple[Tensor, ...]:
    """Parts such as queries, keys and values, each (B, h, T, d), of (B, T, parts*h*d)."""
    return x.unflatten(-1, (parts * heads, -1)).transpose(1, 2).chunk(parts, dim=1)


class LinearNorm(nn.Module):
    """A linear layer without bias and its batch norm over all tokens; (..., C) to (..., C').

    With ``zero_init`` the norm's weight starts at 0, so that a residual branch starts as nothing
    (Graham et al. 2021, sec. 4.2, after Goyal et al. 2017).
    """

    def __init__(self, inputs: int, outputs: int, *, zero_init: bool = False) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs, bias=False)
        self.norm = nn.BatchNorm1d(outputs)
        nn.init.constant_(self.norm.weight, 0.0 if zero_init else 1.0)

    def forward(self, x: Tensor) -> Tensor:
        x = self.linear(x)
        return self.norm(x.flatten(0, -2)).view_as(x)

    def deployed(self) -> nn.Module:
        return fold_norm(self.linear, self.norm)


def branch_norm(dim: int, *, norm: str, epsilon: float = 1e-5) -> nn.Module:
    """What stands before a residual branch: a layer norm, or nothing with ``norm: batch``."""
    return nn.LayerNorm(dim, eps=epsilon) if norm == "layer" else nn.Identity()


def branch_linear(
    inputs: int, outputs: int, *, norm: str, zero_init: bool = False
) -> LinearNorm | nn.Linear:
    """A linear layer with its batch norm, which may start at 0; with ``norm: layer`` alone."""
    if norm == "layer":
        return nn.Linear(inputs, outputs)
    return LinearNorm(inputs, outputs, zero_init=zero_init)


def mlp_layers(dim: int, hidden: int, *, active: str, norm: str = "layer") -> nn.Sequential:
    """Two linear layers with an activation between them; (..., C) to (..., C).

    With ``norm: batch`` each has its batch norm, of which the last starts at 0.
    """
    first = branch_linear(dim, hidden, norm=norm)
    last = branch_linear(hidden, dim, norm=norm, zero_init=True)
    return nn.Sequential(first, activation(active), last)


class NormLinear(nn.Module):
    """A batch norm and the linear layer behind it, as in LeViT's classifiers; (B, C) to (B, K)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(inputs)
        self.linear = nn.Linear(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.norm(x))

    def deployed(self) -> nn.Linear:
        return fold_norm_before(self.norm, self.linear)


class DropPath(nn.Module):
    """Drops a residual branch for whole samples in training (Huang et al. 2016).

    Kept samples are divided by the probability of being kept; evaluation changes nothing.
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.probability == 0.0:
            return x
        keep = 1.0 - self.probability
        mask = torch.rand(x.shape[0], *(1,) * (x.ndim - 1), device=x.device, dtype=x.dtype)
        return x * mask.lt_(keep).div_(keep)


class LayerScale(nn.Module):
    """A learnt factor of each channel; of a map (B, C, H, W), or of what has its channels last.

    It begins a residual branch as nearly nothing (Touvron et al. 2021, arXiv:2103.17239, sec. 2).
    """

    def __init__(self, dim: int, *, initial: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((dim,), float(initial)))

    def forward(self, x: Tensor) -> Tensor:
        return x * (self.weight[:, None, None] if x.ndim == 4 else self.weight)


def init_truncated(module: nn.Module, *kinds: type[nn.Linear | nn.Conv2d]) -> nn.Module:
    """The module, layers of these kinds truncated normal of deviation 0.02, their biases 0."""
    for layer in module.modules():
        if isinstance(layer, kinds):
            nn.init.trunc_normal_(layer.weight, std=0.02)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return module
