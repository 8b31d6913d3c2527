"""Does a network that a backend runs compute what eager computes?"""

import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from archbench.errors import InexactError
from archbench.exactness import Standard
from archbench.measure.backend import (
    BACKENDS,
    Runnable,
    is_placed,
    open_artifact,
    quiet,
    require_backend,
    write_artifact,
)
from archbench.measure.machine import require_own_thread
from archbench.study.measurement import Conditions

LIMITS = {"fp32": 1e-4, "tf32": 1e-2, "fp16": 2e-2, "bf16": 1e-1, "int8": sys.float_info.max}
"""Largest difference from eager in fp32, over the largest output, by the precision that ran.

bf16 keeps 8 bits, and random networks of this grammar lose up to three of them; what int8 loses
depends on the weights, may be all, and is told by its accuracy. The limits tell a wrong network
from a rounded one, no more."""

_Seconds = Callable[[], float]


def prepared(
    network: nn.Module,
    example: Tensor,
    *,
    conditions: Conditions,
    artifact: Path | None = None,
    images: Iterable[Tensor] | None = None,
    wall: _Seconds = time.perf_counter,
    own_cpu: _Seconds = time.thread_time,
    all_cpu: _Seconds = time.process_time,
) -> Runnable:
    """A network ready to be run by the backend of the conditions, compared with eager.

    The network stays as it is; the example are images (B, 3, H, W) in fp32, on the CPU. An artifact
    of it is opened where it is given, else written and not kept; for int8 it is calibrated on the
    images, see ``write_artifact``. CPU time is counted of this thread and of the whole process.

    Raises:
        UsageError: Backend or precision cannot be, an artifact is given to one that runs none, or
            int8 is asked for without images.
        MissingError: What the backend needs is not there.
        InexactError: The output differs from eager's by more than the limit, or one thread's work
            is done where this thread's CPU time cannot see it.
    """
    require_backend(conditions)
    name, began = conditions.backend, wall()
    with quiet():
        found = _made(network, example, conditions=conditions, artifact=artifact, images=images)
    if name == "eager" and is_placed(network, conditions=conditions):
        return replace(found, seconds=wall() - began)
    output = found.run()
    if conditions.device == "cuda":
        torch.cuda.synchronize()
    seconds = wall() - began
    # The network as it is, where it lies.
    own = next((one for one in network.parameters() if one.is_floating_point()), example)
    standard = Standard(network, example.to(own.device, own.dtype))
    # The weights of a file are in the precision asked for, whatever its products are computed in.
    has_file = hasattr(BACKENDS.load(name), "open_artifact")
    stored = conditions.precision if has_file else found.precision
    limit = max(LIMITS[found.precision], LIMITS[stored])
    error = checked_error(standard, output, precision=found.precision, backend=name, limit=limit)
    if conditions.device == "cpu" and conditions.threads == 1:  # timed by this thread's CPU time
        before, everyone = own_cpu(), all_cpu()
        found.run()
        mine, total = own_cpu() - before, all_cpu() - everyone
        require_own_thread(mine, total, place=f"backend {name}")
    return replace(found, seconds=seconds, error=error)


def _made(
    network: nn.Module,
    example: Tensor,
    *,
    conditions: Conditions,
    artifact: Path | None,
    images: Iterable[Tensor] | None,
) -> Runnable:
    backend = BACKENDS.load(conditions.backend)
    if artifact is not None:
        return open_artifact(artifact, example, conditions=conditions)
    if hasattr(backend, "prepare"):
        return backend.prepare(network, example, conditions=conditions)
    with tempfile.TemporaryDirectory(prefix="archbench-") as folder:
        path = Path(folder, "network").with_suffix(backend.SUFFIX)
        write_artifact(network, example, path=path, conditions=conditions, images=images)
        size = sum(file.stat().st_size for file in Path(folder).iterdir())
        found = open_artifact(path, example, conditions=conditions)
    return replace(found, details={**found.details, "artifact_bytes": size})


def checked_error(
    standard: Standard,
    output: object,
    *,
    precision: str,
    backend: str,
    limit: float | None = None,
) -> float:
    """Largest difference of an output from the network's own, over its largest; of all tensors.

    Raises:
        InexactError: It is beyond the limit, by default that of the precision; in fp32, where
            weights may amplify what is rounded, also beyond what rounding does to the network.
    """
    error, fault = standard.error(output), ""
    limit = LIMITS[precision] if limit is None else limit
    if error <= limit or (precision == "fp32" and not (fault := standard.fault(output))):
        return error
    raise InexactError(
        f"its output differs from eager's by {error:.1e} of the largest one, and "
        f"{precision} explains {limit:.0e}{fault and f': {fault}'}",
        place=f"backend {backend}",
        help="use another backend or precision for this network",
    )
