"""What does the driver of an NVIDIA GPU tell: energy, who else uses it, what slows it down?

NVML comes with the driver as a C library, so nothing needs to be installed. Fields and functions
are those of its API reference (docs.nvidia.com/deploy/nvml-api).
"""

import ctypes
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import torch

BUSY_LIMIT = 0.02
"""The share of the GPU that others may use: what is less hardly shows in any time."""

_LIBRARY = "libnvidia-ml.so.1"
_MOST_PROCESSES = 256
_SLOWED: Mapping[int, str] = {
    0x04: "its power limit",
    0x08: "a hardware slowdown",
    0x20: "heat",
    0x40: "heat",
    0x80: "the power supply",
}


class Nvml:
    """The first GPU of this process, as NVML knows it; its functions give 0 where they succeed."""

    def __init__(self, library: Any, handle: object) -> None:
        self._library, self._handle = library, handle

    def joules(self) -> float:
        """Energy of the board so far.

        Raises:
            OSError: It is not counted.
        """
        total = ctypes.c_ulonglong()
        ask = self._library.nvmlDeviceGetTotalEnergyConsumption
        if ask(self._handle, ctypes.byref(total)):
            raise OSError("this GPU does not count its energy")
        return total.value / 1e3

    def processes(self) -> set[int] | None:
        """Processes that hold memory there, by their ids on the host; None where it is unknown."""
        found, number = (_Process * _MOST_PROCESSES)(), ctypes.c_uint(_MOST_PROCESSES)
        ask = self._library.nvmlDeviceGetComputeRunningProcesses_v3
        failed = ask(self._handle, ctypes.byref(number), found)
        return None if failed else {entry.pid for entry in found[: number.value]}

    def busy(self, since_us: int) -> tuple[dict[int, float], int] | None:
        """The mean share of the GPU that each process used since a time, and the newest time.

        None where it is not told, as on some virtual GPUs; NVML fails, too, where there is no
        sample, which is an answer: nobody used it.
        """
        found, number = (_Sample * _MOST_PROCESSES)(), ctypes.c_uint(_MOST_PROCESSES)
        ask = self._library.nvmlDeviceGetProcessUtilization
        failed = ask(self._handle, found, ctypes.byref(number), ctypes.c_ulonglong(since_us))
        if failed == _NOT_FOUND:
            return {}, since_us
        if failed:
            return None
        shares: dict[int, list[float]] = {}
        fresh = [entry for entry in found[: number.value] if entry.time_us > since_us]
        for entry in fresh:
            shares.setdefault(entry.pid, []).append(entry.cores / 100)
        newest = max((entry.time_us for entry in fresh), default=since_us)
        return {pid: sum(values) / len(values) for pid, values in shares.items()}, newest

    def slowed(self) -> tuple[str, ...]:
        """What keeps the clocks down at this moment."""
        reasons = ctypes.c_ulonglong()
        ask = self._library.nvmlDeviceGetCurrentClocksThrottleReasons
        if ask(self._handle, ctypes.byref(reasons)):
            return ()
        return tuple(sorted({what for bit, what in _SLOWED.items() if reasons.value & bit}))


def open_nvml() -> Nvml:
    """NVML for the first GPU of this process.

    Raises:
        OSError: There is none.
    """
    try:
        library = ctypes.CDLL(_LIBRARY)
    except OSError as error:
        raise OSError(f"NVML is not there ({_LIBRARY})") from error
    handle = ctypes.c_void_p()
    uuid = f"GPU-{torch.cuda.get_device_properties(0).uuid}".encode()
    if library.nvmlInit_v2() or library.nvmlDeviceGetHandleByUUID(uuid, ctypes.byref(handle)):
        raise OSError("NVML does not know this GPU")
    return Nvml(library, handle)


_NOT_FOUND = 6
_UINT, _ULONG = ctypes.c_uint, ctypes.c_ulonglong


class _Process(ctypes.Structure):
    """nvmlProcessInfo_t; the last two are instances of the GPU and of its compute part."""

    _fields_ = (("pid", _UINT), ("bytes", _ULONG), ("gpu", _UINT), ("compute", _UINT))


class _Sample(ctypes.Structure):
    """nvmlProcessUtilizationSample_t."""

    _shares = ("cores", "memory", "encoder", "decoder")
    _fields_ = (("pid", _UINT), ("time_us", _ULONG), *((name, _UINT) for name in _shares))


@dataclass(kw_only=True)
class GpuWatch:
    """Reads a GPU's counters now and then; each reading tells of the time since the one before.

    In a container the driver knows processes by other ids than they have inside. Then none of
    those on the GPU has ours, and the one that used it most is taken for this process.
    """

    driver: Nvml
    own: int = field(default_factory=os.getpid)
    _since_us: int = 0

    def use(self, *, works: bool = True) -> dict[str, str]:
        """What happened since the last reading; at the first, since the driver's memory begins.

        The ``disturbance`` is why times taken meanwhile are uncertain, the ``note`` who is there
        without being known to work; both are mostly empty. Where this process did not work on the
        GPU meanwhile, whoever did is another.
        """
        held, told = self.driver.processes(), self.driver.busy(self._since_us)
        busy: dict[int, float] = {}
        if told is not None:
            busy, self._since_us = dict(told[0]), told[1]
            if self.own in busy or self.own in (held or ()):
                busy.pop(self.own, None)
            elif busy and works:
                del busy[max(busy, key=busy.__getitem__)]
        reasons, note, others, share = [], "", len(held or ()) - 1, sum(busy.values())
        if share > BUSY_LIMIT:
            named = ", ".join(map(str, sorted(busy)))
            reasons.append(f"another process on the GPU used it for {share:.0%} (process {named})")
        if slowed := self.driver.slowed():
            reasons.append(f"the GPU's clocks were kept down by {' and '.join(slowed)}")
        if others > 0 and told is None:
            number = f"{others} other process{'es' if others > 1 else ''}"
            note = f"{number} on the GPU; whether they work is not told"
        return {"disturbance": "; ".join(reasons), "note": note}


def gpu_watch(device: str, *, driver: Callable[[], Nvml] = open_nvml) -> GpuWatch | None:
    """A watch over the device; None on a CPU, or where there is no driver to ask."""
    with suppress(OSError):
        return GpuWatch(driver=driver()) if device == "cuda" else None
    return None
