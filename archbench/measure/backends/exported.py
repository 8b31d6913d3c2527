"""The program that torch.export makes of a network, run by PyTorch operator by operator."""

from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor, nn

from archbench.measure.backend import Runnable, computed_precision, dtype_of, placed
from archbench.measure.backends._archive import read_metadata as read_metadata
from archbench.measure.backends._archive import write_metadata as write_metadata
from archbench.measure.backends._export import exported_program
from archbench.study.measurement import Conditions

PRECISIONS = {"cpu": ("fp32", "bf16", "fp16"), "cuda": ("fp32", "bf16", "fp16")}
FORM = "portable"
SUFFIX = ".pt2"
DYNAMIC_BATCH = True


def write(
    network: nn.Module,
    example: Tensor,
    *,
    path: Path,
    conditions: Conditions,
    images: Iterable[Tensor],
    dynamic_batch: bool = False,
) -> None:
    """Exported, in the precision and for the device of the conditions."""
    ready, inputs = placed(network, example, conditions=conditions)
    torch.export.save(exported_program(ready, inputs, dynamic_batch=dynamic_batch), path)


def open_artifact(path: Path, example: Tensor, *, conditions: Conditions) -> Runnable:
    """Loaded as a module; a pass is in inference mode."""
    kind = dtype_of(conditions.precision, place="backend exported")
    images = example.to(conditions.device, kind)
    module = torch.export.load(path).module()

    def run() -> object:
        with torch.inference_mode():
            return module(images)

    return Runnable(run=run, precision=computed_precision(conditions), images=images)
