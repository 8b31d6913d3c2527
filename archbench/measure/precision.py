"""In which precision are products really computed, whatever the tensors are called."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from archbench.errors import unknown_name
from archbench.study.measurement import Conditions

_TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
# Bits behind the binary point that a product keeps, and what such products are called.
_NAMES = ((20, "fp32"), (10, "tf32"), (0, "bf16"))
_SIZE = 128

Product = Callable[[Tensor, Tensor], Tensor]


def dtype_of(precision: str, *, place: str) -> torch.dtype:
    """What the tensors of a precision are.

    Raises:
        UsageError: The precision is not one of fp32, bf16 and fp16.
    """
    if precision not in _TYPES:
        raise unknown_name("precision", precision, _TYPES, place=place)
    return _TYPES[precision]


def honest(conditions: Conditions) -> Conditions:
    """The conditions with the precision that fp32 work really has here.

    Torch computes fp32 products in TF32 or bf16 where a setting or a default lets it, for
    example convolutions on a GPU. Other precisions are what they say.
    """
    if conditions.precision != "fp32":
        return conditions
    kept = min(
        kept_bits(product, device=conditions.device)
        for product in (_linear, _pointwise_convolution)
    )
    return replace(conditions, precision=precision_name(kept))


def precision_name(kept: int) -> str:
    """What products are called that keep so many bits, rounded down to a known name."""
    return next(name for bits, name in _NAMES if kept >= bits)


def kept_bits(product: Product, *, device: str = "cpu") -> int:
    """How many bits behind the binary point survive a product with the identity, at most 23.

    Args:
        product: Takes a batch of rows and a square weight, as a linear does.
        device: Where to multiply.
    """
    identity = torch.eye(_SIZE, device=device)
    bits = torch.arange(1, 24, device=device)
    rows = torch.ones(_SIZE, _SIZE, device=device)
    rows[: len(bits)] += torch.exp2(-bits.float())[:, None]
    survived = (product(rows, identity)[: len(bits)] == rows[: len(bits)]).all(dim=1)
    return int(bits[survived].max()) if bool(survived.any()) else 0


def _linear(rows: Tensor, weight: Tensor) -> Tensor:
    with torch.inference_mode():
        return F.linear(rows, weight)


def _pointwise_convolution(rows: Tensor, weight: Tensor) -> Tensor:
    images = rows.t().reshape(1, _SIZE, 16, _SIZE // 16)  # rows as pixels: (1, C, H, W)
    with torch.inference_mode():
        output = F.conv2d(images, weight[:, :, None, None])
    return output.reshape(_SIZE, _SIZE).t()
