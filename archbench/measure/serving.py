"""How does a network serve: slow passes, images a second, memory, energy?"""

from __future__ import annotations

import ctypes
import platform
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from archbench.measure.gpu import open_nvml
from archbench.measure.latency.calibration import CalibratedBench
from archbench.measure.latency.clock import Clock, Forward, Timing
from archbench.measure.latency.estimate import quantile
from archbench.progress import Progress
from archbench.study.measurement import Conditions

POWERCAP = Path("/sys/class/powercap")

_LEAST_PASSES, _MOST_PASSES = 20, 400
_FOR_P99 = 100
_PROCESS = Path("/proc/self")
_RESET_PEAK = "5"  # what proc(5) calls resetting the peak resident set
_COUNTED_S, _LEAST_COUNTED = 1.0, 5  # of passes whose energy is counted


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """One number with its unit.

    Attributes:
        unit: For example ``bytes``.
        value: None where it could not be had.
        reason: Why there is no value; empty where there is one.
    """

    unit: str
    value: float | None = None
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Service:
    """How one network serves at one batch.

    Attributes:
        conditions: Under which.
        ms: The calibrated time of a batch, as latencies are.
        wall_ms: Every pass on the wall clock, as it was: whatever else the machine did shows.
        p50: Their median.
        p95: What 95 % of them stayed below.
        p99: Likewise; not available from fewer than 100 passes.
        peak: Memory of a pass, see ``peak_memory``.
        energy: Of an image, see ``energy_per_image``.
        off_cpu: Share of the time without a core; None on a GPU.
    """

    conditions: Conditions
    ms: float
    wall_ms: tuple[float, ...]
    p50: Quantity
    p95: Quantity
    p99: Quantity
    peak: Quantity
    energy: Quantity
    off_cpu: float | None

    @property
    def images_per_second(self) -> float:
        """By the calibrated time."""
        return 1e3 * self.conditions.batch / self.ms


def serve(
    forward: Forward,
    *,
    bench: CalibratedBench,
    budget_s: float = 2.0,
    on_progress: Progress | None = None,
) -> Service:
    """Runs a network as a service would, in turn with a calibration network.

    At least 20 passes are made, however short the budget.
    """
    conditions, clock = bench.conditions, bench.clock
    until = clock.wall() + budget_s
    constant_ms, reference = bench.nearest_reference(forward, until=until)
    timings: list[Timing] = []
    compared: list[Timing] = []
    while len(timings) < _LEAST_PASSES or (len(timings) < _MOST_PASSES and clock.wall() < until):
        compared.append(bench.watch(reference))
        timings.append(bench.watch(forward))
        if on_progress:
            on_progress(f"serving batch {conditions.batch}", len(timings), _MOST_PASSES)
    walls = tuple(timing.wall * 1e3 for timing in timings)
    p99 = Quantity(unit="ms", reason=f"fewer than {_FOR_P99} passes were made")
    if len(walls) >= _FOR_P99:
        p99 = Quantity(value=quantile(walls, 0.99), unit="ms")
    return Service(
        conditions=conditions,
        ms=bench.mean_ms(timings) / bench.mean_ms(compared) * constant_ms,
        wall_ms=walls,
        p50=Quantity(value=quantile(walls, 0.5), unit="ms"),
        p95=Quantity(value=quantile(walls, 0.95), unit="ms"),
        p99=p99,
        peak=peak_memory(forward, device=conditions.device),
        energy=energy_per_image(
            forward, device=conditions.device, batch=conditions.batch, clock=clock
        ),
        off_cpu=bench.off_cpu(timings),
    )


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
    """Bytes of an entry of the process's status."""
    found = re.search(rf"^{key}:\s*(\d+)", (process / "status").read_text(), re.MULTILINE)
    if found is None:
        raise LookupError(f"no {key}")
    return int(found[1]) * 1024


def energy_per_image(
    forward: Forward, *, device: str, batch: int, clock: Clock, powercap: Path = POWERCAP
) -> Quantity:
    """Millijoules of one image, over a second of warm passes; not available where nothing counts.

    On a CPU the counters are RAPL's of all packages, as the kernel's powercap tells them; they
    count whatever else the packages do, idle cores included. On a GPU it is NVML's total of the
    board.
    """
    counter = _nvml() if device == "cuda" else _rapl(powercap)
    if isinstance(counter, str):
        return Quantity(unit="mJ", reason=counter)
    passes, until = 0, clock.wall() + _COUNTED_S
    try:
        before = counter()
        while passes < _LEAST_COUNTED or clock.wall() < until:
            forward()
            passes += 1
        if device == "cuda":
            torch.cuda.synchronize()
        joules = counter() - before
    except (OSError, ValueError) as error:
        return Quantity(unit="mJ", reason=f"the counter cannot be read: {error}")
    if joules <= 0:
        return Quantity(unit="mJ", reason="the counter began anew, or did not move")
    return Quantity(value=1e3 * joules / passes / batch, unit="mJ")


def _rapl(powercap: Path) -> Callable[[], float] | str:
    """Joules of all packages so far, or the reason why they are unknown."""
    zones = sorted(powercap.glob("intel-rapl:[0-9]*")) if powercap.is_dir() else []
    packages = [zone / "energy_uj" for zone in zones if zone.name.count(":") == 1]
    packages = [path for path in packages if path.exists()]
    if not packages:
        return f"no RAPL counter in {powercap}; virtual machines mostly have none"
    try:
        for path in packages:
            path.read_text()
    except PermissionError:
        return f"{packages[0]} may be read by root only; chmod a+r on it makes it readable"
    except OSError as error:
        return f"{packages[0]} cannot be read: {error.strerror}"
    return lambda: sum(int(path.read_text()) for path in packages) / 1e6


def _nvml() -> Callable[[], float] | str:
    """Joules of the first GPU's board so far, or the reason why they are unknown."""
    found = open_nvml()
    if isinstance(found, str):
        return found
    try:
        found.joules()
    except OSError:
        return "this GPU does not count its energy"
    return found.joules
