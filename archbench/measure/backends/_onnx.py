"""A network as an ONNX file, for the backends that read one.

PyTorch has two exporters. The older one runs the network on the example and writes down what it
did: 0.3 s for LeViT-128S and 1.1 s for CvT-13, where the newer one takes 5.1 and 6.9. The outputs
are the same, and ONNX Runtime is left with 333 operators in place of 351, and 603 in place of 660.
But what it writes holds for that example's shape alone, and it does not know every operator.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from archbench.errors import library_absence
from archbench.exactness import evaluating
from archbench.measure.backends._export import exported_program

NEEDS = {"onnx": ""}


def write_onnx(
    network: nn.Module, example: Tensor, *, path: Path, dynamic_batch: bool = False
) -> None:
    """Exports the network in evaluation, for the example's shape; its input is named ``images``.

    Where the batch is dynamic, its dimension is named ``batch``, and the newer exporter writes it;
    so it does what the older one does not take.

    Raises:
        MissingError: The newer exporter is needed, and its library is not installed.
    """
    if not dynamic_batch and is_traced(network, example, path=path):
        return
    if missing := library_absence("onnxscript", extra="onnx"):
        raise missing.at("ONNX")
    exported = exported_program(network, example, dynamic_batch=dynamic_batch)
    program = torch.onnx.export(exported, input_names=["images"], verbose=False)
    assert program is not None
    program.save(str(path))


def is_traced(network: nn.Module, example: Tensor, *, path: Path) -> bool:
    """Whether the older exporter wrote the network in evaluation, for the example's shape.

    It does not where it lacks an operator; and one day PyTorch may do without it.
    """
    try:
        with torch.no_grad(), evaluating(network), _silent_stdout():
            torch.onnx.export(network, (example,), str(path), input_names=["images"], dynamo=False)
    except (RuntimeError, TypeError, ImportError):  # among the first are those of the exporter
        return False
    return True


@contextmanager
def _silent_stdout() -> Iterator[None]:
    """Keeps the graph off our stdout that C++ prints there whole where it is refused."""
    kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)
