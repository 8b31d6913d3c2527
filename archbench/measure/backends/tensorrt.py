"""NVIDIA's TensorRT, from version 10 on, fed with an ONNX file."""

import importlib
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from archbench.measure.backend import Runnable, dtype_of, placed
from archbench.measure.backends import _onnx
from archbench.study.measurement import Conditions

NEEDS = {"tensorrt": "tensorrt", **_onnx.NEEDS}
PRECISIONS = {"cuda": ("fp32", "bf16", "fp16")}
FORM = "portable"
SUFFIX = ".engine"


def write(
    network: nn.Module,
    example: Tensor,
    *,
    path: Path,
    conditions: Conditions,
    images: Iterable[Tensor],
) -> None:
    """Exported in the precision asked for and built strongly typed, so that TensorRT keeps it.

    fp32 is fp32: TF32 is switched off.

    Raises:
        RuntimeError: TensorRT cannot read or build the network; its own words are in the message.
    """
    trt: Any = importlib.import_module("tensorrt")
    ready, inputs = placed(network, example, conditions=conditions)
    with tempfile.TemporaryDirectory(prefix="archbench-") as folder:
        plain = Path(folder) / "network.onnx"
        _onnx.write_onnx(ready, inputs.contiguous(), path=plain)
        path.write_bytes(_built(trt, plain, logger=trt.Logger(trt.Logger.ERROR)))


def open_artifact(path: Path, example: Tensor, *, conditions: Conditions) -> Runnable:
    """Loaded; images and outputs lie in torch's memory.

    Raises:
        RuntimeError: TensorRT cannot load it.
    """
    trt: Any = importlib.import_module("tensorrt")
    kind = dtype_of(conditions.precision, place="backend tensorrt")
    images = example.to(conditions.device, kind).contiguous()
    logger = trt.Logger(trt.Logger.ERROR)
    engine = trt.Runtime(logger).deserialize_cuda_engine(path.read_bytes())
    if engine is None:
        raise RuntimeError("TensorRT cannot load the engine")
    context = engine.create_execution_context()
    outputs = _bound(trt, engine, context, images=images)

    def run(*, kept: tuple[object, Tensor] = (engine, images)) -> object:
        if not context.execute_async_v3(torch.cuda.current_stream().cuda_stream):
            raise RuntimeError("TensorRT could not run the network")
        return outputs

    return Runnable(
        run=run,
        precision=conditions.precision,
        details={"tensorrt": str(trt.__version__), "layers": int(engine.num_layers)},
    )


def _built(trt: Any, path: Path, *, logger: Any) -> bytes:
    """The serialised engine of an ONNX file."""
    builder = trt.Builder(logger)
    flags = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    definition = builder.create_network(flags)
    parser = trt.OnnxParser(definition, logger)
    if not parser.parse_from_file(str(path)):
        faults = "; ".join(str(parser.get_error(i)) for i in range(parser.num_errors))
        raise RuntimeError(f"TensorRT cannot read the network: {faults}")
    config = builder.create_builder_config()
    config.clear_flag(trt.BuilderFlag.TF32)
    plan = builder.build_serialized_network(definition, config)
    if plan is None:
        raise RuntimeError("TensorRT cannot build the network")
    return bytes(plan)


def _bound(trt: Any, engine: Any, context: Any, *, images: Tensor) -> list[Tensor]:
    """Gives the context addresses for input and outputs; the outputs."""
    types = {
        trt.DataType.FLOAT: torch.float32,
        trt.DataType.HALF: torch.float16,
        trt.DataType.BF16: torch.bfloat16,
    }
    outputs = []
    for name in map(engine.get_tensor_name, range(engine.num_io_tensors)):
        tensor = images
        if engine.get_tensor_mode(name) == trt.TensorIOMode.OUTPUT:
            kind, shape = types[engine.get_tensor_dtype(name)], engine.get_tensor_shape(name)
            tensor = torch.empty(tuple(shape), dtype=kind, device=images.device)
            outputs.append(tensor)
        context.set_tensor_address(name, tensor.data_ptr())
    return outputs
