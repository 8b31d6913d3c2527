"""Should a process give freed memory back to the system? Networks that run again want it kept."""

import ctypes
import mmap
import platform
from contextlib import suppress
from pathlib import Path

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
_LARGEST = 2**30
_GROWTH = 2**26
_HUGE_PAGE = 2**21
_COLLAPSE = 25  # MADV_COLLAPSE, Linux 6.1: what is in use moves into huge pages now
_RESERVED = 2**29  # of addresses, not of memory: that is taken page by page, when it is used
_HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")
_MAPS = Path("/proc/self/maps")

TUNABLES = ":".join(
    f"glibc.malloc.{setting}"
    for setting in ("hugetlb=1", f"mmap_threshold={_LARGEST}", f"trim_threshold={2 * _LARGEST - 1}")
)
"""A value of ``GLIBC_TUNABLES`` by which a process that is begun with it holds memory likewise; a C
library that does not know these leaves it as it is."""


def keep_memory() -> str:
    """Keeps the memory of freed tensors for the next ones, in huge pages where there are any.

    By default glibc maps every large tensor anew and gives it back when it is freed, so that the
    system clears its pages again in each forward pass: a quarter of the time of LeViT at batch
    16 (``benchmarks/model_speed``). The setting holds for the whole process and cannot be
    undone in it; memory that is kept is used again by everything that allocates.

    Returns:
        ``kept in huge pages`` or ``kept``; nothing where the C library is not glibc.
    """
    if platform.libc_ver()[0] != "glibc":
        return ""
    mallopt = ctypes.CDLL(None).mallopt
    answers = (
        mallopt(_M_MMAP_THRESHOLD, _LARGEST),
        mallopt(_M_TRIM_THRESHOLD, 2 * _LARGEST - 1),
        mallopt(_M_TOP_PAD, _GROWTH),
    )
    if answers != (1, 1, 1):
        return ""
    return "kept in huge pages" if _use_huge_pages() else "kept"


def _use_huge_pages() -> bool:
    """Asks the system to back the heap by pages of 2 MiB, and gives whether it said yes.

    Weights are read once in each forward pass, and with pages of 4 KiB many reads wait for the
    page's address first: on a virtual machine whose neighbours work, the middle half of LeViT's
    passes spread over 22 % of their time, and over 8 % with huge pages; copies of one network,
    some in small pages and some in huge ones, took up to 2.4 % more or less than one another
    (``benchmarks/latency_trust``). Only where freed memory is kept do tensors lie in the heap,
    which is what is asked for. It is grown by 512 MiB of addresses, of which none takes memory
    before it is used. What it holds already is moved, which takes up to a second the first time.
    """
    with suppress(OSError, AttributeError):
        if "[never]" in _HUGE_PAGES.read_text():
            return False
        library = ctypes.CDLL(None)
        library.malloc.restype = ctypes.c_void_p
        library.malloc.argtypes = [ctypes.c_size_t]
        library.free.argtypes = [ctypes.c_void_p]
        library.free(library.malloc(_RESERVED))
        maps = _MAPS.read_text().splitlines()  # which may list the heap in several stretches
        heap = [line.split()[0].split("-") for line in maps if line.endswith("[heap]")]
        if not heap:
            return False
        start = -(-int(heap[0][0], 16) // _HUGE_PAGE) * _HUGE_PAGE
        length = (int(heap[-1][1], 16) - start) // _HUGE_PAGE * _HUGE_PAGE
        library.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        if length <= 0 or library.madvise(start, length, mmap.MADV_HUGEPAGE):
            return False
        library.madvise(start, length, _COLLAPSE)  # older kernels leave what is in use as it is
        return True
    return False
