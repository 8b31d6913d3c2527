"""What is the most that this machine can compute and move in a second, as torch reaches it?

Williams, Waterman and Patterson 2009 (doi:10.1145/1498765.1498785). Taken once for a machine and
conditions, in some 2 s, and kept; the best of several passes counts.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from archbench.errors import StorageError
from archbench.measure.device import require_device, settled
from archbench.measure.latency.calibration import settings_of
from archbench.measure.latency.clock import Clock, SystemClock
from archbench.measure.latency.constant_file import cache_folder
from archbench.measure.latency.rounds import Bench, bench
from archbench.measure.lock import measurement_lock
from archbench.measure.precision import dtype_of
from archbench.study.environment import Environment
from archbench.study.file import write_atomically
from archbench.study.measurement import Conditions

SCHEMA = "archbench.roofline/1"

_ROWS, _WIDTH = 512, 1024
_FAR_BYTES = {"cpu": 2**28, "cuda": 2**30}  # larger than any last cache of today
_NEAR_BYTES = {"cpu": 2**18, "cuda": 2**23}
_PASSES = {"compute": 30, "memory": 8, "cache": 300, "operator": 300}


@dataclass(frozen=True, kw_only=True)
class Roofline:
    """Limits of one machine under one set of conditions.

    Attributes:
        gflops: 10^9 floating-point operations a second, a multiply-add being two.
        memory_gbs: 10^9 bytes a second read and written, from a memory larger than all caches.
        cache_gbs: Likewise from a near cache.
        operator_us: Microseconds of an operator on almost nothing, called as a module.
        environment_id: The machine and software.
        note: What is to be said of it; mostly empty.
    """

    gflops: float
    memory_gbs: float
    cache_gbs: float
    operator_us: float
    environment_id: str
    note: str = ""

    def bounds_ms(
        self, *, flops: float, weight_bytes: float, activation_bytes: float, operators: int
    ) -> dict[str, float]:
        """The milliseconds that each limit alone asks for.

        Weights come from memory, since all others were read before they are wanted again;
        activations were written just before, so they come from the cache.
        """
        moved = weight_bytes / self.memory_gbs + activation_bytes / self.cache_gbs
        return {
            "compute": flops / self.gflops / 1e6,
            "memory": moved / 1e6,
            "overhead": operators * self.operator_us / 1e3,
        }


def roofline(
    conditions: Conditions,
    *,
    environment: Environment,
    folder: Path | None = None,
    clock: Clock | None = None,
) -> Roofline:
    """The limits for these conditions: stored ones, or taken now and stored.

    Args:
        conditions: Batch and resolution do not matter.
        environment: This machine.
        folder: Where they are kept, the user's cache folder by default.
        clock: Where time comes from; a test has its own.

    Raises:
        UsageError: Device, precision or threads that cannot be.
        MissingError: This machine has no such device.
        StorageError: The measurement lock cannot be had.
    """
    require_device(conditions.device)
    identity = {"schema": SCHEMA, "environment": environment.id, "of": settings_of(conditions)}
    name = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:12]
    path = (folder or cache_folder().parent / "roofline") / f"{environment.id}-{name}.json"
    note = ""
    try:
        if path.exists():
            return _stored(path, identity)
    except (OSError, ValueError, TypeError, LookupError) as error:
        note = f"{path} could not be read ({error}): limits taken anew"
    with measurement_lock(conditions.device), settled(threads=conditions.threads):
        found = _taken(
            conditions,
            on=bench(conditions, clock=clock or SystemClock()),
            environment=environment,
            note=note,
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        content = {**identity, "limits": asdict(found)}
        write_atomically(path, json.dumps(content, indent=2).encode())
    except (OSError, StorageError):
        # They are taken again next time; nothing that is said now is wrong.
        return found
    return found


def _stored(path: Path, identity: dict[str, Any]) -> Roofline:
    document = json.loads(path.read_text())
    if any(document[key] != value for key, value in identity.items()):
        raise ValueError("it belongs to other conditions")
    found = Roofline(**{**document["limits"], "note": ""})
    limits = (found.gflops, found.memory_gbs, found.cache_gbs, found.operator_us)
    if not all(0 < limit < math.inf for limit in limits):
        raise ValueError("a limit is no number")
    return found


def _taken(conditions: Conditions, *, on: Bench, environment: Environment, note: str) -> Roofline:
    kind = dtype_of(conditions.precision, place="precision")
    device = conditions.device
    flops = 2 * _ROWS * _WIDTH * _WIDTH
    products = [_best(on, run, _PASSES["compute"]) for run in _products(device, kind)]
    far, near = _FAR_BYTES[device], _NEAR_BYTES[device]
    return Roofline(
        gflops=flops / min(products) / 1e9,
        memory_gbs=_bandwidth(on, device, far, passes=_PASSES["memory"]),
        cache_gbs=_bandwidth(on, device, near, passes=_PASSES["cache"]),
        operator_us=_best(on, _operator(device), _PASSES["operator"]) * 1e6,
        environment_id=environment.id,
        note=note,
    )


def _products(device: str, kind: torch.dtype) -> list[Callable[[], object]]:
    """A large product: as torch does it, and with packed weights where it can pack them."""
    rows = torch.ones(_ROWS, _WIDTH, device=device, dtype=kind)
    weight = torch.ones(_WIDTH, _WIDTH, device=device, dtype=kind)
    found: list[Callable[[], object]] = [lambda: rows @ weight]
    if device == "cpu" and kind != torch.float16 and torch.backends.mkldnn.is_available():
        packed = torch.ops.mkldnn._reorder_linear_weight(weight, _ROWS)  # noqa: SLF001
        run = torch.ops.mkldnn._linear_pointwise.default  # noqa: SLF001
        found.append(lambda: run(rows, packed, None, "none", [], ""))
    return found


def _bandwidth(on: Bench, device: str, size: int, *, passes: int) -> float:
    """10^9 bytes a second of the better of a copy and a sum; both tensors hold half of the size."""
    left = torch.ones(size // 8, device=device)
    right = torch.ones(size // 8, device=device)
    copied = 2 * left.nbytes / _best(on, lambda: right.copy_(left), passes)
    added = (
        3 * left.nbytes / _best(on, lambda: torch.add(left, right, alpha=0.5, out=right), passes)
    )
    return max(copied, added) / 1e9


def _operator(device: str) -> Callable[[], object]:
    layer = nn.Hardswish()
    value = torch.ones(8, device=device)
    return lambda: layer(value)


def _best(on: Bench, run: Callable[[], object], passes: int) -> float:
    with torch.inference_mode():
        run()
        return max(min(on.seconds(on.watch(run)) for _ in range(passes)), 1e-9)
