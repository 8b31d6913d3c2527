"""Should a process give freed memory back to the system? Networks that run again want it kept."""

from __future__ import annotations

import ctypes
import platform

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
_LARGEST = 2**30
_GROWTH = 2**26


def keep_memory() -> bool:
    """Tells the C library to keep the memory of freed tensors for the next ones.

    By default glibc maps every large tensor anew and gives it back when it is freed, so that the
    system clears its pages again in each forward pass: a quarter of the time of LeViT at batch
    16 (``benchmarks/model_speed.md``). The setting holds for the whole process and cannot be
    undone in it; memory that is kept is used again by everything that allocates.

    Returns:
        Whether it was set; False where the C library is not glibc.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    settings = (
        (_M_MMAP_THRESHOLD, _LARGEST),
        (_M_TRIM_THRESHOLD, 2 * _LARGEST - 1),
        (_M_TOP_PAD, _GROWTH),
    )
    answers = [mallopt(name, value) for name, value in settings]
    return all(answer == 1 for answer in answers)
