"""Pinning, threads and garbage collection: set for a measurement, restored after it."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Iterator

import pytest
import torch

from archbench.errors import UsageError
from archbench.measure.device import devices, measuring_cores, require_device, settled
from archbench.measure.environment import capture_environment
from archbench.study.environment import usable_cores

pinning = pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity"), reason="this system cannot pin threads"
)


@pytest.fixture
def collecting() -> Iterator[None]:
    was_enabled = gc.isenabled()
    gc.enable()
    yield
    if not was_enabled:
        gc.disable()


def test_cpu_is_always_there() -> None:
    assert devices()[0] == "cpu"
    require_device("cpu")


@pinning
def test_pins_and_restores() -> None:
    before = os.sched_getaffinity(0)
    with settled(threads=1) as seat:
        assert os.sched_getaffinity(0) == set(seat.cores) == {max(before)}
        assert seat.note == ""
    assert os.sched_getaffinity(0) == before


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
        with settled(threads=2) as seat:
            assert os.sched_getaffinity(ids[0]) == set(seat.cores)
        assert os.sched_getaffinity(ids[0]) == first
    finally:
        release.set()
        other.join()


@pinning
def test_restores_after_an_error(collecting: None) -> None:
    before = os.sched_getaffinity(0), torch.get_num_threads()
    with pytest.raises(ZeroDivisionError), settled(threads=1):
        _ = 1 / 0
    assert (os.sched_getaffinity(0), torch.get_num_threads()) == before
    assert gc.isenabled()


def test_sets_threads_and_restores() -> None:
    torch.set_num_threads(2)
    with settled(threads=1):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 2


def test_collects_no_garbage_meanwhile(collecting: None) -> None:
    with settled(threads=1):
        assert not gc.isenabled()
        assert gc.get_freeze_count() > 0
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


def test_where_nothing_can_be_pinned_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("os.sched_setaffinity", raising=False)
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    assert measuring_cores(1) == ()
    with settled(threads=1) as seat:
        assert seat.cores == ()
        assert seat.note == "not pinned: Darwin cannot pin a thread to a core"


def test_more_threads_than_cores_are_refused() -> None:
    cores = usable_cores()
    with pytest.raises(UsageError, match=f"{cores + 1} threads cannot .* use 1 to {cores}"):
        measuring_cores(cores + 1)


def test_environment_names_the_gpu_or_none() -> None:
    assert (capture_environment().gpu is None) == (not torch.cuda.is_available())
