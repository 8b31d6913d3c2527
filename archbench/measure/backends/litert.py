"""Google's LiteRT (once TensorFlow Lite) on the CPU, its operators delegated to XNNPACK."""

import io
from collections.abc import Iterable, Mapping, Sequence
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from archbench.errors import library_absence
from archbench.exactness import evaluating
from archbench.measure.backend import Runnable
from archbench.measure.backends._archive import read_metadata as read_metadata
from archbench.measure.backends._archive import write_metadata as write_metadata
from archbench.measure.backends._operators import left_outside
from archbench.study.measurement import Conditions

NEEDS = {"ai_edge_litert": "litert"}
PRECISIONS = {"cpu": ("fp32", "fp16")}
FORM = "portable"
SUFFIX = ".tflite"


def write(
    network: nn.Module,
    example: Tensor,
    *,
    path: Path,
    conditions: Conditions,
    images: Iterable[Tensor],
) -> None:
    """Exported by PyTorch and converted by a library of its own, which is large.

    In fp16 the weights are, which XNNPACK makes fp32 as it loads them. Static int8 is left out:
    XNNPACK takes it in 45 pieces where it takes fp32 in two, and computes it three times slower.

    Raises:
        MissingError: That library is not installed.
    """
    if missing := library_absence("litert_torch", extra="litert-convert"):
        raise missing.at("backend litert")
    import litert_torch

    with torch.no_grad(), evaluating(network):
        litert_torch.convert(network, (example,)).export(str(path))
    if conditions.precision == "fp16":
        _halve_weights(path)


def open_artifact(path: Path, example: Tensor, *, conditions: Conditions) -> Runnable:
    """Loaded; one thread works in the calling thread."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=conditions.threads)
    interpreter.allocate_tensors()
    (entry,), outputs = interpreter.get_input_details(), interpreter.get_output_details()
    # The memory of its input, which a pass leaves as it is. Its own ``tensor`` counts who holds it,
    # and refuses to run while anyone does, as the memory may move when tensors change their size.
    held = interpreter._interpreter.tensor(interpreter, entry["index"])  # noqa: SLF001
    images = torch.from_numpy(held).copy_(example)

    def run() -> object:
        interpreter.invoke()
        return [torch.from_numpy(interpreter.get_tensor(output["index"])) for output in outputs]

    # Those of the file, and behind them the delegates'.
    operators = interpreter._get_ops_details()  # noqa: SLF001
    delegates = [one for one in operators if one["op_name"] == "DELEGATE"]
    own = operators[: len(operators) - len(delegates)]
    inside = _inside(delegates, own)
    outside = [one["op_name"] for one in own if one["index"] not in inside]
    details = {"delegate_calls": len(delegates), **left_outside(outside, total=len(own))}
    return Runnable(run=run, precision="fp32", details=details, images=images)


def _halve_weights(path: Path) -> None:
    """Brings the weights of a file to fp16, by Google's quantizer, on which its converter depends.

    It draws its progress on the terminal.
    """
    from ai_edge_quantizer.algorithm_manager import AlgorithmName
    from ai_edge_quantizer.qtyping import TFLOperationName
    from ai_edge_quantizer.quantizer import Quantizer

    quantizer = Quantizer(str(path))
    every, cast = TFLOperationName.ALL_SUPPORTED, AlgorithmName.FLOAT_CASTING
    quantizer.add_weight_only_config(".*", every, num_bits=16, algorithm_key=cast)
    with redirect_stderr(io.StringIO()):
        halved = quantizer.quantize(enable_progress_report=False).quantized_model
    path.write_bytes(halved)


def _inside(
    delegates: Sequence[Mapping[str, Any]], operators: Sequence[Mapping[str, Any]]
) -> set[int]:
    """The operators that delegates took: those between what goes in and what comes out."""
    maker = {int(tensor): one["index"] for one in operators for tensor in one["outputs"]}
    needs = {one["index"]: set(map(int, one["inputs"])) for one in operators}
    inside: set[int] = set()
    for delegate in delegates:
        given, wanted = set(map(int, delegate["inputs"])), set(map(int, delegate["outputs"]))
        while wanted := (wanted - given) & maker.keys():
            found = {maker[tensor] for tensor in wanted} - inside
            inside |= found
            wanted = set().union(*(needs[one] for one in found))
    return inside
