"""Do workers write in order into memory that they share, whatever becomes of an iteration?"""

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from archbench.data import workers
from archbench.data.workers import Workers


def _square(task: int, array: np.ndarray) -> int:
    array[:] = task * task % 256
    return os.getpid()


@contextmanager
def _squares(count: int = 2) -> Iterator[Workers]:
    found = Workers(_square, count=count, places=5, shape=(2, 3))
    try:
        yield found
    finally:
        found.close()


def _are_in_order(found: Workers, number: int = 40) -> bool:
    made = ((array.copy(), pid) for array, pid in found.in_order(range(number)))
    return all((array == task * task % 256).all() for task, (array, _) in enumerate(made))


@pytest.mark.parametrize("count", [0, 1, 3])
def test_arrays_come_in_the_order_of_their_tasks(count: int) -> None:
    with _squares(count) as found:
        assert _are_in_order(found)


@pytest.mark.slow
def test_where_processes_are_not_forked_arrays_are_shared_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(workers, "_FORKS", False)
    with _squares(1) as found:
        assert _are_in_order(found)


def test_an_iteration_that_is_left_gives_its_places_back() -> None:
    with _squares() as found:
        for number in range(20):
            begun = found.in_order(range(40))
            assert len(list(itertools.islice(begun, number % 4))) == number % 4
            begun.close()
        assert _are_in_order(found)
        assert os.getpid() not in [pid for _, pid in found.in_order(range(40))]


def test_an_iteration_that_finds_no_place_is_done_by_this_process() -> None:
    with _squares() as found:
        first = found.in_order(range(40))
        next(first)
        assert {pid for _, pid in found.in_order(range(8))} == {os.getpid()}
        assert _are_in_order(found)
        assert [int(array[0, 0]) for array, _ in first] == [n * n % 256 for n in range(1, 40)]
