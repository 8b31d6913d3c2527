"""One layer in place of two in evaluation: a norm or a factor goes into its neighbour's weights."""

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval


def fold_norm(layer: nn.Conv2d | nn.Linear, norm: nn.Module) -> nn.Module:
    """One layer, as precise, that is it and the batch norm behind it in evaluation, by float64."""
    fuse: Any = fuse_conv_bn_eval if isinstance(layer, nn.Conv2d) else fuse_linear_bn_eval
    copied = copy.deepcopy((layer, norm))
    made: nn.Module = fuse(*(module.double() for module in copied)).to(layer.weight.dtype)
    return made


def fold_norm_before(norm: nn.BatchNorm1d, linear: nn.Linear) -> nn.Linear:
    """One linear layer that is a batch norm and the linear layer behind it, by float64."""
    scale, shift = scale_and_shift(norm)
    weight = linear.weight.double()
    bias = 0.0 if linear.bias is None else linear.bias.double()
    return linear_of(weight * scale, bias + weight @ shift, like=linear)


def scale_and_shift(norm: nn.BatchNorm1d) -> tuple[Tensor, Tensor]:
    """What a batch norm does to each channel in evaluation, in float64."""
    assert norm.running_var is not None
    assert norm.running_mean is not None
    scale = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
    return scale, norm.bias.double() - norm.running_mean.double() * scale


def fold_scale(layer: nn.Conv2d | nn.Linear, scale: Tensor) -> nn.Module:
    """One layer, as precise, that is it and the factors of its outputs, (C',), by float64."""
    made = copy.deepcopy(layer)
    with torch.no_grad():
        for tensor in made.parameters():
            factors = scale.double().view(-1, *[1] * (tensor.ndim - 1))
            tensor.copy_(tensor.double() * factors)
    return made


def linear_of(weight: Tensor, bias: Tensor, *, like: nn.Linear) -> nn.Linear:
    """A linear layer of given values, on the device and in the precision of another."""
    folded = nn.Linear(weight.shape[1], weight.shape[0]).to(like.weight)
    with torch.no_grad():
        folded.weight.copy_(weight)
        folded.bias.copy_(bias)
    return folded
