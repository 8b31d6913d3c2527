"""ONNX Runtime on the CPU."""

import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from archbench.measure.backend import Runnable
from archbench.measure.backends import _onnx
from archbench.measure.backends._export import InHalf
from archbench.measure.backends._operators import left_outside, mixed
from archbench.study.atomic_file import write_atomically
from archbench.study.measurement import Conditions

NEEDS = {"onnxruntime": "", **_onnx.NEEDS}
PRECISIONS = {"cpu": ("fp32", "fp16", "int8")}  # it knows no bf16 here
FORM = "portable"
SERVES = True
SUFFIX = ".onnx"
DYNAMIC_BATCH = True
QUANTISATION = ("onnxruntime", "static, by smallest and largest values, weights by channel")

_PROVIDER = "CPUExecutionProvider"
_IN_INTEGERS = {"QLinearConv", "QLinearMatMul", "QGemm", "MatMulInteger", "ConvInteger"}
_IN_FLOATS = {"Conv", "FusedConv", "MatMul", "FusedMatMul", "Gemm", "FusedGemm"}


def write(
    network: nn.Module,
    example: Tensor,
    *,
    path: Path,
    conditions: Conditions,
    images: Iterable[Tensor],
    dynamic_batch: bool = False,
) -> None:
    """An ONNX file; int8 is ONNX Runtime's own static quantisation of it.

    In fp16 the images and the outputs stay fp32. Where ONNX Runtime has no kernel in fp16, as on
    x86, it computes in fp32.

    Raises:
        RuntimeError: ONNX Runtime cannot quantise it.
    """
    if conditions.precision != "int8":
        ready = InHalf(network) if conditions.precision == "fp16" else network
        _onnx.write_onnx(ready, example, path=path, dynamic_batch=dynamic_batch)
        return
    with tempfile.TemporaryDirectory(prefix="archbench-") as folder, _as_runtime_error():
        plain = Path(folder) / "network.onnx"
        _onnx.write_onnx(network, example, path=plain, dynamic_batch=dynamic_batch)
        _quantised(plain, images, path=path)


def open_artifact(path: Path, example: Tensor, *, conditions: Conditions) -> Runnable:
    """Optimised and loaded; one thread works in the calling thread.

    Images and output lie in torch's memory, so that nothing is copied.

    Raises:
        RuntimeError: ONNX Runtime cannot run it.
    """
    import onnxruntime

    with tempfile.TemporaryDirectory(prefix="archbench-") as folder, _as_runtime_error():
        optimised = Path(folder) / "optimised.onnx"
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = conditions.threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.optimized_model_filepath = str(optimised)
        # Threads that go on spinning after a pass would take the core from what is timed next.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
        options.add_free_dimension_override_by_name("batch", len(example))
        session = onnxruntime.InferenceSession(path, options, providers=[_PROVIDER])
        layers = _precisions(optimised)
        parts = session.get_provider_graph_assignment_info()
        nodes = [(part.ep_name, node.op_type) for part in parts for node in part.get_nodes()]
        images = example.contiguous()
        outputs = [
            torch.empty([len(example) if isinstance(side, str) else side for side in entry.shape])
            for entry in session.get_outputs()
        ]
        binding = session.io_binding()
        binds = [binding.bind_input, *[binding.bind_output] * len(outputs)]
        entries = [*session.get_inputs(), *session.get_outputs()]
        for bind, entry, tensor in zip(binds, entries, (images, *outputs), strict=True):
            bind(entry.name, "cpu", 0, np.float32, list(tensor.shape), tensor.data_ptr())

    # The binding knows addresses only; what lies there must live as long as this function.
    def run(*, kept: Tensor = images) -> object:
        session.run_with_iobinding(binding)
        return outputs

    outside = [kind for provider, kind in nodes if provider != _PROVIDER]
    return mixed(
        run,
        layers,
        asked=conditions.precision,
        images=images,
        operators=left_outside(outside, total=len(nodes)),
    )


def write_metadata(path: Path, text: str) -> None:
    """Puts a text among the metadata of the file."""
    import onnx

    model = onnx.load(path)
    onnx.helper.set_model_props(model, {"archbench": text})
    write_atomically(path, model.SerializeToString())


def read_metadata(path: Path) -> str:
    """The text that ``write_metadata`` put into the file; empty where there is none."""
    import onnx

    model = onnx.load(path, load_external_data=False)
    return next((one.value for one in model.metadata_props if one.key == "archbench"), "")


def _quantised(plain: Path, images: Iterable[Tensor], *, path: Path) -> None:
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Images(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.left = iter(images)

        def get_next(self) -> dict[str, np.ndarray] | None:
            batch = next(self.left, None)
            return None if batch is None else {"images": batch.numpy()}

    ready = plain.with_name("ready.onnx")
    types = {"activation_type": QuantType.QUInt8, "weight_type": QuantType.QInt8}
    quant_pre_process(plain, ready, skip_symbolic_shape=True)
    quantize_static(ready, path, Images(), per_channel=True, **types)


def _precisions(path: Path) -> Counter[str]:
    """How many of the operators that hold products are left in each precision."""
    import onnx

    graph = onnx.load(path).graph
    halves = {one.name for one in graph.initializer if one.data_type == onnx.TensorProto.FLOAT16}
    found: Counter[str] = Counter()
    for node in graph.node:
        if node.op_type in _IN_INTEGERS:
            found["int8"] += 1
        elif node.op_type in _IN_FLOATS:
            found["fp32" if halves.isdisjoint(node.input) else "fp16"] += 1
    return found


@contextmanager
def _as_runtime_error() -> Iterator[None]:
    """ONNX Runtime's own errors, which share no class with anything."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    own = (state.Fail, state.InvalidArgument, state.InvalidGraph, state.NotImplemented)
    try:
        yield
    except own as error:
        raise RuntimeError(f"ONNX Runtime: {error}") from error
