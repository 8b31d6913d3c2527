"""Runs jobs in warm child processes of this machine, each on cores of its own."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from archbench.search.scheduler import Broken, Job, Report, Sent
from archbench.study.trial import Failure, FailureKind

_BOOT = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
_BOOT += "from archbench.search.engines._worker import main; main(sys.argv[2])"
_GRACE_S = 2.0
_SPOILING: tuple[FailureKind, ...] = ("memory", "error")  # a CUDA error spoils its process


class _LocalEngine:
    """Warm child processes, ended where they hold more than ``memory_bytes``, and then replaced."""

    def __init__(
        self,
        *,
        workers: int,
        threads: int,
        memory_bytes: int,
        logs: Path,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._memory_bytes = memory_bytes
        self._clock = clock
        self._children = [
            _Child(cores, threads=threads, log=logs / f"worker-{index}.log")
            for index, cores in enumerate(_core_groups(workers=workers, threads=threads))
        ]

    @property
    def workers(self) -> int:
        return len(self._children)

    @property
    def running(self) -> tuple[int, ...]:
        return tuple(child.job.number for child in self._children if child.job is not None)

    def start(self, job: Job, *, timeout_s: float) -> int:
        index = next(i for i, child in enumerate(self._children) if child.job is None)
        self._children[index].start(job, deadline=self._clock() + timeout_s, timeout_s=timeout_s)
        return index

    def answer(self, number: int, content: Any) -> None:
        for child in self._children:
            if child.job is not None and child.job.number == number:
                child.answer(content)

    def poll(self, timeout_s: float) -> list[Report]:
        busy = {child.jobs: child for child in self._children if child.job is not None}
        if not busy:
            time.sleep(timeout_s)
            return []
        ready = wait(list(busy), timeout_s)
        reports = [busy[connection].receive() for connection in ready]  # type: ignore[index]
        reports += [self._overdue(child) for child in busy.values()]
        return [report for report in reports if report is not None]

    def stop(self) -> None:
        for child in self._children:
            child.terminate()
        for child in self._children:
            child.end()

    def _overdue(self, child: _Child) -> Broken | None:
        if child.job is None:
            return None
        if self._clock() > child.deadline:
            return child.kill("timeout", f"took longer than {child.timeout_s:g} s")
        held = held_bytes(child.process.pid)
        if held is not None and held > self._memory_bytes:
            allowed = f"{self._memory_bytes / 2**30:.1f} GiB that a worker may use"
            return child.kill("memory", f"held {held / 2**30:.1f} GiB, more than the {allowed}")
        return None


make = _LocalEngine


class _Child:
    process: subprocess.Popen[bytes]
    jobs: Connection[Any, Report]
    _lifeline: int

    def __init__(self, cores: tuple[int, ...] | None, *, threads: int, log: Path) -> None:
        self._cores = cores
        self._threads = threads
        self._log = log
        self.job: Job | None = None
        self.deadline = self.timeout_s = 0.0
        self._kernel_kills = 0
        self._spawn()

    def start(self, job: Job, *, deadline: float, timeout_s: float) -> None:
        if self.process.poll() is not None:  # died while idle
            self._respawn()
        self.job, self.deadline, self.timeout_s = job, deadline, timeout_s
        self._kernel_kills = kernel_kills()
        with contextlib.suppress(OSError):  # it dies just now: the next look reports that
            self.jobs.send(job)

    def answer(self, content: Any) -> None:
        with contextlib.suppress(OSError):
            self.jobs.send(content)

    def receive(self) -> Report | None:
        job = self.job
        if job is None:
            return None
        try:
            report = self.jobs.recv()
        except (EOFError, OSError, pickle.UnpicklingError):
            self.process.wait()
            return self._died(job)
        if not isinstance(report, Sent):
            self.job = None
        if isinstance(report, Broken) and report.failure.kind in _SPOILING:
            self._respawn()
        return report

    def kill(self, kind: FailureKind, message: str) -> Broken:
        job = self.job
        assert job is not None, "only a running job can be killed"
        self._respawn()
        return Broken(number=job.number, failure=Failure(kind=kind, message=message))

    def terminate(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()

    def end(self) -> None:
        self.terminate()
        try:
            self.process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.jobs.close()
        if self._lifeline >= 0:
            os.close(self._lifeline)
            self._lifeline = -1
        self.job = None

    def _died(self, job: Job) -> Broken:
        code = self.process.returncode
        out_of_memory = kernel_kills() > self._kernel_kills
        self._respawn()
        if code == -signal.SIGKILL and out_of_memory:
            failure = Failure(kind="memory", message="killed by the kernel for lack of memory")
            return Broken(number=job.number, failure=failure)
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        failure = Failure(
            kind="crash",
            message=f"the worker process ended with {how}",
            traceback=_last_lines(self._log),
        )
        from_outside = code in (-signal.SIGKILL, -signal.SIGTERM)
        return Broken(number=job.number, failure=failure, from_outside=from_outside)

    def _respawn(self) -> None:
        self.end()
        self._spawn()

    def _spawn(self) -> None:
        self.jobs, theirs = Pipe(duplex=True)
        lifeline, self._lifeline = os.pipe()
        options = {
            "jobs": theirs.fileno(),
            "lifeline": lifeline,
            "owner": os.getpid(),
            "cores": self._cores,
            "threads": self._threads,
        }
        limits = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603  our own interpreter
                [sys.executable, "-c", _BOOT, json.dumps(sys.path), json.dumps(options)],
                pass_fds=(theirs.fileno(), lifeline),
                env={**os.environ, **dict.fromkeys(limits, str(self._threads))},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        theirs.close()
        os.close(lifeline)


def _core_groups(*, workers: int, threads: int) -> list[tuple[int, ...] | None]:
    """The cores of each worker, shared in turn if few; None for all where they cannot be pinned."""
    if not hasattr(os, "sched_getaffinity"):
        return [None] * workers
    cores = sorted(os.sched_getaffinity(0))
    groups = [tuple(cores[i : i + threads]) for i in range(0, len(cores) - threads + 1, threads)]
    groups = groups or [tuple(cores)]
    return [groups[i % len(groups)] for i in range(workers)]


def _last_lines(log: Path, *, count: int = 30) -> str:
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-count:])
    except OSError:
        return ""


def held_bytes(pid: int) -> int | None:
    """Memory that only this process holds; None where the system does not tell.

    Pages of mapped files (libraries, the cached images) can be dropped by the kernel at any time
    and do not count.
    """
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return None
    kib = [int(line.split()[1]) for line in lines if line.startswith(("RssAnon:", "RssShmem:"))]
    return sum(kib) * 1024 if kib else None


def kernel_kills() -> int:
    """How often the kernel has killed for lack of memory, here or in this container, so far."""
    found = 0
    for path in (Path("/proc/vmstat"), Path("/sys/fs/cgroup/memory.events")):
        with contextlib.suppress(OSError):
            lines = path.read_text().splitlines()
            found += sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))
    return found
