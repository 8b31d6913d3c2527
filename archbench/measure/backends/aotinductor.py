"""Exported by PyTorch and compiled ahead of time by Inductor, to a library without Python."""

import tempfile
from pathlib import Path

import torch
from torch import Tensor, nn

from archbench.measure.backend import Runnable, computed_precision, placed
from archbench.study.measurement import Conditions

PRECISIONS = {"cpu": ("fp32", "bf16", "fp16"), "cuda": ("fp32", "bf16", "fp16")}
COMPILES_ON = ("cpu", "cuda")
FORM = "portable"


def prepare(network: nn.Module, example: Tensor, *, conditions: Conditions) -> Runnable:
    """Exported, compiled and loaded.

    Weights are constants to the compiler, so that it packs them: LeViT-128S takes 9 ms on a CPU
    in place of 12.
    """
    from torch._inductor import aoti_compile_and_package, aoti_load_package

    ready, images = placed(network, example, conditions=conditions)
    with torch.no_grad():
        program = torch.export.export(ready, (images,))
    with tempfile.TemporaryDirectory(prefix="archbench-") as folder:
        path = aoti_compile_and_package(
            program,
            package_path=str(Path(folder) / "network.pt2"),
            inductor_configs={"freezing": True},
        )
        size = Path(path).stat().st_size
        loaded = aoti_load_package(path)

    def run() -> object:
        with torch.no_grad():
            return loaded(images)

    return Runnable(
        run=run, precision=computed_precision(conditions), details={"package_bytes": size}
    )
