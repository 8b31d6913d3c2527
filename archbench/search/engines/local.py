"""Runs jobs in warm child processes of this machine, each on cores and a GPU of its own."""

from __future__ import annotations

import contextlib
import json
import math
import os
import pickle
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from archbench.errors import FOREIGN_FAULTS
from archbench.search.engines._owned import BLOCKED
from archbench.search.scheduler import READY, Broken, Done, Job, Report, Sent
from archbench.study.trial import Failure, FailureKind

_BOOT = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
_BOOT += "from archbench.search.engines._owned import main; main(sys.argv[2])"
_GRACE_S = 2.0
_START_S = 300.0  # a start took 26 s on a machine with ten times the work that it serves
_UNREADABLE = (*FOREIGN_FAULTS, EOFError, ImportError, OSError, pickle.UnpicklingError)
_SPOILING: tuple[FailureKind, ...] = ("memory", "error")  # a CUDA error spoils its process


class _LocalEngine:
    """Warm child processes, ended where they hold more than ``memory_bytes``, and then replaced.

    One is started at once, each other one with the first job for which there is none. The time of a
    job counts from when its worker takes it, not from the worker's start.

    Workers share ``gpus``, named as ``CUDA_VISIBLE_DEVICES`` takes them, in turn; each sees one and
    may take ``gpu_share`` of its memory. Where there are several, a further worker times candidates
    on the first, and what else works there is held up meanwhile.
    """

    def __init__(
        self,
        *,
        workers: int,
        threads: int,
        memory_bytes: int,
        logs: Path,
        gpus: Sequence[str] = (),
        gpu_share: float | None = None,
        is_pinned: bool = True,
        is_on_target: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.workers, self.targets = workers, int(len(gpus) > 1)
        self._memory_bytes = memory_bytes
        self._clock = clock
        self._alone: int | None = None
        number = workers + self.targets
        cores = _core_groups(workers=number, threads=threads) if is_pinned else [None] * number
        self._children = [
            _Child(
                cores[index],
                threads=threads,
                log=logs / f"worker-{index}.log",
                clock=clock,
                gpu=gpus[index % workers % len(gpus)] if gpus else None,
                gpu_share=gpu_share,
                is_on_target=is_on_target and not self.targets,
            )
            for index in range(number)
        ]
        self._children[0].spawn()

    def start(self, job: Job, *, timeout_s: float) -> int:
        is_timed = self.targets and job.place == "target"
        places = range(self.workers, len(self._children)) if is_timed else range(self.workers)
        idle = [index for index in places if self._children[index].job is None]
        index = next((index for index in idle if self._children[index].lives), idle[0])
        self._children[index].start(job, timeout_s=timeout_s)
        return index

    def answer(self, number: int, content: Any) -> None:
        for child in self._children:
            if child.job is not None and child.job.number == number:
                child.answer(content)

    def poll(self, timeout_s: float) -> list[Report]:
        busy = [child for child in self._children if child.job is not None]
        if not busy:
            time.sleep(timeout_s)
            return []
        if self._alone is not None:
            self.hold(but=self._alone)  # also who has become ready meanwhile
        # One that is held up may have written half a report, on which nobody should wait.
        speaking = {child.jobs: child for child in busy if not child.is_held}
        ready = wait(list(speaking), timeout_s)
        reports = [speaking[connection].receive() for connection in ready]  # type: ignore[index]
        reports += [self._overdue(child) for child in busy]
        return [report for report in reports if report is not None]

    def hold(self, *, but: int | None) -> None:
        self._alone = but
        alone = [child for child in self._children if child.job and child.job.number == but]
        for child in self._children:
            if but is None:
                child.release()
            elif child not in alone and (not alone or child.gpu == alone[0].gpu):
                child.hold()

    def stop(self) -> None:
        for child in self._children:
            child.kill()
        for child in self._children:
            child.end()

    def _overdue(self, child: _Child) -> Broken | None:
        if child.job is None:
            return None
        if not (child.lives or child.jobs.poll()):
            return child.died()  # while a process of its own holds the pipe
        now, timeout_s = self._clock() - child.held_s, child.timeout_s
        if now > child.start_until:
            return child.broken("timeout", f"its worker did not start within {_START_S:g} s")
        if now > child.deadline:
            return child.broken("timeout", f"took longer than {timeout_s:g} s")
        held = held_bytes(child.process.pid)
        if held is not None and held > self._memory_bytes:
            allowed = f"{self._memory_bytes / 2**30:.1f} GiB that a worker may use"
            return child.broken("memory", f"held {held / 2**30:.1f} GiB, more than the {allowed}")
        return None


make = _LocalEngine


class _Child:
    """A place for a worker: a process in a session of its own, once there is one, and its job."""

    process: subprocess.Popen[bytes]
    jobs: Connection[Any, Any]
    _lifeline: int

    def __init__(
        self,
        cores: tuple[int, ...] | None,
        *,
        threads: int,
        log: Path,
        clock: Callable[[], float],
        gpu: str | None,
        gpu_share: float | None,
        is_on_target: bool,
    ) -> None:
        self.gpu = gpu
        self._told = {
            "cores": cores,
            "threads": threads,
            "gpu_share": gpu_share,
            "is_on_target": is_on_target,
        }
        threads_of = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
        self._variables = dict.fromkeys(threads_of, str(threads))
        if gpu is not None:
            self._variables["CUDA_VISIBLE_DEVICES"] = gpu
        self._log = log
        self._clock = clock
        self._is_there = False
        self.job: Job | None = None
        self.start_until = self.deadline = math.inf
        self.timeout_s = 0.0
        self._held_since: float | None = None
        self._kernel_kills = 0

    @property
    def lives(self) -> bool:
        """Whether there is a process that has not ended."""
        return self._is_there and self.process.poll() is None

    def start(self, job: Job, *, timeout_s: float) -> None:
        if not self.lives:  # none was needed yet, or it died while idle
            self.end()
            self.spawn()
        self.job, self.timeout_s = job, timeout_s
        self._kernel_kills = kernel_kills()
        if self.start_until == math.inf:
            self._hand_over()

    def answer(self, content: Any) -> None:
        with contextlib.suppress(OSError):
            self.jobs.send(content)

    def receive(self) -> Report | None:
        if self.job is None:
            return None
        try:
            report = self.jobs.recv()
        except _UNREADABLE:
            return self.died()
        if report == READY:
            self.start_until = math.inf
            self._hand_over()
            return None
        if not isinstance(report, Sent | Done | Broken):
            return self.died()
        if not isinstance(report, Sent):
            self.job, self.deadline = None, math.inf
        if isinstance(report, Broken) and report.failure.kind in _SPOILING:
            self.end()
        return report

    def broken(self, kind: FailureKind, message: str, *, traceback: str = "") -> Broken:
        """Ends the process; the report of its job."""
        job = self.job
        assert job is not None, "only a running job can break"
        self.end()
        failure = Failure(kind=kind, message=message, traceback=traceback)
        return Broken(number=job.number, failure=failure)

    def died(self) -> Broken:
        """The report of the job of a process that has ended, or whose pipe is of no use."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(_GRACE_S)
        code, last_words = self.process.returncode, _last_lines(self._log)
        if code is None:
            told = "the pipe to the worker process broke"
            return self.broken("crash", told, traceback=last_words)
        if code == -signal.SIGKILL and kernel_kills() > self._kernel_kills:
            return self.broken("memory", "killed by the kernel for lack of memory")
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        told = f"the worker process ended with {how}"
        report = self.broken("crash", told, traceback=last_words)
        return replace(report, from_outside=code in (-signal.SIGKILL, -signal.SIGTERM))

    @property
    def is_held(self) -> bool:
        """Whether it is held up."""
        return self._held_since is not None

    @property
    def held_s(self) -> float:
        """How long it has been held up for now, in seconds."""
        return 0.0 if self._held_since is None else self._clock() - self._held_since

    def hold(self) -> None:
        """Stops the process and all that it has started.

        It must end with its owner though it is stopped: it has to be ready, and the system Linux.
        """
        is_ready = self.lives and self.start_until == math.inf
        if is_ready and not self.is_held and sys.platform == "linux":
            self._held_since = self._clock()
            self._signal(signal.SIGSTOP)

    def release(self) -> None:
        """Lets the process go on, as if no time had passed."""
        if self._held_since is not None:
            self.deadline += self.held_s
            self._held_since = None
            self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """Ends the process, if there is one, and all that it has started."""
        self._signal(signal.SIGKILL)

    def end(self) -> None:
        """Kills the process and forgets it; one that the system cannot end is left alone."""
        self.kill()
        self.job = self._held_since = None
        self.start_until = self.deadline = math.inf
        if not self._is_there:
            return
        self._is_there = False
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(_GRACE_S)
        self.jobs.close()
        os.close(self._lifeline)

    def spawn(self) -> None:
        """Starts a process; a signal that comes meanwhile waits until it is known."""
        self.jobs, theirs = Pipe(duplex=True)
        _bound_waits(self.jobs)
        lifeline, self._lifeline = os.pipe()
        options = {
            "jobs": theirs.fileno(),
            "lifeline": lifeline,
            "owner": os.getpid(),
            **self._told,
        }
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, BLOCKED)
        try:
            with self._log.open("ab") as log:
                self.process = subprocess.Popen(  # noqa: S603  our own interpreter
                    [sys.executable, "-c", _BOOT, json.dumps(sys.path), json.dumps(options)],
                    pass_fds=(theirs.fileno(), lifeline),
                    env={**os.environ, **self._variables},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            self._is_there = True
            self.start_until = self._clock() + _START_S
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            theirs.close()
            os.close(lifeline)

    def _signal(self, number: signal.Signals) -> None:
        """Sends a signal to the process, if there is one, and to all that it has started."""
        if self._is_there:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, number)

    def _hand_over(self) -> None:
        """Gives a worker that is ready its job, whose time counts from now."""
        self.deadline = self._clock() + self.timeout_s
        with contextlib.suppress(OSError):  # it dies just now: the next look reports that
            self.jobs.send(self.job)


def _bound_waits(connection: Connection[Any, Any]) -> None:
    """Lets no read or write wait long for the other side, which may hang amid a message."""
    limit = struct.pack("ll", int(_GRACE_S), 0)
    with socket.socket(fileno=os.dup(connection.fileno())) as opened:
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            opened.setsockopt(socket.SOL_SOCKET, option, limit)


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
