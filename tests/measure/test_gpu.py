"""Who else uses the GPU, told by a driver that a test makes up."""

import ctypes
from typing import Any

import pytest

from archbench.measure.gpu import BUSY_LIMIT, GpuWatch, Nvml, gpu_watch
from archbench.measure.latency.latency import measure_latency
from tests.measure.conftest import FakeClock, MakeBench, Ticking

OWN = 77


class Driver(Nvml):
    """A driver that tells what it was told."""

    def __init__(
        self,
        *,
        held: set[int] | None = None,
        busy: dict[int, float] | None = None,
        slowed: tuple[str, ...] = (),
    ) -> None:
        self.held, self.shares, self.what = held, busy, slowed
        self.asked: list[int] = []

    def processes(self) -> set[int] | None:
        return self.held

    def busy(self, since_us: int) -> tuple[dict[int, float], int] | None:
        self.asked.append(since_us)
        return None if self.shares is None else (self.shares, since_us + 1000)

    def slowed(self) -> tuple[str, ...]:
        return self.what


NOTHING = {"disturbance": "", "note": ""}


def use(**told: Any) -> dict[str, str]:
    return GpuWatch(driver=Driver(**told), own=OWN).use()


def used(share: int, *, by: int) -> dict[str, str]:
    reason = f"another process on the GPU used it for {share}% (process {by})"
    return {"disturbance": reason, "note": ""}


def test_another_process_that_works_and_slow_clocks_disturb_and_nothing_else() -> None:
    assert use(held={OWN}, busy={OWN: 0.9}) == NOTHING
    assert use(held={OWN, 9}, busy={OWN: 0.5}) == NOTHING  # it rests
    assert use(slowed=("heat",))["disturbance"] == "the GPU's clocks were kept down by heat"
    assert use(held={OWN, 9}, busy={OWN: 0.5, 9: 0.37}) == used(37, by=9)
    assert use(held={OWN, 9}, busy={OWN: 0.5, 9: BUSY_LIMIT}) == NOTHING


def test_where_work_is_not_told_who_is_there_is_noted() -> None:
    note = "2 other processes on the GPU; whether they work is not told"
    assert use(held={OWN, 9, 10}) == {"disturbance": "", "note": note}
    assert use(held={OWN}) == use() == NOTHING


def test_in_a_container_the_busiest_is_taken_for_this_process_unless_it_rests() -> None:
    assert use(held={5, 9}, busy={5: 0.6, 9: 0.3}) == used(30, by=9)
    watch = GpuWatch(driver=Driver(held={9}, busy={9: 0.3}), own=OWN)
    assert watch.use(works=False) == used(30, by=9)


def test_each_reading_asks_for_the_time_since_the_last() -> None:
    driver = Driver(held=set(), busy={})
    watch = GpuWatch(driver=driver, own=OWN)
    for _ in range(3):
        watch.use()
    assert driver.asked == [0, 1000, 2000]


def missing() -> Nvml:
    raise OSError("NVML is not there")


def test_nobody_watches_a_cpu_nor_asks_a_driver_that_is_not_there() -> None:
    assert gpu_watch("cpu") is None
    assert gpu_watch("cuda", driver=missing) is None
    assert gpu_watch("cuda", driver=Driver) is not None


@pytest.mark.parametrize("others", [{}, {9: 0.4}], ids=["alone", "beside another"])
def test_a_measurement_beside_another_process_is_disturbed(
    clock: FakeClock, bench: MakeBench, others: dict[int, float]
) -> None:
    watch = GpuWatch(driver=Driver(held={OWN}, busy={OWN: 0.5, **others}), own=OWN)
    found = measure_latency({"it": Ticking(clock, 3.0)}, bench=bench(), gpu=watch)["it"]
    assert found.verdict == ("disturbed" if others else "stable")
    assert found.reason == (used(40, by=9)["disturbance"] if others else "")


class Library:
    """NVML's functions as a C library has them: arguments by reference, 0 for success."""

    def __init__(self, *, code: int = 0) -> None:
        self.code = code

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: object, total: Any) -> int:
        total._obj.value = 12_345
        return self.code

    def nvmlDeviceGetComputeRunningProcesses_v3(
        self, handle: object, number: Any, found: Any
    ) -> int:
        found[0].pid, found[0].bytes, number._obj.value = 5, 2**30, 1
        return self.code

    def nvmlDeviceGetProcessUtilization(
        self, handle: object, found: Any, number: Any, since: ctypes.c_ulonglong
    ) -> int:
        rows = [(5, since.value + 10, 20), (5, since.value + 20, 40), (9, since.value, 90)]
        for i, (pid, time_us, cores) in enumerate(rows):
            found[i].pid, found[i].time_us, found[i].cores = pid, time_us, cores
        number._obj.value = len(rows)
        return self.code

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, handle: object, reasons: Any) -> int:
        reasons._obj.value = 0x20 | 0x40 | 0x01 | 0x04
        return self.code


def test_the_driver_is_read() -> None:
    nvml = Nvml(Library(), None)
    assert nvml.joules() == pytest.approx(12.345)
    assert nvml.processes() == {5}
    told = nvml.busy(100)
    assert told is not None
    assert told[0] == pytest.approx({5: 0.3})  # the sample at 100 was seen before
    assert told[1] == 120
    assert nvml.slowed() == ("heat", "its power limit")


def test_a_driver_that_fails_tells_nothing() -> None:
    nvml = Nvml(Library(code=3), None)
    assert (nvml.processes(), nvml.busy(0), nvml.slowed()) == (None, None, ())
    with pytest.raises(OSError, match="does not count its energy"):
        nvml.joules()
    assert Nvml(Library(code=6), None).busy(7) == ({}, 7)
