"""Linear layers and convolutions with their weights laid out for oneDNN's own kernels.

PyTorch hands a linear layer to MKL, which lays out the weights anew in every call. oneDNN can do
so once, and applies the activation behind the layer while the result is still in the cache.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn, cast

import torch
from torch import Tensor, nn

from archbench.errors import UsageError

# What oneDNN applies behind a layer: its name there, and the algorithm.
_FUSED = {
    nn.GELU: ("gelu", "none"),
    nn.Hardswish: ("hardswish", ""),
    nn.ReLU: ("relu", ""),
    nn.SiLU: ("swish", ""),
}


def can_pack(example: Tensor) -> bool:
    """Whether layers that run on tensors like this one can be packed on this machine."""
    if not example.is_cpu or not torch.backends.mkldnn.is_available():
        return False
    if example.dtype == torch.bfloat16:
        return bool(_operator("_is_mkldnn_bf16_supported")())
    return example.dtype == torch.float32


def can_fuse(activation: nn.Module) -> bool:
    """Whether oneDNN can apply an activation behind a layer, to the same values."""
    is_exact = not isinstance(activation, nn.GELU) or activation.approximate == "none"
    return type(activation) in _FUSED and is_exact


class Packed(nn.Module):
    """A layer with packed weights: fixed to its precision and to this machine."""

    def __init__(self, activation: nn.Module | None) -> None:
        super().__init__()
        self.attribute, self.algorithm = _FUSED[type(activation)] if activation else ("none", "")

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> NoReturn:
        raise UsageError(
            "a packed network cannot change its precision or device",
            help="deploy the network again, after it was moved",
        )

    def __deepcopy__(self, memo: dict[int, Any]) -> Packed:
        """Of its own weights: copies of a network shall differ in memory as other layers do."""
        copied = type(self).__new__(type(self))
        nn.Module.__init__(copied)
        for name, value in self.__dict__.items():
            if name not in copied.__dict__:
                setattr(copied, name, value.clone() if isinstance(value, Tensor) else value)
        return copied.train(self.training)


class PackedLinear(Packed):
    """A linear layer and the activation behind it; (..., C) to (..., C').

    Args:
        linear: The layer.
        activation: One that ``can_fuse``.
        tokens: Rows of the input that the layout is made for; others are computed as well.
    """

    def __init__(self, linear: nn.Linear, *, activation: nn.Module | None, tokens: int) -> None:
        super().__init__(activation)
        weight = linear.weight.detach()
        self.weight = _operator("_reorder_linear_weight")(weight, tokens)
        self.bias = None if linear.bias is None else linear.bias.detach().clone()
        self._run = _operator("_linear_pointwise").default

    def forward(self, x: Tensor) -> Tensor:
        return cast(
            Tensor, self._run(x, self.weight, self.bias, self.attribute, [], self.algorithm)
        )


class PackedConv(Packed):
    """A convolution and the activation behind it; (B, C, H, W) to (B, C', H', W').

    Args:
        conv: The layer; its padding is given in numbers.
        activation: One that ``can_fuse``.
        size: Shape of the input that the layout is made for; others are computed as well.
    """

    def __init__(self, conv: nn.Conv2d, *, activation: nn.Module | None, size: torch.Size) -> None:
        super().__init__(activation)
        self.geometry = (list(conv.padding), list(conv.stride), list(conv.dilation), conv.groups)
        weight = conv.weight.detach()
        self.weight = _operator("_reorder_convolution_weight")(weight, *self.geometry, list(size))
        self.bias = None if conv.bias is None else conv.bias.detach().clone()
        self._run = _operator("_convolution_pointwise").default

    def forward(self, x: Tensor) -> Tensor:
        return cast(
            Tensor,
            self._run(
                x,
                self.weight,
                self.bias,
                *self.geometry,
                self.attribute,
                [],
                self.algorithm,
            ),
        )


def _operator(name: str) -> Any:
    """An operator that PyTorch registers for its compiler."""
    return getattr(torch.ops.mkldnn, name)
