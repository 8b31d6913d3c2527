"""Why did a trial fail: an exception becomes one of a few kinds that can be counted."""

from __future__ import annotations

import traceback

from archbench.errors import SpecError
from archbench.study.trial import Failure, FailureKind

_MEMORY_WORDS = ("out of memory", "can't allocate memory", "cannot allocate memory")


def classify(error: BaseException) -> Failure:
    """The failure record of an exception that ended a trial."""
    text = str(error).strip().splitlines()
    return Failure(
        kind=_kind(error),
        message=f"{type(error).__name__}: {text[0]}" if text else type(error).__name__,
        traceback="".join(traceback.format_exception(error)),
    )


def _kind(error: BaseException) -> FailureKind:
    from archbench.train.loop import NonFiniteLossError

    if isinstance(error, NonFiniteLossError):
        return "nan"
    if isinstance(error, SpecError):
        return "illegal"
    # the CPU allocator raises a bare RuntimeError, CUDA a subclass of it
    if isinstance(error, MemoryError) or any(word in str(error).lower() for word in _MEMORY_WORDS):
        return "memory"
    return "error"
