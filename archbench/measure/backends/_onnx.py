"""A network as an ONNX file, for the backends that read one."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from archbench.measure.placement import evaluating
from archbench.measure.quantisation import quiet

ONNX_LIBRARIES = ("onnx", "onnxscript")


def write_onnx(network: nn.Module, example: Tensor, *, path: Path) -> Path:
    """Exports the network in evaluation, for the example's shape; its input is named ``images``.

    Args:
        network: It stays as it is.
        example: Images in the precision and on the device of the network.
        path: Where the file is written.
    """
    with quiet(), warnings.catch_warnings(), torch.no_grad(), evaluating(network):
        warnings.simplefilter("ignore")  # of the exporter, to its own authors
        program = torch.onnx.export(
            network, (example,), input_names=["images"], dynamo=True, verbose=False
        )
        assert program is not None
        program.save(str(path))
    return path
