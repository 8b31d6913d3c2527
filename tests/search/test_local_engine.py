"""Workers that die, hang or swell are noticed, named and replaced."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from archbench.errors import SpecError
from archbench.search.engines import local
from archbench.search.engines._worker import classify
from archbench.search.scheduler import Broken, Done, Engine, HoldOthers, LetOthersGo, Report, Sent
from archbench.train.resumable import NonFiniteLossError
from tests.search.jobs import Act
from tests.search.owner_process import assert_gone

_PATIENCE_S = 120


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    logs = tmp_path_factory.mktemp("logs")
    engine = local.make(workers=1, threads=1, memory_bytes=2**30, logs=logs, gpus=["7"])
    yield engine
    engine.stop()


@contextmanager
def _made(
    logs: Path, *, workers: int = 1, clock: Callable[[], float] = time.monotonic, **how: Any
) -> Iterator[Any]:
    """An engine of its own for a test, which is stopped at the end of the block."""
    how |= {"workers": workers, "logs": logs, "clock": clock}
    engine = local.make(threads=1, memory_bytes=2**33, **how)
    try:
        yield engine
    finally:
        engine.stop()


def _until(engine: Engine, kind: type[Report]) -> list[Report]:
    """The next reports, which are of this kind."""
    until = time.monotonic() + _PATIENCE_S
    while not (reports := list(engine.poll(0.05))):
        assert time.monotonic() < until
    assert all(isinstance(report, kind) for report in reports)
    return reports


def _reports(engine: Engine, act: Act, *, timeout_s: float = 600) -> list[Report]:
    engine.start(act, timeout_s=timeout_s)
    reports: list[Report] = []
    until = time.monotonic() + _PATIENCE_S
    while not reports or isinstance(reports[-1], Sent):
        reports += engine.poll(1)
        assert time.monotonic() < until
    return reports


def _failure(engine: Engine, act: Act, *, timeout_s: float = 600) -> Broken:
    report = _reports(engine, act, timeout_s=timeout_s)[-1]
    assert isinstance(report, Broken)
    assert report.number == act.number
    return report


def test_a_job_is_heard_and_answered_from_a_core_and_a_gpu_of_its_own(engine: Engine) -> None:
    sent, done = _reports(engine, Act(1, "answer", "word"))
    assert sent == Sent(number=1, payload=("heard", "word"))
    assert isinstance(done, Done)
    assert done.result[0] != os.getpid()
    assert len(done.result[1]) == 1
    assert done.result[2] == "7"


def test_what_is_asked_on_the_target_is_done_by_the_worker_where_that_is(engine: Engine) -> None:
    done = _reports(engine, Act(1, "time", "answer"))[-1]
    assert isinstance(done, Done)
    assert done.result[2] == "7"
    assert engine.targets == 0


def test_a_question_waits_for_its_answer(engine: Engine) -> None:
    engine.start(Act(1, "ask", ["may I", "and now"]), timeout_s=600)
    reports: list[Report] = []
    while not reports or isinstance(reports[-1], Sent):
        found = engine.poll(_PATIENCE_S)
        for report in found:
            if isinstance(report, Sent):
                engine.answer(1, f"{report.payload.word}? yes")
        engine.answer(2, "nobody asked")
        reports += found
    assert isinstance(reports[-1], Done)
    assert reports[-1].result == ["may I? yes", "and now? yes"]


def test_interruptions_of_the_terminal_are_the_owners(engine: Engine) -> None:
    assert _reports(engine, Act(1, "interrupt")) == [Done(number=1, result="went on")]


def test_interruptions_of_a_workers_first_moments_are_its_owners(tmp_path: Path) -> None:
    with _made(tmp_path) as engine:
        engine.start(Act(1, "answer"), timeout_s=600)
        reports: list[Report] = []
        while not reports or isinstance(reports[-1], Sent):
            os.kill(engine._children[0].process.pid, signal.SIGINT)
            reports += engine.poll(0.02)
        assert isinstance(reports[-1], Done)


def test_an_exception_comes_back_with_its_kind_and_trace(engine: Engine) -> None:
    error = NonFiniteLossError("the loss became nan", place="step 3")
    report = _failure(engine, Act(2, "raise", error))
    assert report.failure.kind == "nan"
    assert "Traceback" in report.failure.traceback
    assert str(report.error) == "step 3: the loss became nan"


def test_a_crash_is_named_and_the_worker_replaced(engine: Engine) -> None:
    report = _failure(engine, Act(3, "die", signal.SIGSEGV))
    assert report.failure.kind == "crash"
    assert "SIGSEGV" in report.failure.message
    assert "Fatal Python error" in report.failure.traceback
    assert not report.from_outside
    assert isinstance(_reports(engine, Act(4, "answer"))[-1], Done)


def test_a_kill_from_outside_is_told_from_a_crash(engine: Engine) -> None:
    report = _failure(engine, Act(5, "die", signal.SIGKILL))
    assert report.from_outside
    assert report.failure.kind == "crash"


def test_what_hangs_is_killed(engine: Engine) -> None:
    _reports(engine, Act(6, "answer"))  # warm by now
    report = _failure(engine, Act(7, "hang"), timeout_s=0.4)
    assert report.failure.kind == "timeout"
    assert report.failure.message == "took longer than 0.4 s"


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_what_swells_is_killed(engine: Engine) -> None:
    report = _failure(engine, Act(8, "hold", 5 * 2**28))
    assert report.failure.kind == "memory"
    assert "more than the 1.0 GiB" in report.failure.message


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (NonFiniteLossError("the loss became nan"), "nan"),
        (SpecError("7 does not divide 256"), "illegal"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "memory"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), "memory"),
        (MemoryError(), "memory"),
        (RuntimeError("shape '[2]' is invalid for input of size 3"), "error"),
        (AssertionError(), "error"),
        (ValueError("something else\nin two lines"), "error"),
    ],
)
def test_an_exception_has_a_kind_that_can_be_counted(error: Exception, kind: str) -> None:
    failure = classify(error)
    assert failure.kind == kind
    assert failure.message.startswith(type(error).__name__)
    assert "\n" not in failure.message


@pytest.mark.parametrize(
    "moment",
    ["at its first line", "held up", pytest.param("in a job", marks=pytest.mark.slow)],
)
def test_workers_do_not_outlive_a_killed_owner(tmp_path: Path, moment: str) -> None:
    code = (
        "import sys; from pathlib import Path; from archbench.search.engines import local\n"
        "from tests.search.jobs import Act\n"
        "engine = local.make(workers=1, threads=1, memory_bytes=2**33, logs=Path(sys.argv[1]))\n"
        "engine.start(Act(1, 'hang'), timeout_s=600)\n"
        "if sys.argv[2] == 'held up': engine.hold(but=2)\n"
        "while sys.argv[2] == 'in a job' and not engine.poll(1): pass\n"
        "while sys.argv[2] == 'held up' and not engine._children[0].is_held: engine.poll(0.1)\n"
        "print(engine._children[0].process.pid, flush=True); sys.stdin.read()"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path), moment],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert owner.stdout is not None
    worker = int(owner.stdout.readline())
    owner.kill()
    owner.communicate()
    assert_gone(worker)


@pytest.mark.skipif(sys.platform != "linux", reason="others are held up only under Linux")
def test_others_are_held_up_while_a_job_runs_alone(tmp_path: Path) -> None:
    now = [0.0]
    with _made(tmp_path, workers=2, clock=lambda: now[0]) as engine:
        counted = tmp_path / "counted"
        engine.start(Act(1, "count", counted), timeout_s=100)
        assert _until(engine, Sent) == [Sent(number=1, payload="counts")]
        engine.start(Act(2, "alone", counted), timeout_s=600)
        assert _until(engine, Sent) == [Sent(number=2, payload=HoldOthers())]
        engine.hold(but=2)
        engine.answer(2, None)
        assert _until(engine, Sent) == [Sent(number=2, payload=LetOthersGo())]
        now[0] = 550.0
        assert engine.poll(0) == []  # the time of the other stands still
        engine.hold(but=None)
        (done,) = _until(engine, Done)
        assert isinstance(done, Done)
        before, after, then = done.result
        assert before == after < then
        now[0] = 649.0
        assert engine.poll(0) == []
        now[0] = 651.0
        (late,) = engine.poll(0)
        assert isinstance(late, Broken)
        assert late.failure.message == "took longer than 100 s"
        engine.start(Act(3, "hang"), timeout_s=600)
        assert _until(engine, Sent) == [Sent(number=3, payload="hangs")]
        engine.hold(but=4)
        held = engine._children[0].process
    assert held.poll() == -signal.SIGKILL


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="others are held up only under Linux")
def test_of_several_gpus_the_first_times_while_only_its_own_work_is_held_up(tmp_path: Path) -> None:
    counted = [tmp_path / "first", tmp_path / "second"]
    with _made(tmp_path, workers=2, gpus=["a", "b"]) as engine:
        for number, file in enumerate(counted):
            engine.start(Act(number, "count", file), timeout_s=600)
            assert _until(engine, Sent) == [Sent(number=number, payload="counts")]
        engine.start(Act(5, "alone", counted[0], place="target"), timeout_s=600)
        assert _until(engine, Sent) == [Sent(number=5, payload=HoldOthers())]
        engine.hold(but=5)
        size = counted[1].stat().st_size
        assert [child.is_held for child in engine._children] == [True, False, False]
        assert [child.gpu for child in engine._children] == ["a", "b", "a"]
        engine.answer(5, None)
        assert _until(engine, Sent) == [Sent(number=5, payload=LetOthersGo())]
        assert counted[1].stat().st_size > size
        engine.hold(but=None)
        (done,) = _until(engine, Done)
        before, after, then = done.result
        assert before == after < then


def test_workers_are_started_as_jobs_need_them(tmp_path: Path) -> None:
    with _made(tmp_path, workers=3) as engine:
        assert _alive(engine) == 1
        engine.start(Act(1, "hang"), timeout_s=600)
        assert _alive(engine) == 1
        engine.start(Act(2, "hang"), timeout_s=600)
        assert _alive(engine) == 2
    assert _alive(engine) == 0


def test_the_time_of_a_job_counts_from_when_its_worker_takes_it(tmp_path: Path) -> None:
    now = [0.0]
    with _made(tmp_path, clock=lambda: now[0]) as engine:
        engine.start(Act(1, "answer"), timeout_s=5)
        now[0] = 200.0  # so long took its start
        reports = engine.poll(0)
        while not reports or isinstance(reports[-1], Sent):
            reports += engine.poll(1)
        assert isinstance(reports[-1], Done)
        engine.start(Act(2, "hang"), timeout_s=5)
        while engine.poll(1) != [Sent(number=2, payload="hangs")]:
            pass
        now[0] = 206.0
        (late,) = engine.poll(0)
        assert isinstance(late, Broken)
        assert late.failure.message == "took longer than 5 s"
        engine.start(Act(3, "answer"), timeout_s=5)
        now[0] = 600.0
        (late,) = engine.poll(0)
        assert isinstance(late, Broken)
        assert late.failure.message == "its worker did not start within 300 s"


@pytest.mark.parametrize(
    "written",
    [
        b"\0\0\0\x08garbage!",
        pytest.param(b"\0\0\0\5\x80\4K\1.", marks=pytest.mark.slow),
        pytest.param(b"\0\0\3\xe8torn", marks=pytest.mark.slow),
    ],
)
def test_a_worker_whose_pipe_broke_is_ended_though_it_lives(engine: Engine, written: bytes) -> None:
    report = _failure(engine, Act(9, "scribble", written))
    assert report.failure.kind == "crash"
    assert report.failure.message == "the pipe to the worker process broke"


def test_a_dead_worker_is_noticed_though_its_child_holds_the_pipe(engine: Engine) -> None:
    sent, broken = _reports(engine, Act(11, "leave", 3))
    assert isinstance(broken, Broken)
    assert broken.failure.kind == "crash"
    assert broken.failure.message == "the worker process ended with exit code 3"
    assert isinstance(sent, Sent)
    assert_gone(sent.payload)


@pytest.mark.parametrize("ending", ["its time is over", "all are stopped"])
def test_what_a_worker_started_ends_with_it(tmp_path: Path, ending: str) -> None:
    now = [0.0]
    with _made(tmp_path, clock=lambda: now[0]) as engine:
        engine.start(Act(12, "employ"), timeout_s=5)
        reports: list[Report] = []
        while not reports:
            reports += engine.poll(1)
        if ending == "its time is over":
            now[0] = 6.0
            assert isinstance(engine.poll(0)[0], Broken)
            assert isinstance(reports[0], Sent)
            assert_gone(reports[0].payload)
    assert isinstance(reports[0], Sent)
    assert_gone(reports[0].payload)


def _alive(engine: Any) -> int:
    return sum(child.lives for child in engine._children)
