"""PyTorch as it is, operator by operator; what all other backends are compared with."""

import copy
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from archbench.measure.backend import Runnable, computed_precision, placed
from archbench.study.measurement import Conditions

PRECISIONS = {"cpu": ("fp32", "bf16", "fp16"), "cuda": ("fp32", "bf16", "fp16")}
FORM = "deployed"
SERVES = True

_STEP, _MOST_STEPS, _MOST_FILLERS = 64, 4096, 5  # bytes of a line of the cache; how many of them


def prepare(network: nn.Module, example: Tensor, *, conditions: Conditions) -> Runnable:
    """One forward pass in inference mode, on the device and in the precision of the conditions.

    The network itself stays as it is: where its mode, device or precision is another, a copy is
    run. Copies of one network differ by where their weights happen to lie: those of 1 to 3 ms by
    0.4 to 0.6 % (standard deviation), for as long as they stay there. So where they lie is drawn:
    behind up to five tensors of up to 256 KiB, which live as long as the copy.
    """
    ready, images = placed(network, example, conditions=conditions)

    def relocated(draw: random.Random) -> Callable[[], object]:
        number = draw.randrange(1, _MOST_FILLERS + 1)
        sizes = [_STEP * draw.randrange(1, _MOST_STEPS) for _ in range(number)]
        fillers = [torch.empty(size, dtype=torch.uint8, device=images.device) for size in sizes]
        return _Pass(copy.deepcopy(ready), images.clone(), fillers)

    run, precision = _Pass(ready, images), computed_precision(conditions)
    return Runnable(run=run, precision=precision, relocated=relocated)


@dataclass(frozen=True)
class _Pass:
    """One forward pass, and what keeps its network where it lies."""

    network: nn.Module
    images: Tensor
    fillers: Sequence[Tensor] = ()

    def __call__(self) -> object:
        with torch.inference_mode():
            return self.network(self.images)
