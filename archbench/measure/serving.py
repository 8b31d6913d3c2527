"""How does a network serve: slow passes, images a second, memory, energy?"""

import ctypes
import os
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from archbench.measure.backend import placed
from archbench.measure.gpu import open_nvml
from archbench.measure.latency.calibration import CalibratedBench
from archbench.measure.latency.clock import Clock, Forward, Timing
from archbench.measure.latency.estimate import quantile
from archbench.measure.machine import torch_threads
from archbench.study.measurement import Conditions

_POWERCAP = Path("/sys/class/powercap")
_PROCESS = Path("/proc/self")
_LEAST_PASSES, _MOST_PASSES = 20, 400
_FOR_P99 = 100
_COUNTED_S, _LEAST_COUNTED = 1.0, 5  # of passes whose energy is counted


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """One number with its unit, or the reason why there is no value."""

    unit: str
    value: float | None = None
    reason: str = ""


def serve(forward: Forward, *, bench: CalibratedBench, budget_s: float = 2.0) -> dict[str, Any]:
    """Runs a network as a service would at one batch, in turn with a calibration network.

    At least 20 passes are made, however short the budget. Of the JSON-able results ``ms`` is the
    calibrated time of a batch, as latencies are, ``wall_ms`` every pass on the wall clock, as it
    was: whatever else the machine did shows. ``off_cpu`` is None on a GPU; for ``peak`` and
    ``energy`` see `peak_memory` and `energy_per_image`.
    """
    conditions, clock = bench.conditions, bench.clock
    until = bench.now() + budget_s
    constant_ms, reference = bench.nearest_reference(forward, until=until)
    timings: list[Timing] = []
    compared: list[Timing] = []
    while len(timings) < _LEAST_PASSES or (len(timings) < _MOST_PASSES and bench.now() < until):
        for taken, run in ((compared, reference), (timings, forward)):
            pass_s = bench.seconds(taken[-1]) if taken else 0.0
            taken.append(bench.repeated(run, pass_s=pass_s))
        bench.tell(f"serving batch {conditions.batch}, passes", len(timings), _MOST_PASSES)
    walls = tuple(timing.wall * 1e3 for timing in timings)
    tails = [Quantity(unit="ms", value=quantile(walls, share)) for share in (0.5, 0.95, 0.99)]
    if len(walls) < _FOR_P99:
        tails[2] = Quantity(unit="ms", reason=f"fewer than {_FOR_P99} passes were made")
    ms = bench.mean_ms(timings) / bench.mean_ms(compared) * constant_ms
    return {
        "conditions": asdict(conditions),
        "ms": ms,
        "wall_ms": walls,
        "p50": asdict(tails[0]),
        "p95": asdict(tails[1]),
        "p99": asdict(tails[2]),
        "peak": asdict(peak_memory(forward, device=conditions.device)),
        "energy": asdict(energy_per_image(forward, conditions=conditions, clock=clock)),
        "off_cpu": bench.off_cpu(timings),
        "images_per_second": 1e3 * conditions.batch / ms,
    }


def peak_memory(forward: Forward, *, device: str, process: Path = _PROCESS) -> Quantity:
    """Bytes of one pass at its peak, above what was held before: weights do not count.

    On a GPU the allocator tells. On a CPU the process gives freed memory back, the system's mark
    of its largest resident set is reset, and a pass is run; the mark is coarse, some pages of 4
    kB for each thread. The pass has run before, so that nothing is set up any more.
    """
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        base = torch.cuda.memory_allocated()
        forward()
        torch.cuda.synchronize()
        return Quantity(value=float(torch.cuda.max_memory_allocated() - base), unit="bytes")
    status = process / "status"
    try:
        ctypes.CDLL(None).malloc_trim(0)
        (process / "clear_refs").write_text("5")  # resets the peak resident set, see proc(5)
        base_kb = int(re.findall(r"^VmRSS:\s*(\d+)", status.read_text(), re.MULTILINE)[0])
        forward()
        peak_kb = int(re.findall(r"^VmHWM:\s*(\d+)", status.read_text(), re.MULTILINE)[0])
    except (OSError, LookupError, AttributeError) as error:  # the last where it is not glibc
        return Quantity(unit="bytes", reason=f"the system does not tell: {error}")
    return Quantity(unit="bytes", value=1024.0 * max(0, peak_kb - base_kb))


def peak_memory_of(network: nn.Module, *, conditions: Conditions) -> Quantity:
    """The memory of one more pass, or why it could not be told."""
    if conditions.backend != "eager":
        return Quantity(unit="bytes", reason=f"the backend {conditions.backend} does not tell")
    images = torch.zeros(conditions.batch, 3, *conditions.resolution)
    ready, images = placed(network, images, conditions=conditions)
    with torch_threads(conditions.threads), torch.inference_mode():
        ready(images)
        return peak_memory(lambda: ready(images), device=conditions.device)


def energy_per_image(
    forward: Forward, *, conditions: Conditions, clock: Clock, powercap: Path = _POWERCAP
) -> Quantity:
    """Millijoules of one image, over a second of warm passes; not available where nothing counts.

    On a CPU the counters are RAPL's of all packages, as the kernel's powercap tells them; they
    count whatever else the packages do, idle cores included. On a GPU it is NVML's total of the
    board.
    """
    is_gpu, passes, until = conditions.device == "cuda", 0, clock.wall() + _COUNTED_S
    try:
        counted = open_nvml().joules if is_gpu else _rapl(powercap)
        before = counted()
        while passes < _LEAST_COUNTED or clock.wall() < until:
            forward()
            passes += 1
        if is_gpu:
            torch.cuda.synchronize()
        joules = counted() - before
    except (OSError, ValueError) as error:
        return Quantity(unit="mJ", reason=str(error))
    if joules <= 0:
        return Quantity(unit="mJ", reason="the counter began anew, or did not move")
    return Quantity(unit="mJ", value=1e3 * joules / passes / conditions.batch)


def _rapl(powercap: Path) -> Callable[[], float]:
    """Joules of all packages so far."""
    files = sorted(powercap.glob("intel-rapl:[0-9]*/energy_uj"))
    packages = [path for path in files if path.parent.name.count(":") == 1]
    if not packages:
        raise OSError(f"no RAPL counter in {powercap}; virtual machines mostly have none")
    if not os.access(packages[0], os.R_OK):
        do = "chmod a+r on it makes it readable"
        raise PermissionError(f"{packages[0]} may be read by root only; {do}")
    return lambda: sum(int(path.read_text()) for path in packages) / 1e6
