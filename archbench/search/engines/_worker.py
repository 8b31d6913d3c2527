"""A worker process: runs one job after another."""

from __future__ import annotations

import faulthandler
import os
import traceback
from collections.abc import Mapping
from multiprocessing.connection import Connection
from typing import Any

from archbench.errors import ArchbenchError, SpecError
from archbench.evaluate.proxy import warm_up
from archbench.search.scheduler import (
    READY,
    Broken,
    Done,
    Job,
    OnTarget,
    Question,
    Sent,
    StageError,
)
from archbench.study.trial import Failure, FailureKind
from archbench.train.resumable import NonFiniteLossError

_MEMORY_WORDS = ("out of memory", "can't allocate memory", "cannot allocate memory")


def work(given: Mapping[str, Any]) -> None:
    """Says when it is ready, then runs jobs; the options are those of ``_owned.main``."""
    faulthandler.enable()
    if given["cores"] is not None:
        os.sched_setaffinity(0, given["cores"])
    warm_up(given["threads"], gpu_share=given["gpu_share"])
    jobs: Connection[Any, Job] = Connection(given["jobs"])
    jobs.send(READY)
    while True:
        try:
            job = jobs.recv()
        except EOFError:
            return
        _run(job, jobs, is_on_target=given["is_on_target"])


def _run(job: Job, jobs: Connection[Any, Any], *, is_on_target: bool) -> None:
    def send(payload: object) -> Any:
        if is_on_target and isinstance(payload, OnTarget):
            return payload.make(number=job.number).run(send)
        jobs.send(Sent(number=job.number, payload=payload))
        answer = jobs.recv() if isinstance(payload, Question) else None
        if isinstance(answer, Broken):
            raise answer.error or StageError(f"on the target: {answer.failure.message}")
        return answer.result if isinstance(answer, Done) else answer

    try:
        jobs.send(Done(number=job.number, result=job.run(send)))
    except Exception as error:  # noqa: BLE001  the trial boundary: recorded, and the search goes on
        ours = error if isinstance(error, ArchbenchError) else None
        jobs.send(Broken(number=job.number, failure=classify(error), error=ours))


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
