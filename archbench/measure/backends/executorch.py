"""ExecuTorch on the CPU, its operators delegated to XNNPACK."""

from collections.abc import Iterable
from itertools import accumulate
from pathlib import Path

import torch
from torch import Tensor, nn

from archbench.measure.backend import Runnable
from archbench.measure.backends._archive import read_metadata as read_metadata
from archbench.measure.backends._archive import write_metadata as write_metadata
from archbench.measure.backends._export import InHalf, exported_program
from archbench.measure.backends._operators import left_outside
from archbench.study.measurement import Conditions

NEEDS = {"executorch": "executorch"}
PRECISIONS = {"cpu": ("fp32", "fp16")}
FORM = "portable"
SUFFIX = ".pte"


def write(
    network: nn.Module,
    example: Tensor,
    *,
    path: Path,
    conditions: Conditions,
    images: Iterable[Tensor],
) -> None:
    """Exported by PyTorch and lowered; what XNNPACK does not take stays with portable kernels."""
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    aten = torch.ops.aten
    taken = {aten.split_with_sizes.default: _slices, aten.matmul.default: _batched_product}
    ready = InHalf(network) if conditions.precision == "fp16" else network
    program = exported_program(ready, example).run_decompositions(taken)
    edge = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
    path.write_bytes(edge.to_executorch().buffer)


def open_artifact(path: Path, example: Tensor, *, conditions: Conditions) -> Runnable:
    """Loaded; the process has one pool of threads, which from now on are so many.

    One thread works in the calling thread.
    """
    from executorch.exir._serialize._program import deserialize_pte_binary
    from executorch.extension.pybindings import portable_lib
    from executorch.runtime import Runtime

    if portable_lib._threadpool_get_thread_count() != conditions.threads:  # noqa: SLF001
        portable_lib._unsafe_reset_threadpool(conditions.threads)  # noqa: SLF001
    method = Runtime.get().load_program(path).load_method("forward")
    images = example.contiguous()

    def run() -> object:
        return method.execute((images,))

    plan = deserialize_pte_binary(path.read_bytes()).program.execution_plan[0]
    calls = [call.instr_args for chain in plan.chains for call in chain.instructions]
    outside = [
        plan.operators[call.op_index].name for call in calls if type(call).__name__ == "KernelCall"
    ]
    delegated = [call for call in calls if type(call).__name__ == "DelegateCall"]
    details = {"delegate_calls": len(delegated), **left_outside(outside)}
    return Runnable(run=run, precision=conditions.precision, details=details, images=images)


def _slices(x: Tensor, sizes: list[int], dim: int = 0) -> list[Tensor]:
    """A split as XNNPACK takes it."""
    ends = accumulate(sizes)
    return [x.narrow(dim, end - size, size) for end, size in zip(ends, sizes, strict=True)]


def _batched_product(a: Tensor, b: Tensor) -> Tensor:
    """A product of equal batches without the expansion that PyTorch puts before it."""
    if a.ndim < 3 or a.shape[:-2] != b.shape[:-2]:
        return NotImplemented
    product = torch.bmm(a.flatten(0, -3), b.flatten(0, -3))
    return product.unflatten(0, a.shape[:-2])
