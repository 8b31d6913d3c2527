"""How does a depthwise convolution learn fast on a CPU?

oneDNN, which PyTorch leaves convolutions to, is slow with some gradients of depthwise ones
(``benchmarks/learning_speed``): in bf16 where they have a stride, and of weights of more than three
columns in any precision. Here they are taken by other convolutions, to the same values.

Shapes: B batch, C channels, H W map, k kernel.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.grad import conv2d_weight

_ATEN: Any = torch.ops.aten


def convolved(conv: nn.Module, x: Tensor) -> Tensor:
    """What a convolution gives; a depthwise one in training on a CPU with fast gradients."""
    if not (conv.training and x.is_cpu and isinstance(conv, nn.Conv2d) and has_own_gradient(conv)):
        return conv(x)
    y: Tensor = _Convolution.apply(x, conv.weight, conv.stride[0], conv.padding[0])
    return y if conv.bias is None else y + conv.bias[:, None, None].to(y.dtype)


def has_own_gradient(conv: nn.Conv2d) -> bool:
    """Whether it is depthwise, square and slow: 5x5 and larger, or in bf16 with a stride."""
    sizes = conv.kernel_size, conv.stride, conv.dilation, conv.padding
    is_square = all(not isinstance(size, str) and len({*size}) == 1 for size in sizes)
    is_depthwise = 1 < conv.groups == conv.in_channels == conv.out_channels
    is_strided_in_bf16 = conv.stride[0] > 1 and torch.is_autocast_enabled("cpu")
    is_slow = conv.kernel_size[0] > 3 or is_strided_in_bf16
    return is_depthwise and is_square and is_slow and conv.dilation == (1, 1)


class _Convolution(torch.autograd.Function):
    """A depthwise convolution; the gradient of its weights is in fp32 at least."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.sizes = stride, padding
        return F.conv2d(x, weight, stride=stride, padding=padding, groups=len(weight))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        x, weight = ctx.saved_tensors
        stride, padding = ctx.sizes
        grad = grad.contiguous(memory_format=torch.channels_last)
        exact = torch.promote_types(grad.dtype, torch.float32)
        pair = x.to(exact), grad.to(exact)
        of_input = of_weight = None
        if ctx.needs_input_grad[0] and stride == 1 and padding < weight.shape[-1]:
            of_input = _turned(weight, grad, padding=padding)
        elif ctx.needs_input_grad[0]:
            of_input = _of_input(*pair, weight.to(exact), stride=stride, padding=padding)
        if ctx.needs_input_grad[1]:
            of_weight = _of_weight(*pair, k=weight.shape[-1], stride=stride, padding=padding)
        return of_input, of_weight, None, None


def _turned(weight: Tensor, grad: Tensor, *, padding: int) -> Tensor:
    """The gradient (B, C, H, W) without a stride: that of the outputs by the weights turned."""
    turned = weight.to(grad.dtype).flip(2, 3)
    margin = weight.shape[-1] - 1 - padding
    return F.conv2d(grad, turned, padding=margin, groups=len(weight))


def _of_input(x: Tensor, grad: Tensor, weight: Tensor, *, stride: int, padding: int) -> Tensor:
    """The gradient (B, C, H, W) by PyTorch, which takes the memory format from ``x``."""
    sizes = [stride, stride], [padding, padding], [1, 1]
    rest = False, [0, 0], len(weight), [True, False, False]
    return _ATEN.convolution_backward(grad, x, weight, None, *sizes, *rest)[0]


def _of_weight(x: Tensor, grad: Tensor, *, k: int, stride: int, padding: int) -> Tensor:
    """The gradient (C, 1, k, k), of 5x5 weights three columns at a time.

    Two pixels side by side, which in channels_last memory are one row of numbers, count as one of
    twice the channels. The outer columns and the middle one are then neighbours; the others are so
    without, or with a stride in the second half of the channels. Nothing is copied of ``x``.
    """
    C, H, W = x.shape[1:]
    if (k, padding) != (5, 2) or stride > 2 or W % 2 or min(H, W) <= k:
        return conv2d_weight(x, (C, 1, k, k), grad, stride=stride, padding=padding, groups=C)
    found = x.new_empty(C, 1, k, k)
    if stride == 1:
        even = _of_three_columns(_paired(x), _paired(grad)).unflatten(0, (2, C)).sum(dim=0)
        found[..., 1:4] = _of_three_columns(x, grad)
    else:
        twice = torch.cat((grad, grad), dim=1)
        even, odd = _of_three_columns(_paired(x), twice, stride=2).split(C)
        found[..., 1::2] = odd[..., :2]
    found[..., ::2] = even
    return found


def _of_three_columns(x: Tensor, grad: Tensor, *, stride: int = 1) -> Tensor:
    """The gradient of weights (C, 1, 5, 3) that take steps along the columns alone."""
    C = x.shape[1]
    form = {"stride": (stride, 1), "padding": (2, 1)}
    return conv2d_weight(x, (C, 1, 5, 3), grad, **form, groups=C)


def _paired(x: Tensor) -> Tensor:
    """Pairs of pixels side by side as one each: (B, C, H, W) to (B, 2*C, H, W/2)."""
    B, C, H, W = x.shape
    return x.permute(0, 2, 3, 1).reshape(B, H, W // 2, 2 * C).permute(0, 3, 1, 2)
