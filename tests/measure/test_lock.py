"""The measurement lock: one at a time, and free again however its holder ends."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from archbench.errors import StorageError
from archbench.measure.lock import measurement_lock, runtime_folder

HOLDER = """
import sys
from pathlib import Path
from archbench.measure.lock import measurement_lock
with measurement_lock("cpu", folder=Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def holder(folder: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def test_a_second_measurement_waits_and_then_says_who_holds_it(tmp_path: Path) -> None:
    with (
        holder(tmp_path) as process,
        pytest.raises(StorageError, match=f"process {process.pid} has been measuring on cpu"),
        measurement_lock("cpu", folder=tmp_path, patience_s=0.0),
    ):
        pass


def test_lock_is_free_after_its_holder_was_killed(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        process.kill()
        process.wait()
    with measurement_lock("cpu", folder=tmp_path, patience_s=0.0):
        pass


def test_devices_do_not_exclude_one_another(tmp_path: Path) -> None:
    with (
        measurement_lock("cpu", folder=tmp_path, patience_s=0.0),
        measurement_lock("cuda", folder=tmp_path, patience_s=0.0),
    ):
        pass


def test_lock_is_free_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), measurement_lock("cpu", folder=tmp_path):
        _ = 1 / 0
    with measurement_lock("cpu", folder=tmp_path, patience_s=0.0):
        pass


def test_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(StorageError, match=r"none/measure-cpu\.lock: the measurement lock cannot"),
        measurement_lock("cpu", folder=tmp_path / "none"),
    ):
        pass


def test_runtime_folder_is_the_user_s_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "mine"))
    assert runtime_folder() == tmp_path / "mine" / "archbench"
    assert runtime_folder().stat().st_mode & 0o777 == 0o700


def test_runtime_folder_without_a_login_lies_with_temporary_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert runtime_folder().parent == tmp_path
    assert runtime_folder().name.startswith("archbench-")


def test_runtime_folder_that_cannot_be_made_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "file"))
    with pytest.raises(StorageError, match="the runtime folder cannot be made"):
        runtime_folder()


def test_runtime_folder_of_another_user_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = tmp_path.stat().st_uid
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr("os.getuid", lambda: owner + 1)
    with pytest.raises(StorageError, match="belongs to another user"):
        runtime_folder()
