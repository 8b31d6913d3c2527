"""A network as an ONNX file, for the backends that read one."""

from pathlib import Path

import torch
from torch import Tensor, nn

from archbench.measure.backends._export import exported_program

NEEDS = {"onnx": "onnx", "onnxscript": "onnx"}


def write_onnx(
    network: nn.Module, example: Tensor, *, path: Path, dynamic_batch: bool = False
) -> None:
    """Exports the network in evaluation, for the example's shape; its input is named ``images``.

    Where the batch is dynamic, its dimension is named ``batch``.
    """
    exported = exported_program(network, example, dynamic_batch=dynamic_batch)
    program = torch.onnx.export(exported, input_names=["images"], verbose=False)
    assert program is not None
    program.save(str(path))
