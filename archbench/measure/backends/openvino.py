"""Intel's OpenVINO on the CPU, of any make."""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from archbench.errors import InexactError, library_absence
from archbench.measure.backend import Runnable
from archbench.measure.backends import _onnx
from archbench.measure.backends._export import exported_program
from archbench.measure.backends._operators import left_outside, mixed
from archbench.study.measurement import Conditions

if TYPE_CHECKING:
    import openvino

NEEDS = {"openvino": "openvino"}
PRECISIONS = {"cpu": ("fp32", "bf16", "fp16", "int8")}
FORM = "portable"
SERVES = True
SUFFIX = ".xml"
DYNAMIC_BATCH = True
QUANTISATION = ("nncf", "after training, for transformers, smoothed behind layer norms")

_HINTS = {"fp32": "f32", "bf16": "bf16", "fp16": "f16", "int8": "f32"}
_NAMES = {"f32": "fp32", "bf16": "bf16", "f16": "fp16", "i8": "int8", "u8": "int8"}
_PRODUCTS = {"Convolution", "FullyConnected", "MatMul", "GroupConvolution"}
_NO_OPERATORS = {"Const", "Input", "Output"}
_TOLD = {"layerType", "primitiveType", "runtimePrecision"}


def write(
    network: nn.Module,
    example: Tensor,
    *,
    path: Path,
    conditions: Conditions,
    images: Iterable[Tensor],
    dynamic_batch: bool = False,
) -> None:
    """Read from an ONNX file and converted; int8 is NNCF's quantisation after training.

    That takes LeViT-128S 0.4 s and CvT-13 1.6 s, in place of 4.1 and 4.5 from PyTorch's exported
    program, and the two run equally fast. The latter is there for what no such file holds, and
    what is quantised.

    Raises:
        MissingError: NNCF is not installed, for int8.
    """
    ov, precision = _silent("openvino"), conditions.precision
    with tempfile.TemporaryDirectory(prefix="archbench-") as folder:
        plain = Path(folder, "network.onnx")
        is_float = precision != "int8" and not dynamic_batch
        if is_float and _onnx.is_traced(network, example, path=plain):
            model = _core(ov).read_model(plain)
        else:
            model = _converted(network, example, dynamic_batch=dynamic_batch)
        if precision == "int8":
            has_layer_norm = any(isinstance(module, nn.LayerNorm) for module in network.modules())
            model = _quantised(model, images, is_smoothed=has_layer_norm)
        ov.save_model(model, path, compress_to_fp16=precision == "fp16")


def open_artifact(path: Path, example: Tensor, *, conditions: Conditions) -> Runnable:
    """Compiled for the example's shape; one stream of so many threads.

    A synchronous request of one thread works in the calling thread. Images and output lie in
    torch's memory, so that nothing is copied.

    Raises:
        InexactError: It would run on another number of threads.
    """
    ov = _silent("openvino")
    core = _core(ov)
    model = core.read_model(path)
    model.reshape(list(example.shape))
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
        "INFERENCE_NUM_THREADS": conditions.threads,
        "INFERENCE_PRECISION_HINT": _HINTS[conditions.precision],
        "ENABLE_CPU_PINNING": False,  # the measurement pins
    }
    compiled = core.compile_model(model, "CPU", settings)
    if (threads := compiled.get_property("INFERENCE_NUM_THREADS")) != conditions.threads:
        raise InexactError(
            f"it runs on {threads} threads, not on {conditions.threads}", place="backend openvino"
        )
    request = compiled.create_infer_request()
    images = example.contiguous()
    request.set_input_tensor(ov.Tensor(images.numpy(), shared_memory=True))
    outputs = [torch.empty(list(port.shape)) for port in compiled.outputs]
    for index, output in enumerate(outputs):
        request.set_output_tensor(index, ov.Tensor(output.numpy(), shared_memory=True))

    # The request knows addresses only; what lies there must live as long as this function.
    def run(*, kept: object = images) -> object:
        request.infer()
        return outputs

    layers = [
        {key: value.astype(str) for key, value in layer.get_rt_info().items() if key in _TOLD}
        for layer in compiled.get_runtime_model().get_ops()
    ]
    kinds = [layer["runtimePrecision"] for layer in layers if layer["layerType"] in _PRODUCTS]
    operators = [layer for layer in layers if layer["layerType"] not in _NO_OPERATORS]
    by_reference = [layer for layer in operators if layer["primitiveType"].startswith("ref")]
    outside = [layer["layerType"] for layer in by_reference]
    return mixed(
        run,
        Counter(_NAMES.get(kind, kind) for kind in kinds),
        asked=conditions.precision,
        images=images,
        operators=left_outside(outside, total=len(operators)),
    )


