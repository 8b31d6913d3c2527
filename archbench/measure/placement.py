"""Where does a network lie: on which device, in which precision, and where in memory?

Copies of one network differ by where their weights happen to lie: those of 1 to 3 ms by 0.4 to
0.6 % (standard deviation), for as long as they stay there. Over many places the luck is averaged.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from archbench.measure.precision import dtype_of
from archbench.study.measurement import Conditions

_STEP, _MOST_STEPS, _MOST_FILLERS = 64, 4096, 5  # bytes of a line of the cache; how many of them


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


def elsewhere(
    network: nn.Module, images: Tensor, *, draw: random.Random
) -> tuple[nn.Module, Tensor, list[Tensor]]:
    """Copies of network and images in another place of memory, and what lies before them.

    Where in memory is drawn: up to five tensors of up to 256 KiB are allocated first. They must
    live as long as the copies, so that the next ones come to lie elsewhere.
    """
    sizes = [
        _STEP * draw.randrange(1, _MOST_STEPS) for _ in range(draw.randrange(1, _MOST_FILLERS + 1))
    ]
    fillers = [torch.empty(size, dtype=torch.uint8, device=images.device) for size in sizes]
    return copy.deepcopy(network), images.clone(), fillers


@contextmanager
def evaluating(network: nn.Module) -> Iterator[nn.Module]:
    """The network in evaluation; afterwards each of its modules is in the mode it was in."""
    before = {module: module.training for module in network.modules()}
    try:
        yield network.eval()
    finally:
        for module, training in before.items():
            module.training = training
