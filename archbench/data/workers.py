"""How do processes make images ahead of the training that takes them, in order, and end with it?"""

from __future__ import annotations

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
from typing import Any

from archbench.errors import MissingError

_INTERRUPTIONS = {signal.SIGINT, signal.SIGHUP}
_make: Callable[[Any], Any]
"""In a worker: what it was started for."""


class Workers:
    """Processes that do one kind of task, started at once; with a count of 0 this one does it.

    They are forked where the system can, so that what ``make`` holds is not copied. Ctrl-C and a
    hangup are left to this process, with whose end they end.
    """

    def __init__(self, make: Callable[[Any], Any], *, count: int) -> None:
        self._make = make
        self._pool: ProcessPoolExecutor | None = None
        if count:
            how = multiprocessing.get_context("fork" if sys.platform == "linux" else None)
            self._pool = ProcessPoolExecutor(count, how, _begin, (make,))
            with _without_interruptions(), warnings.catch_warnings():
                # of forks beside threads: a worker takes no lock that another thread may hold
                warnings.simplefilter("ignore", DeprecationWarning)
                self._pool.submit(os.getpid).result()

    def in_order(self, tasks: Iterable[Any], *, ahead: int) -> Iterator[Any]:
        """What comes of tasks, in their order, of which so many are begun ahead.

        Raises:
            MissingError: A worker was ended from outside.
        """
        if self._pool is None:
            yield from map(self._make, tasks)
            return
        begun: deque[Future[Any]] = deque()
        try:
            for task in tasks:
                begun.append(self._pool.submit(_do, task))
                if len(begun) > ahead:
                    yield begun.popleft().result()
            while begun:
                yield begun.popleft().result()
        except BrokenProcessPool as error:
            raise MissingError(
                "a worker that prepares images was ended from outside, as the system does where "
                "memory runs out",
                place="workers",
                help="use fewer workers or a smaller batch, and go on from the last checkpoint",
            ) from error
        finally:
            for future in begun:
                future.cancel()

    def close(self) -> None:
        """End the processes; none is left behind."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)


@contextmanager
def _without_interruptions() -> Iterator[None]:
    """Blocks Ctrl-C and hangups for what is started in the meantime, which keeps them blocked."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _INTERRUPTIONS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin(make: Callable[[Any], Any]) -> None:
    """Begin as a worker."""
    import torch

    global _make  # noqa: PLW0603  the way in which an executor hands something to its workers
    _make = make
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    torch.set_num_threads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _do(task: Any) -> Any:
    return _make(task)
