"""How much energy does an image cost, where the hardware counts it?

On a CPU the counters are RAPL's of all packages, as the kernel's powercap tells them; they count
whatever else the packages do, idle cores included. On a GPU it is NVML's total of the board.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from archbench.measure.gpu import open_nvml
from archbench.measure.latency.clock import Clock, Forward
from archbench.measure.quantity import Quantity

POWERCAP = Path("/sys/class/powercap")
UNIT = "mJ"

_SECONDS = 1.0
_LEAST_PASSES = 5


def energy_per_image(
    forward: Forward, *, device: str, batch: int, clock: Clock, powercap: Path = POWERCAP
) -> Quantity:
    """Millijoules of one image, over a second of passes; not available where nothing counts.

    Args:
        forward: One pass, warm.
        device: ``cpu`` or ``cuda``.
        batch: Images of a pass.
        clock: Where time comes from.
        powercap: Where the kernel keeps RAPL's counters.
    """
    counter = _nvml() if device == "cuda" else _rapl(powercap)
    if isinstance(counter, str):
        return Quantity(unit=UNIT, reason=counter)
    passes, until = 0, clock.wall() + _SECONDS
    try:
        before = counter()
        while passes < _LEAST_PASSES or clock.wall() < until:
            forward()
            passes += 1
        if device == "cuda":
            torch.cuda.synchronize()
        joules = counter() - before
    except (OSError, ValueError) as error:
        return Quantity(unit=UNIT, reason=f"the counter cannot be read: {error}")
    if joules <= 0:
        return Quantity(unit=UNIT, reason="the counter began anew, or did not move")
    return Quantity(value=1e3 * joules / passes / batch, unit=UNIT)


def _rapl(powercap: Path) -> Callable[[], float] | str:
    """Joules of all packages so far, or why nobody knows."""
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
    """Joules of the first GPU's board so far, or why nobody knows."""
    found = open_nvml()
    if isinstance(found, str):
        return found
    if found.joules() is None:
        return "this GPU does not count its energy"

    def joules() -> float:
        total = found.joules()
        if total is None:
            raise OSError("NVML does not answer any more")
        return total

    return joules
