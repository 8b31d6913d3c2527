"""Every ending has its exit code and its words."""

import contextlib
import importlib
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from archbench import errors
from archbench.cli import main


def run_raising(error: BaseException | type[BaseException], *arguments: str) -> int:
    @click.command()
    @click.option("--json", "as_json", is_flag=True)
    def command(as_json: bool) -> None:
        raise error

    return main.run(command, arguments)


def run_doing(work: Callable[[], int | None]) -> int:
    @click.command()
    def command() -> int | None:
        return work()

    return main.run(command, [])


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.UsageError("no"), 2),
        (errors.SpaceError("no"), 2),
        (errors.MissingError("no"), 3),
        (errors.StorageError("no"), 4),
        (click.UsageError("no"), 2),
        (click.FileError("x.yaml", "no"), 2),
        (KeyboardInterrupt(), 130),
        (errors.Terminated(), 143),
        (ZeroDivisionError("no"), 70),
    ],
)
def test_each_kind_of_error_has_its_exit_code(error: BaseException, code: int) -> None:
    assert run_raising(error) == code


def test_a_command_ends_with_zero_or_the_code_that_it_gives() -> None:
    assert run_doing(lambda: None) == 0
    assert run_doing(lambda: errors.NEGATIVE_RESULT) == 1


def test_an_error_is_one_line_of_place_message_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    run_raising(errors.SpaceError("7 is odd", place="a.yaml:3:1", help="use 8"))
    captured = capsys.readouterr()
    assert captured.err == "error: a.yaml:3:1: 7 is odd; use 8\n"
    assert captured.out == ""


def test_an_error_with_json_is_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    run_raising(errors.MissingError("no data", place="--data", help="use cifar10:PATH"), "--json")
    assert json.loads(capsys.readouterr().err) == {
        "schema": "archbench.error/1",
        "code": 3,
        "place": "--data",
        "message": "no data",
        "help": "use cifar10:PATH",
    }


def test_wrong_usage_with_json_is_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_raising(click.BadParameter("must be 1"), "--json") == 2
    assert json.loads(capsys.readouterr().err)["message"] == "invalid value: must be 1"


def test_the_trace_of_a_bug_is_kept_in_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_raising(ZeroDivisionError("seven"), "--json") == 70
    told = json.loads(capsys.readouterr().err)
    assert "ZeroDivisionError: seven" in told["message"]
    kept = Path(told["help"].split("the trace is in ")[1].split(";")[0])
    text = kept.read_text()
    kept.unlink()
    assert "Traceback" in text
    assert "raise error" in text
    assert "archbench --json" in text


def test_no_trace_is_shown_unless_asked(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run_raising(errors.UsageError("no"))
    assert "Traceback" not in capsys.readouterr().err
    monkeypatch.setenv("ARCHBENCH_DEBUG", "1")
    run_raising(errors.UsageError("no"))
    assert "Traceback" in capsys.readouterr().err


def test_a_termination_is_an_interrupt_to_the_work() -> None:
    seen: list[type[BaseException]] = []

    def work() -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except KeyboardInterrupt as stop:
            seen.append(type(stop))
            raise main.parked(stop, "parked", place="search x", help="resume") from stop

    before = signal.getsignal(signal.SIGTERM)
    assert run_doing(work) == 143
    assert seen == [errors.Terminated]
    assert signal.getsignal(signal.SIGTERM) is before


_MODULE = """
import os, signal
try:
    os.kill(os.getpid(), signal.SIGTERM)
    whole = True
except KeyboardInterrupt:
    raise ImportError("as compiled modules tell it") from None
"""


@pytest.fixture
def imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Any]]:
    """Imports a module that is terminated meanwhile, once."""
    (tmp_path / "terminated_module.py").write_text(_MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    yield lambda: importlib.import_module("terminated_module")
    sys.modules.pop("terminated_module", None)


def test_an_interruption_waits_for_the_end_of_an_import(imported: Callable[[], Any]) -> None:
    found: list[Any] = []

    def work() -> None:
        found.append(imported())
        threading.Event().wait(60)

    assert run_doing(work) == 143
    assert found[0].whole


def test_an_interruption_that_broke_an_import_is_no_bug(
    imported: Callable[[], Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(main, "_IMPORT_S", 0.0)
    assert run_doing(imported) == 143
    told = "interrupted, and nothing is kept; the same command starts over"
    assert capsys.readouterr().err == f"error: archbench: {told}\n"


def test_an_interruption_that_was_lost_comes_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main, "_AGAIN_S", 0.05)

    def work() -> None:
        with contextlib.suppress(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        threading.Event().wait(60)

    assert run_doing(work) == 130


def test_what_is_resumed_goes_on_with_the_same_command(capsys: pytest.CaptureFixture[str]) -> None:
    @click.command()
    @click.option("--resume", is_flag=True)
    def command(resume: bool) -> None:
        raise KeyboardInterrupt

    assert main.run(command, ["--resume"]) == 130
    told = "error: archbench: interrupted; the same command goes on: archbench --resume"
    assert capsys.readouterr().err.strip() == told


def test_work_parked_by_ctrl_c_says_how_it_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    by = main.parked(KeyboardInterrupt(), "parked", place="results/a", help="type b")
    assert run_raising(by) == 130
    assert capsys.readouterr().err == "error: results/a: parked; type b\n"


def test_a_second_interruption_leaves_the_way_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> None:
        try:
            raise errors.ParkedError("the search is parked", help="resume it with: archbench x")
        finally:
            raise KeyboardInterrupt

    assert run_doing(work) == 130
    assert "the search is parked; resume it with: archbench x" in capsys.readouterr().err
