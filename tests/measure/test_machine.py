"""Pinning, threads, locks: set for a measurement, restored after it; and what the system tells."""

import gc
import itertools
import os
import re
import threading
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from archbench.errors import StorageError, UsageError
from archbench.measure.machine import (
    Counters,
    activity,
    clocks,
    counters,
    measurement_lock,
    measuring_cores,
    pinned,
    runtime_folder,
)
from archbench.study.environment import usable_cores
from tests.holding import holding

pinning = pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity"), reason="this system cannot pin threads"
)


@pinning
@pytest.mark.skipif(usable_cores() < 2, reason="one core")
def test_several_threads_take_the_whole_process_along() -> None:
    first = {min(os.sched_getaffinity(0))}
    started, release, ids = threading.Event(), threading.Event(), []

    def wait_on_the_first_core() -> None:
        os.sched_setaffinity(0, first)
        ids.append(threading.get_native_id())
        started.set()
        release.wait()

    other = threading.Thread(target=wait_on_the_first_core)
    other.start()
    try:
        started.wait()
        with pinned(threads=2) as pinning:
            assert os.sched_getaffinity(ids[0]) == set(pinning.cores)
        assert os.sched_getaffinity(ids[0]) == first
    finally:
        release.set()
        other.join()


@pinning
def test_pins_sets_threads_collects_no_garbage_and_restores_after_an_error() -> None:
    torch.set_num_threads(2)
    before = os.sched_getaffinity(0)
    gc.enable()
    with suppress(ZeroDivisionError), pinned(threads=1) as pinning:
        assert os.sched_getaffinity(0) == set(pinning.cores) == {max(before)}
        assert (pinning.note, torch.get_num_threads()) == ("", 1)
        assert not gc.isenabled()
        assert gc.get_freeze_count() > 0
        _ = 1 / 0
    assert (os.sched_getaffinity(0), torch.get_num_threads()) == (before, 2)
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


def test_where_nothing_can_be_pinned_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("os.sched_setaffinity", raising=False)
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    assert measuring_cores(1) == ()
    with pinned(threads=1) as pinning:
        assert pinning.cores == ()
        assert pinning.note == "not pinned: Darwin cannot pin a thread to a core"


@pytest.mark.parametrize("threads", [0, usable_cores() + 1])
def test_more_threads_than_cores_are_refused(threads: int) -> None:
    with pytest.raises(UsageError, match=f"{threads} threads cannot .* use 1 to {usable_cores()}"):
        measuring_cores(threads)


HOLDER = """
import sys
from pathlib import Path
from archbench.measure.machine import measurement_lock
with measurement_lock("cpu", folder=Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_measurement_says_who_measures_and_begins_when_that_one_was_killed(
    tmp_path: Path,
) -> None:
    told: list[str] = []
    seconds = itertools.count(step=2)
    with holding(HOLDER, tmp_path) as process:
        with (
            pytest.raises(
                StorageError, match=rf"process {process.pid}\b.* has been measuring on cpu"
            ),
            measurement_lock("cpu", folder=tmp_path, patience_s=0.0),
        ):
            pass

        def clock() -> float:
            if told:
                process.kill()
            return float(next(seconds))

        with measurement_lock(
            "cpu", folder=tmp_path, on_progress=lambda what, *_: told.append(what), clock=clock
        ):
            pass
    (text,) = told
    assert re.fullmatch(rf"waiting for process {process.pid}\b.*, which measures on cpu", text)


def test_locks_are_of_a_device_and_free_after_an_error_and_their_folder_is_named(
    tmp_path: Path,
) -> None:
    for _ in range(2):
        with (
            pytest.raises(ZeroDivisionError),
            measurement_lock("cpu", folder=tmp_path, patience_s=0.0),
            measurement_lock("cuda", folder=tmp_path, patience_s=0.0),
        ):
            _ = 1 / 0
    with (
        pytest.raises(StorageError, match=r"none/measure-cpu\.lock: the measurement lock cannot"),
        measurement_lock("cpu", folder=tmp_path / "none"),
    ):
        pass


def test_runtime_folder_is_the_user_s_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "mine"))
    assert runtime_folder() == tmp_path / "mine" / "archbench"
    assert runtime_folder().stat().st_mode & 0o777 == 0o700
    monkeypatch.delenv("XDG_RUNTIME_DIR")  # without a login it lies with temporary files
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert runtime_folder().parent == tmp_path
    assert runtime_folder().name.startswith("archbench-")


def test_runtime_folder_that_cannot_be_made_or_is_another_user_s_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "file"))
    with pytest.raises(StorageError, match="the runtime folder cannot be made"):
        runtime_folder()
    owner = tmp_path.stat().st_uid
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr("os.getuid", lambda: owner + 1)
    with pytest.raises(StorageError, match="belongs to another user"):
        runtime_folder()


CPUS = "sys/devices/system/cpu"


def write(root: Path, path: str, text: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


def test_counters_are_read(tmp_path: Path) -> None:
    write(tmp_path, "proc/stat", "cpu  100 5 20 800 3 0 2 70 9 9\ncpu0 1 1 1 1\n")
    told = "7 (my (odd) name) R 1 7 7 0 -1 0 0 0 0 0 11 4 0 0 20 0 1 0 0\n"
    write(tmp_path, "proc/4000000/stat", told)
    for core, count in enumerate((2, 3)):
        write(tmp_path, f"{CPUS}/cpu{core}/thermal_throttle/core_throttle_count", f"{count}\n")
    assert counters(root=tmp_path) == Counters(
        ticks=1000, stolen=70, throttled=5, processes={4000000: ("my (odd) name", 15)}
    )


def test_activity_is_what_came_between_and_none_where_nothing_is_told(tmp_path: Path) -> None:
    nothing = counters(root=tmp_path)
    assert nothing == Counters(ticks=0, stolen=0, throttled=None, processes={})
    unknown = activity(nothing, nothing, seconds=1.0)
    assert unknown == {"steal_share": None, "throttled": None, "busy": []}
    then = {1: ("old", 500), 2: ("idle", 10)}
    now = {1: ("old", 600), 2: ("idle", 12), 3: ("new", 400)}
    before = Counters(ticks=1000, stolen=0, throttled=1, processes=then)
    after = Counters(ticks=2000, stolen=50, throttled=4, processes=now)
    assert activity(before, after, seconds=2.0) == {
        "steal_share": pytest.approx(0.05),
        "throttled": 3,
        "busy": [("new", 2.0), ("old", 0.5)],
    }


def test_clocks_are_read(tmp_path: Path) -> None:
    told = ("1200000", "powersave"), ("3400000", "schedutil")
    for core, (current, governor) in enumerate(told):
        folder = f"{CPUS}/cpu{core}/cpufreq"
        write(tmp_path, f"{folder}/scaling_governor", f"{governor}\n")
        write(tmp_path, f"{folder}/scaling_cur_freq", f"{current}\n")
        write(tmp_path, f"{folder}/cpuinfo_max_freq", "4000000\n")
    write(tmp_path, f"{CPUS}/intel_pstate/no_turbo", "1\n")
    assert clocks(root=tmp_path) == {
        "governor": "powersave, schedutil",
        "current_mhz": (1200.0, 3400.0),
        "most_mhz": 4000.0,
        "boost": False,
    }


def test_a_guest_tells_its_clock_in_cpuinfo_at_most(tmp_path: Path) -> None:
    write(tmp_path, "proc/cpuinfo", "model name\t: x\ncpu MHz\t\t: 2596.099\n")
    found = clocks(root=tmp_path)
    assert [*found.values()] == [None, (2596.099, 2596.099), None, None]
