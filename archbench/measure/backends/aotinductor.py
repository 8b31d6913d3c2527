"""Exported by PyTorch and compiled ahead of time by Inductor, to a library without Python."""

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
COMPILES_ON = ("cpu", "cuda")
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
    """Exported and compiled for this processor.

    Weights are constants to the compiler, so that it packs them: LeViT-128S takes 9 ms on a CPU
    in place of 12.
    """
    from torch._inductor import aoti_compile_and_package

    ready, inputs = placed(network, example, conditions=conditions)
    program = exported_program(ready, inputs, dynamic_batch=dynamic_batch)
    aoti_compile_and_package(program, package_path=str(path), inductor_configs={"freezing": True})


def open_artifact(path: Path, example: Tensor, *, conditions: Conditions) -> Runnable:
    """Loaded."""
    from torch._inductor import aoti_load_package

    kind = dtype_of(conditions.precision, place="backend aotinductor")
    images = example.to(conditions.device, kind)
    loaded = aoti_load_package(str(path))

    def run() -> object:
        with torch.no_grad():
            return loaded(images)

    return Runnable(run=run, precision=computed_precision(conditions), images=images)
