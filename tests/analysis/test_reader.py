"""Readers hold nobody up, leave nothing behind, and need no more than the right to read."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from archbench.analysis.study import open_study
from archbench.errors import StorageError
from archbench.study import rows
from archbench.study.connection import held
from archbench.study.database import Store
from archbench.study.rows import snapshot
from archbench.study.trial import Snapshot
from tests.study import example

NOBODY = 65534


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that any user can reach, as pytest's own are not."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        with Store.create(Path(name) / "study.db", example.header()) as store:
            store.add_trial(example.trial(0, accuracy=0.5, latency_ms=1.0))
        yield Path(name)


@contextmanager
def without_the_right_to_write(folder: Path) -> Iterator[None]:
    """As another user where the tests run as root, else in a folder closed to writing."""
    if os.geteuid() == 0:
        os.seteuid(NOBODY)
        try:
            yield
        finally:
            os.seteuid(0)
    else:
        folder.chmod(0o555)
        try:
            yield
        finally:
            folder.chmod(0o755)


def test_reading_a_closed_study_makes_no_files(folder: Path) -> None:
    assert len(open_study(folder).trials()) == 1
    assert [path.name for path in folder.iterdir()] == ["study.db"]


def test_closed_study_is_read_without_the_right_to_write(folder: Path) -> None:
    with without_the_right_to_write(folder):
        assert len(open_study(folder).trials()) == 1


def test_running_study_is_read_without_the_right_to_write(folder: Path) -> None:
    with Store.open(folder / "study.db") as store:
        store.add_trial(example.trial(1))
        with without_the_right_to_write(folder):
            assert len(open_study(folder).trials()) == 2


def test_writing_without_the_right_is_refused_in_words(folder: Path) -> None:
    with (
        without_the_right_to_write(folder),
        pytest.raises(StorageError, match="check that the folder is there and that you may write"),
    ):
        Store.open(folder / "study.db")


def test_reader_in_the_middle_of_reading_does_not_block_the_writer(folder: Path) -> None:
    path = folder / "study.db"
    with Store.open(path) as store:
        store.add_trial(example.trial(1))
        store._connection.execute("PRAGMA busy_timeout = 0")
        with held(path, "mode=ro") as reader, closing(reader):
            reader.execute("BEGIN")
            assert len(snapshot(reader).trials) == 2
            for number in range(2, 30):
                store.add_trial(example.trial(number, latency_ms=1.0))
            assert len(snapshot(reader).trials) == 2
            reader.execute("ROLLBACK")
            assert len(snapshot(reader).trials) == 30


def test_reader_without_locks_reads_again_when_a_writer_came(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder / "study.db"

    def interrupted(connection: sqlite3.Connection) -> Snapshot:
        found = snapshot(connection)
        monkeypatch.undo()
        with Store.open(path) as store:
            for number in range(1, 40):
                store.add_trial(example.trial(number, latency_ms=1.0))
        return found

    monkeypatch.setattr(rows, "snapshot", interrupted)
    assert len(open_study(folder).trials()) == 40


WRITE_AND_CLOSE = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("SELECT count(*) FROM archbench_trial").fetchone()
connection.close()
"""


def test_reading_in_the_owner_leaves_it_its_locks(folder: Path) -> None:
    """Else another process that closes the file as if it were the last deletes the log."""
    path = folder / "study.db"
    with Store.open(path) as store:
        open_study(folder)
        store.add_trial(example.trial(1))
        open_study(folder)
        subprocess.run([sys.executable, "-c", WRITE_AND_CLOSE, str(path)], check=True)
        assert (folder / "study.db-wal").stat().st_size > 0
        store.add_trial(example.trial(2))
    assert len(open_study(folder).trials()) == 3


def test_second_writer_waits_and_is_then_refused_in_words(folder: Path) -> None:
    path = folder / "study.db"
    with Store.open(path) as store, Store.open(path) as other:
        other._connection.execute("PRAGMA busy_timeout = 10")
        with (
            store.transaction(),
            pytest.raises(StorageError, match="another process holds the database for writing"),
        ):
            other.add_trial(example.trial(1))
        other.add_trial(example.trial(1))


def test_log_without_its_index_in_a_closed_folder_is_explained(folder: Path) -> None:
    path = folder / "study.db"
    with Store.open(path) as store:
        store.add_trial(example.trial(1))
        kept = {name: (folder / name).read_bytes() for name in ("study.db", "study.db-wal")}
    for name, data in kept.items():
        (folder / name).write_bytes(data)
    with (
        without_the_right_to_write(folder),
        pytest.raises(StorageError, match="or copy it to where you may"),
    ):
        open_study(folder)
    assert len(open_study(folder).trials()) == 2


def test_wrong_use_is_not_called_damage(folder: Path) -> None:
    store = Store.open(folder / "study.db")
    store.close()
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        store.snapshot()
