"""How much memory does a forward pass need at its peak, beside the network's weights?"""

from __future__ import annotations

import ctypes
import platform
from pathlib import Path

import torch

from archbench.measure.latency.clock import Forward
from archbench.measure.quantity import Quantity

_PROCESS = Path("/proc/self")
_RESET_PEAK = "5"  # what proc(5) calls resetting the peak resident set


def peak_memory(forward: Forward, *, device: str, process: Path = _PROCESS) -> Quantity:
    """Bytes of one pass at its peak, above what was held before: weights do not count.

    On a GPU the allocator tells. On a CPU the process gives freed memory back, the system's mark
    of its largest resident set is reset, and a pass is run; the mark is coarse, some pages of 4
    kB for each thread.

    Args:
        forward: One pass; it has run before, so that nothing is set up any more.
        device: ``cpu`` or ``cuda``.
        process: Where the system tells of this process.
    """
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        base = torch.cuda.memory_allocated()
        forward()
        torch.cuda.synchronize()
        return Quantity(value=float(torch.cuda.max_memory_allocated() - base), unit="bytes")
    if platform.libc_ver()[0] != "glibc":
        reason = "the C library keeps freed memory, and cannot be asked for it"
        return Quantity(unit="bytes", reason=reason)
    try:
        ctypes.CDLL(None).malloc_trim(0)
        (process / "clear_refs").write_text(_RESET_PEAK)
        base = _status(process, "VmRSS")
        forward()
        return Quantity(value=float(max(0, _status(process, "VmHWM") - base)), unit="bytes")
    except (OSError, LookupError, ValueError) as error:
        return Quantity(unit="bytes", reason=f"the system does not tell: {error}")


def _status(process: Path, key: str) -> int:
    """Bytes of an entry of the process's status.

    Raises:
        LookupError: It has no such entry.
    """
    for line in (process / "status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == key:
            return int(value.split()[0]) * 1024
    raise LookupError(f"no {key}")
