"""Does a network lie on the device and in the precision that it is to be run in?"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from archbench.measure.precision import dtype_of
from archbench.records.measurement import Conditions


def placed(
    network: nn.Module, example: Tensor, *, conditions: Conditions
) -> tuple[nn.Module, Tensor]:
    """Network and images where the conditions want them; a copy, unless it is there already.

    Raises:
        UsageError: The precision is not one of fp32, bf16 and fp16.
    """
    device = torch.device(conditions.device)
    kind = dtype_of(conditions.precision, place=f"backend {conditions.backend}")
    if not is_placed(network, conditions=conditions):
        network = copy.deepcopy(network).to(device=device, dtype=kind).eval()
    return network, example.to(device=device, dtype=kind)


def is_placed(network: nn.Module, *, conditions: Conditions) -> bool:
    """Whether it is in evaluation, on the device and in the precision of the conditions."""
    device = torch.device(conditions.device)
    kind = dtype_of(conditions.precision, place=f"backend {conditions.backend}")
    tensors = [*network.parameters(), *network.buffers()]
    fits = all(
        tensor.device.type == device.type
        and (tensor.dtype == kind or not tensor.is_floating_point())
        for tensor in tensors
    )
    return fits and not any(module.training for module in network.modules())


@contextmanager
def evaluating(network: nn.Module) -> Iterator[nn.Module]:
    """The network in evaluation; afterwards each of its modules is in the mode it was in."""
    before = {module: module.training for module in network.modules()}
    try:
        yield network.eval()
    finally:
        for module, training in before.items():
            module.training = training
