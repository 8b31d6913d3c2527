"""A network as an ONNX file, for the backends that read one."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from archbench.measure.backend import Runnable, evaluating

NEEDS = {"onnx": "onnx", "onnxscript": "onnx"}

_NUM_IMAGES = 8  # on which int8 is calibrated


def write_onnx(network: nn.Module, example: Tensor, *, path: Path) -> Path:
    """Exports the network in evaluation, for the example's shape; its input is named ``images``.

    The images are in the precision and on the device of the network, which stays as it is.
    """
    with torch.no_grad(), evaluating(network):
        program = torch.onnx.export(
            network, (example,), input_names=["images"], dynamo=True, verbose=False
        )
        assert program is not None
        program.save(str(path))
    return path


def calibration_batches(example: Tensor) -> list[Tensor]:
    """Batches of noise like the example, at least 8 images in all, always the same.

    Speed does not depend on the ranges. Accuracy does: whoever ships an int8 network calibrates
    it on images of its task.
    """
    generator = torch.Generator().manual_seed(1)
    number = -(-_NUM_IMAGES // len(example))
    return [torch.randn(example.shape, generator=generator) for _ in range(number)]


def mixed(run: Callable[[], object], layers: Counter[str], *, asked: str) -> Runnable:
    """A network whose layers run in several precisions, named by that of most of them.

    Layers are those with products. Where nothing is known of them, it is the precision asked for.
    """
    return Runnable(
        run=run,
        precision=layers.most_common(1)[0][0] if layers else asked,
        details={"layers_run_in": ", ".join(f"{k} {n}" for k, n in sorted(layers.items()))},
    )