def write_metadata(path: Path, text: str) -> None:
    """Puts a text into the runtime information of the model; its weights stay as they are."""
    ov = _silent("openvino")
    model = _core(ov).read_model(path)
    model.set_rt_info(text, ["archbench"])
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        made = Path(folder, path.name)
        ov.serialize(model, made, made.with_suffix(".bin"))
        for file in Path(folder).iterdir():
            file.replace(path.with_name(file.name))


def read_metadata(path: Path) -> str:
    """The text that ``write_metadata`` put into the model; empty where there is none."""
    model = _core(_silent("openvino")).read_model(path)
    known = model.has_rt_info(["archbench"])
    return str(model.get_rt_info(["archbench"]).astype(str)) if known else ""


def _core(ov: Any) -> openvino.Core:
    """OpenVINO counts cores once in a process, those that its first caller may use: so, all."""
    core = ov.Core()
    if not hasattr(os, "sched_setaffinity"):
        return core
    own = os.sched_getaffinity(0)
    os.sched_setaffinity(0, range(os.cpu_count() or 1))
    try:
        core.get_property("CPU", "FULL_DEVICE_NAME")
    finally:
        os.sched_setaffinity(0, own)
    return core


def _converted(network: nn.Module, example: Tensor, *, dynamic_batch: bool) -> openvino.Model:
    """By the front end itself: the converter around it reports its use to its makers."""
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.fx_decoder import TorchFXPythonDecoder

    program = exported_program(network, example, dynamic_batch=dynamic_batch)
    front = FrontEndManager().load_by_framework("pytorch")
    decoder = TorchFXPythonDecoder.from_exported_program(program)
    model = front.convert(front.load(decoder))
    model.reshape([-1 if dynamic_batch else len(example), *example.shape[1:]])
    return model


def _quantised(
    model: openvino.Model, images: Iterable[Tensor], *, is_smoothed: bool
) -> openvino.Model:
    """In int8, by NNCF's settings for transformers.

    Large activations are smoothed into the weights behind a layer norm alone, which takes the
    factors up (Xiao et al. 2023, arXiv:2211.10438, sec. 4). On 1,500 photographs of 80 classes a
    LeViT, which has none, had 48.1 % in fp32, 48.8 % without smoothing and 43.3 % with it.
    """
    if missing := library_absence("nncf", extra="openvino"):
        raise missing.at("backend openvino, int8")
    nncf = _silent("nncf")
    batches = nncf.Dataset([batch.numpy() for batch in images])
    kind, more = nncf.ModelType.TRANSFORMER, {}
    if not is_smoothed:
        off = nncf.AdvancedSmoothQuantParameters(convolution=-1, matmul=-1)
        more = {"advanced_parameters": nncf.AdvancedQuantizationParameters(smooth_quant_alphas=off)}
    quantised: openvino.Model = nncf.quantize(model, batches, model_type=kind, **more)
    return quantised


def _silent(name: str) -> Any:
    """A library of Intel's, imported so that it does not report its use to its makers."""
    reporter = "openvino_telemetry"
    before = sys.modules.get(reporter)
    sys.modules[reporter] = None  # type: ignore[assignment]
    try:
        return importlib.import_module(name)
    finally:
        del sys.modules[reporter]
        if before is not None:
            sys.modules[reporter] = before
