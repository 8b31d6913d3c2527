"""How do processes make images ahead of the training that takes them, in order, and end with it?"""

from __future__ import annotations

import math
import mmap
import multiprocessing
import os
import signal
import sys
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np

from archbench.errors import MissingError

_FORKS = sys.platform == "linux"
_INTERRUPTIONS = {signal.SIGINT, signal.SIGHUP}
_make: Callable[[Any, np.ndarray], Any]
_memory: np.ndarray
"""In a worker: what it was started for, and where to write."""


class Workers:
    """Processes that do one kind of task, started at once; with a count of 0 this one does it.

    ``make`` does a task: it writes bytes into an array of a shape, and gives the rest. Workers
    write into memory that they share with this process, which has ``places`` such arrays, so that
    no bytes are copied on their way. It has no name and needs no room in ``/dev/shm``: on Linux it
    is a mapping of these processes alone, and ends with the last of them.

    They are forked where the system can, so that what ``make`` holds is not copied. Ctrl-C and a
    hangup are left to this process, with whose end they end.
    """

    def __init__(
        self,
        make: Callable[[Any, np.ndarray], Any],
        *,
        count: int,
        places: int,
        shape: tuple[int, ...],
    ) -> None:
        self._make = make
        self._shape = shape
        self._pool: ProcessPoolExecutor | None = None
        self._free = deque[int]()
        if count:
            shared = _shared(places * math.prod(shape))
            self._memory = _arrays(shared, shape)
            self._free.extend(range(places))
            how = multiprocessing.get_context("fork" if _FORKS else "spawn")
            self._pool = ProcessPoolExecutor(count, how, _begin, (make, shared, shape))
            with _without_interruptions(), warnings.catch_warnings():
                # of forks beside threads: a worker takes no lock that another thread may hold
                warnings.simplefilter("ignore", DeprecationWarning)
                self._pool.submit(os.getpid).result()

    def in_order(self, tasks: Iterable[Any]) -> Iterator[tuple[np.ndarray, Any]]:
        """Of tasks, in their order, the array and the rest.

        The array is written anew once the next is asked for. As many tasks are begun ahead as
        places are free; where there is none, since another iteration has them, this process does
        the task.

        Raises:
            MissingError: A worker was ended from outside.
        """
        left, begun = iter(tasks), deque[tuple[int, Future[Any]]]()
        try:
            while True:
                begun.extend(self._begun(left))
                if begun:
                    place, future = begun[0]
                    yield self._memory[place], future.result()
                    self._free.append(begun.popleft()[0])
                elif (task := next(left, None)) is not None:
                    array = np.empty(self._shape, np.uint8)
                    yield array, self._make(task, array)
                else:
                    return
        except BrokenProcessPool as error:
            raise MissingError(
                "a worker that prepares images was ended from outside, as the system does where "
                "memory runs out",
                place="workers",
                help="use fewer workers or a smaller batch, and go on from the last checkpoint",
            ) from error
        finally:
            for place, future in begun:
                future.cancel()
                future.add_done_callback(partial(self._leave, place))

    def _begun(self, tasks: Iterator[Any]) -> Iterator[tuple[int, Future[Any]]]:
        """Tasks for all places that are free, begun; each with its place."""
        if self._pool is not None:
            while self._free and (task := next(tasks, None)) is not None:
                place = self._free.popleft()
                yield place, self._pool.submit(_do, task, place)

    def _leave(self, place: int, _: Future[Any]) -> None:
        self._free.append(place)

    def close(self) -> None:
        """End the processes; none is left behind."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)


def _shared(size: int) -> Any:
    """So many bytes that processes which are started later have in common."""
    if _FORKS:
        return mmap.mmap(-1, size)
    return multiprocessing.get_context("spawn").RawArray("B", size)


def _arrays(shared: Any, shape: tuple[int, ...]) -> np.ndarray:
    return np.frombuffer(shared, np.uint8).reshape(-1, *shape)


@contextmanager
def _without_interruptions() -> Iterator[None]:
    """Blocks Ctrl-C and hangups for what is started in the meantime, which keeps them blocked."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _INTERRUPTIONS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin(make: Callable[[Any, np.ndarray], Any], shared: Any, shape: tuple[int, ...]) -> None:
    """Begin as a worker."""
    import torch

    global _make, _memory
    _make, _memory = make, _arrays(shared, shape)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    torch.set_num_threads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _do(task: Any, place: int) -> Any:
    return _make(task, _memory[place])
