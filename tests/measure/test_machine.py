"""What the system tells of other work and of its clocks, from files as Linux writes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from archbench.measure.machine import Counters, activity, clocks, counters

CPUS = "sys/devices/system/cpu"


def write(root: Path, path: str, text: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


def stat(name: str, *, user: int, system: int) -> str:
    return f"7 ({name}) R 1 7 7 0 -1 0 0 0 0 0 {user} {system} 0 0 20 0 1 0 0\n"


def test_counters_are_read(tmp_path: Path) -> None:
    write(tmp_path, "proc/stat", "cpu  100 5 20 800 3 0 2 70 9 9\ncpu0 1 1 1 1\n")
    write(tmp_path, "proc/4000000/stat", stat("my (odd) name", user=11, system=4))
    for core, count in enumerate((2, 3)):
        write(tmp_path, f"{CPUS}/cpu{core}/thermal_throttle/core_throttle_count", f"{count}\n")
    assert counters(root=tmp_path) == Counters(
        ticks=1000, stolen=70, throttled=5, processes={4000000: ("my (odd) name", 15)}
    )


def test_a_system_that_tells_nothing_is_no_error(tmp_path: Path) -> None:
    nothing = counters(root=tmp_path)
    assert nothing == Counters(ticks=0, stolen=0, throttled=None, processes={})
    found = activity(nothing, nothing, seconds=1.0)
    assert (found.steal_share, found.throttled, found.busy) == (None, None, ())


def test_activity_is_what_came_between() -> None:
    then = {1: ("old", 500), 2: ("idle", 10)}
    now = {1: ("old", 600), 2: ("idle", 12), 3: ("new", 400)}
    before = Counters(ticks=1000, stolen=0, throttled=1, processes=then)
    after = Counters(ticks=2000, stolen=50, throttled=4, processes=now)
    found = activity(before, after, seconds=2.0)
    assert found.steal_share == pytest.approx(0.05)
    assert found.throttled == 3
    assert found.busy == (("new", 2.0), ("old", 0.5))


def test_clocks_are_read(tmp_path: Path) -> None:
    told = ("1200000", "powersave"), ("3400000", "schedutil")
    for core, (current, governor) in enumerate(told):
        folder = f"{CPUS}/cpu{core}/cpufreq"
        write(tmp_path, f"{folder}/scaling_governor", f"{governor}\n")
        write(tmp_path, f"{folder}/scaling_cur_freq", f"{current}\n")
        write(tmp_path, f"{folder}/cpuinfo_max_freq", "4000000\n")
    write(tmp_path, f"{CPUS}/intel_pstate/no_turbo", "1\n")
    found = clocks(root=tmp_path)
    assert found.governor == "powersave, schedutil"
    assert found.current_mhz == (1200.0, 3400.0)
    assert found.most_mhz == 4000.0
    assert found.boost is False


def test_a_guest_tells_its_clock_in_cpuinfo_at_most(tmp_path: Path) -> None:
    write(tmp_path, "proc/cpuinfo", "model name\t: x\ncpu MHz\t\t: 2596.099\n")
    found = clocks(root=tmp_path)
    assert (found.governor, found.current_mhz) == (None, (2596.099, 2596.099))
    assert (found.most_mhz, found.boost) == (None, None)
