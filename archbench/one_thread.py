"""By how many threads are small matrices computed? By one: more wait longer than they compute."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from threadpoolctl import ThreadpoolController

_LOCK = threading.RLock()


@contextmanager
def one_thread() -> Iterator[None]:
    """Keeps the BLAS of NumPy and SciPy to one thread; also a decorator.

    BLAS divides a product of matrices of a hundred rows among all cores, and its threads spin while
    they wait for one another. Beside other work that took 25 times the CPU time of one thread for
    the first proposal of a search, and as much longer by the clock (``benchmarks/house``). With one
    thread the digits also do not depend on the number of cores.

    The setting is the process's, so that blocks of several threads follow one another.
    """
    with _LOCK, _blas("scipy.linalg" in sys.modules).limit(limits=1, user_api="blas"):
        yield


@cache
def _blas(has_scipy: bool) -> ThreadpoolController:
    """The libraries that are loaded, SciPy's own among them or not; finding them takes 4 ms."""
    return ThreadpoolController()
