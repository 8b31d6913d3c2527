"""PyTorch as it is, operator by operator; what all other backends are compared with."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from archbench.measure.backend import Absence, Prepared
from archbench.measure.placement import placed
from archbench.measure.precision import honest
from archbench.records.measurement import Conditions

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

    def run() -> object:
        with torch.inference_mode():
            return ready(images)

    return Prepared(run=run, precision=honest(conditions).precision)
