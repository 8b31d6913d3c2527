"""A network as an ONNX file, for the backends that read one."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from archbench.measure.backend import Runnable
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


def mixed(
    run: Callable[[], object],
    layers: Counter[str],
    *,
    operators: int,
    outside: int,
    asked: str,
    images: Tensor,
) -> Runnable:
    """A network whose layers run in several precisions, named by that of most of them.

    Layers are those with products. Where nothing is known of them, it is the precision asked for.
    Of so many operators those outside are not run by the runtime's own kernels for this processor.
    """
    kinds = ", ".join(f"{kind} {number}" for kind, number in sorted(layers.items()))
    return Runnable(
        run=run,
        precision=layers.most_common(1)[0][0] if layers else asked,
        images=images,
        details={
            "operators": operators,
            "operators_outside": outside,
            **({"layers_run_in": kinds} if kinds else {}),
        },
    )
