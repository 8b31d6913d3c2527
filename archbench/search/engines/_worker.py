"""A worker process: runs one job after another and never outlives its owner."""

from __future__ import annotations

import ctypes
import faulthandler
import json
import os
import signal
import sys
import threading
import traceback
from multiprocessing.connection import Connection
from typing import Any

from archbench.errors import ArchbenchError, SpecError
from archbench.evaluate.proxy import warm_up
from archbench.search.scheduler import Broken, Done, Job, Question, Report, Sent
from archbench.study.trial import Failure, FailureKind
from archbench.train.loop import NonFiniteLossError

_PR_SET_PDEATHSIG = 1
_MEMORY_WORDS = ("out of memory", "can't allocate memory", "cannot allocate memory")


def main(options: str) -> None:
    """Runs jobs until the owner closes the pipe.

    The options are JSON with ``jobs`` and ``lifeline`` (inherited file descriptors), ``owner`` (its
    process id), ``cores`` (to pin to, or null) and ``threads``.
    """
    given = json.loads(options)
    _die_with(given["owner"], lifeline=given["lifeline"])
    faulthandler.enable()
    if given["cores"] is not None:
        os.sched_setaffinity(0, given["cores"])
    warm_up(given["threads"])
    jobs: Connection[Report, Job] = Connection(given["jobs"])
    while True:
        try:
            job = jobs.recv()
        except EOFError:
            return
        _run(job, jobs)


def _run(job: Job, jobs: Connection[Report, Any]) -> None:
    def send(payload: object) -> Any:
        jobs.send(Sent(number=job.number, payload=payload))
        return jobs.recv() if isinstance(payload, Question) else None

    try:
        jobs.send(Done(number=job.number, result=job.run(send)))
    except Exception as error:  # noqa: BLE001  the trial boundary: recorded, and the search goes on
        ours = error if isinstance(error, ArchbenchError) else None
        jobs.send(Broken(number=job.number, failure=classify(error), error=ours))


def _die_with(owner: int, *, lifeline: int) -> None:
    """Leaves interruptions to the owner and ends when it does, in whatever way that happens."""
    for ignored in (signal.SIGINT, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    threading.Thread(target=_watch, args=(lifeline,), daemon=True).start()
    if os.getppid() != owner:
        os._exit(1)


def _watch(lifeline: int) -> None:
    os.read(lifeline, 1)  # nothing is ever written: this returns when the owner's end closes
    os._exit(1)


def classify(error: BaseException) -> Failure:
    """The failure record of an exception that ended a trial."""
    text = str(error).strip().splitlines()
    return Failure(
        kind=_kind(error),
        message=f"{type(error).__name__}: {text[0]}" if text else type(error).__name__,
        traceback="".join(traceback.format_exception(error)),
    )


def _kind(error: BaseException) -> FailureKind:
    if isinstance(error, NonFiniteLossError):
        return "nan"
    if isinstance(error, SpecError):
        return "illegal"
    # the CPU allocator raises a bare RuntimeError, CUDA a subclass of it
    if isinstance(error, MemoryError) or any(word in str(error).lower() for word in _MEMORY_WORDS):
        return "memory"
    return "error"
