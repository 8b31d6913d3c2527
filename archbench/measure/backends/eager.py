"""PyTorch as it is, operator by operator; what all other backends are compared with."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from archbench.measure.backend import Absence, Prepared, elsewhere, honest, placed
from archbench.study.measurement import Conditions

PRECISIONS = {"cpu": ("fp32", "bf16", "fp16"), "cuda": ("fp32", "bf16", "fp16")}
FORM = "deployed"


def absence(device: str) -> Absence | None:
    """Nothing is ever missing."""
    return None


def prepare(network: nn.Module, example: Tensor, *, conditions: Conditions) -> Prepared:
    """One forward pass in inference mode, on the device and in the precision of the conditions.

    The network itself stays as it is: where its mode, device or precision is another, a copy is
    run.
    """
    ready, images = placed(network, example, conditions=conditions)

    def anew(draw: random.Random) -> Callable[[], object]:
        return _Pass(*elsewhere(ready, images, draw=draw))

    run = _Pass(ready, images, [])
    return Prepared(run=run, precision=honest(conditions).precision, anew=anew)


@dataclass(frozen=True)
class _Pass:
    """One forward pass, and what keeps its network where it lies."""

    network: nn.Module
    images: Tensor
    fillers: list[Tensor]

    def __call__(self) -> object:
        with torch.inference_mode():
            return self.network(self.images)
