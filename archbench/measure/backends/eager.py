"""PyTorch as it is, operator by operator."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from archbench.measure.precision import dtype_of
from archbench.records.measurement import Conditions


def prepare(network: nn.Module, example: Tensor, *, conditions: Conditions) -> Callable[[], object]:
    """One forward pass in inference mode, on the device and in the precision of the conditions.

    The network itself stays as it is: where its mode, device or precision is another, a copy is
    run.

    Raises:
        UsageError: The precision is not one of fp32, bf16 and fp16.
    """
    target = torch.device(conditions.device)
    kind = dtype_of(conditions.precision, place="backend eager")
    if not _is_ready(network, target=target, kind=kind):
        network = copy.deepcopy(network).to(device=target, dtype=kind).eval()
    images = example.to(device=target, dtype=kind)

    def forward() -> object:
        with torch.inference_mode():
            return network(images)

    return forward


def _is_ready(network: nn.Module, *, target: torch.device, kind: torch.dtype) -> bool:
    tensors = [*network.parameters(), *network.buffers()]
    fits = all(
        tensor.device.type == target.type
        and (tensor.dtype == kind or not tensor.is_floating_point())
        for tensor in tensors
    )
    return fits and not any(module.training for module in network.modules())
