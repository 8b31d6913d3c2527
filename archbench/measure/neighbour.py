"""Does another process use the GPU while it is measured on, or something slow it down?"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from archbench.measure.gpu import open_nvml

BUSY_LIMIT = 0.02
"""The share of the GPU that others may use: what is less hardly shows in any time."""


class GpuDriver(Protocol):
    """What is asked of a GPU's driver, see ``archbench.measure.gpu.Nvml``."""

    def processes(self) -> dict[int, int] | None:
        """Bytes by process."""
        ...

    def busy(self, since_us: int) -> tuple[dict[int, float], int] | None:
        """Shares by process since a time, and the newest time."""
        ...

    def slowed(self) -> tuple[str, ...]:
        """What keeps the clocks down."""
        ...


@dataclass(frozen=True, kw_only=True)
class GpuUse:
    """What happened on a GPU between two looks.

    Attributes:
        others: Other processes that hold memory there; None where it is not told.
        busy: Share of the GPU that each of the others used; None where it is not told.
        slowed: What kept the clocks down at the second look.
    """

    others: int | None = None
    busy: Mapping[int, float] | None = None
    slowed: tuple[str, ...] = ()

    @property
    def disturbance(self) -> str:
        """Why times taken meanwhile are doubtful; empty where they are not."""
        reasons = []
        share = sum((self.busy or {}).values())
        if share > BUSY_LIMIT:
            named = ", ".join(str(pid) for pid in sorted(self.busy or {}))
            reasons.append(f"another process on the GPU used it for {share:.0%} (process {named})")
        if self.slowed:
            reasons.append(f"the GPU's clocks were kept down by {' and '.join(self.slowed)}")
        return "; ".join(reasons)

    @property
    def note(self) -> str:
        """Who is there without being known to work; empty where nobody is."""
        if not self.others or self.busy is not None:
            return ""
        number = f"{self.others} other process{'es' if self.others > 1 else ''}"
        return f"{number} on the GPU; whether they work is not told"


@dataclass(kw_only=True)
class GpuWatch:
    """Looks at a GPU now and then; each look tells of the time since the one before.

    In a container the driver knows processes by other ids than they have inside. Then none of
    those on the GPU has ours, and the one that used it most is taken for this process.

    Attributes:
        driver: What is asked.
        own: Id of this process.
    """

    driver: GpuDriver
    own: int = field(default_factory=os.getpid)
    _since_us: int = 0

    def look(self, *, works: bool = True) -> GpuUse:
        """What happened since the last look; at the first, since the driver's memory begins.

        Args:
            works: Whether this process used the GPU meanwhile.
        """
        held, told = self.driver.processes(), self.driver.busy(self._since_us)
        busy: dict[int, float] | None = None
        if told is not None:
            busy, self._since_us = dict(told[0]), told[1]
            if self.own in busy or self.own in (held or {}):
                busy.pop(self.own, None)
            elif busy and works:
                del busy[max(busy, key=busy.__getitem__)]
        return GpuUse(
            others=None if held is None else max(0, len(held) - 1),
            busy=busy,
            slowed=self.driver.slowed(),
        )


def gpu_watch(device: str, *, driver: Callable[[], GpuDriver | str] = open_nvml) -> GpuWatch | None:
    """What watches the device; None on a CPU, or where the driver says nothing."""
    if device != "cuda":
        return None
    found = driver()
    return None if isinstance(found, str) else GpuWatch(driver=found)
