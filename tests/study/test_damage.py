"""Damage is named in words, never by a traceback."""

import os
import random
import shutil
import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from archbench.errors import StorageError
from archbench.study import rows
from archbench.study.connection import bounded, read
from archbench.study.database import Store
from archbench.study.table import Table
from archbench.study.trial import QuantisedAccuracy, RungVerdict, Snapshot, TrainingRecord
from tests.study import example

LOG = "study.db-wal"
VERDICT = RungVerdict(seed=0, epoch=4, stops=False, is_audited=False, probability=0.5, reason="")


def fill(store: Store) -> None:
    """Some dozen trials with samples."""
    for number in range(12):
        samples = tuple(random.Random(number).random() for _ in range(200))
        store.add_trial(
            example.trial(
                number, accuracy=0.5, latency=replace(example.latency(1.0), samples=samples)
            )
        )
    store.add_reference("levit_128s", example.latency(3.0), 7, 8)


@pytest.fixture
def closed(tmp_path: Path) -> Path:
    """A study that was closed as it should."""
    with Store.create(tmp_path / "study.db", example.header()) as store:
        fill(store)
    return tmp_path / "study.db"


@pytest.fixture
def killed(tmp_path: Path) -> Path:
    """A study whose owner was killed: all of it still stands in the log."""
    live, folder = tmp_path / "live", tmp_path / "killed"
    live.mkdir()
    folder.mkdir()
    with Store.create(live / "study.db", example.header()) as store:
        fill(store)
        for name in ("study.db", LOG):
            shutil.copy(live / name, folder / name)
    return folder / "study.db"


def content(path: Path, *, thorough: bool = True) -> Snapshot:
    return read(path, thorough=thorough)


def written(path: Path) -> Snapshot:
    with Store.open(path) as store:
        return store.snapshot()


def flip(path: Path, *, original: bytes, bit: int) -> None:
    """Write a file anew with one bit flipped, and nothing of another run beside it."""
    for beside in (LOG, "study.db-shm"):
        if beside != path.name:
            path.with_name(beside).unlink(missing_ok=True)
    damaged = bytearray(original)
    damaged[bit // 8] ^= 1 << (bit % 8)
    path.write_bytes(damaged)


def test_flipped_bit_ends_in_words_or_harms_nothing_but_a_cell(closed: Path) -> None:
    original, whole = closed.read_bytes(), content(closed)
    random_ = random.Random(0)
    bits = [random_.randrange(8 * len(original)) for _ in range(60)]
    heads = [4096 * 8 * page + random_.randrange(512) for page in range(len(original) // 4096)]
    errors = []
    for bit in bits + heads:
        flip(closed, original=original, bit=bit)
        try:
            found = content(closed)
            assert [record.number for record in found.trials] == [r.number for r in whole.trials]
            assert len(found.measurements) == len(whole.measurements)
        except StorageError as error:
            errors.append(error)
    assert errors
    assert all(error.place == str(closed) and error.help for error in errors)


@pytest.mark.parametrize(
    ("column", "value"), [("proxy_accuracy", "'high'"), ("seconds", "9e999"), ("spec", "'{'")]
)
@pytest.mark.parametrize("enter", [content, written])
def test_cell_that_no_record_can_hold_is_seen(
    closed: Path, column: str, value: str, enter: Callable[[Path], Snapshot]
) -> None:
    with Store.open(closed) as store:
        store._connection.execute(f"UPDATE archbench_trial SET {column} = {value}")
    with pytest.raises(
        StorageError, match=r"the database is damaged: (the row \(0,\)|a row is not)"
    ):
        enter(closed)


def test_name_of_a_table_that_is_no_text_any_more_is_seen(closed: Path) -> None:
    original = closed.read_bytes()
    heads = [start for start in range(4096) if original.startswith(b"archbench_point", start)]
    assert heads
    for start in heads:
        for character in range(len(b"archbench_point")):
            flip(closed, original=original, bit=8 * (start + character) + 7)
            with pytest.raises(StorageError, match="the database is damaged"):
                content(closed)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.7, 0.9])
def test_truncated_file_is_seen(closed: Path, share: float) -> None:
    original = closed.read_bytes()
    closed.write_bytes(original[: int(share * len(original))])
    with pytest.raises(StorageError, match=r"study\.db: the database"):
        content(closed)


def test_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "study.db").write_text("name: quickstart\n" * 500)
    with pytest.raises(StorageError, match="the database is damaged: file is not a database"):
        content(tmp_path / "study.db")
    with pytest.raises(StorageError, match="the database is damaged: file is not a database"):
        Store.create(tmp_path / "study.db", example.header())


def fill_every_table(path: Path) -> None:
    """At least one row in each."""
    with Store.open(path) as store:
        store.add_verdict(0, VERDICT)
        store.set_training(0, TrainingRecord(seed=0, epochs=8))
        store.set_checkpoint(0, example.point(4, 0.5), path=path, sha256="ab" * 32)
        store.set_notes(0, {"params": {}})
        store.update(0, weights_inherited=0.5, design=0)
        store.add_quantised(0, QuantisedAccuracy(seed=0, accuracy=0.5, seconds=1.0))


def change(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement)


@pytest.mark.parametrize("table", rows.TABLES, ids=lambda table: table.name)
@pytest.mark.parametrize("enter", [content, written])
def test_row_that_is_gone_is_seen_and_its_table_named(
    closed: Path, table: Table, enter: Callable[[Path], Snapshot]
) -> None:
    fill_every_table(closed)
    where = " WHERE key = 'name'" if table is rows.HEADER else ""
    change(closed, f"DELETE FROM {table.name}{where}")
    told = rf"study\.db: the database is damaged: the table {table.name} is not whole: \d+ rows "
    with pytest.raises(StorageError, match=told + r"are there and \d+ were written") as caught:
        enter(closed)
    assert caught.value.exit_code == 4


@pytest.mark.parametrize("table", rows.TABLES, ids=lambda table: table.name)
def test_table_that_is_gone_and_cell_that_is_another_are_seen(closed: Path, table: Table) -> None:
    fill_every_table(closed)
    whole = closed.read_bytes()
    column = list(table.columns)[-1]
    others = {"value": "'\"x\"'", "samples": "zeroblob(8)", "notes": "'{}'", "inherited": 0.25}
    where = " WHERE key = 'name'" if table is rows.HEADER else ""
    change(closed, f"UPDATE {table.name} SET {column} = {others.get(column, 77)}{where}")
    with pytest.raises(StorageError, match=rf"{table.name} is not whole: a row is not as it was"):
        content(closed)
    closed.write_bytes(whole)
    change(closed, f"DROP TABLE {table.name}")
    with pytest.raises(StorageError, match=f"{table.name} is not whole: 0 rows|holds no study"):
        content(closed)


def test_counts_that_are_gone_are_seen(closed: Path) -> None:
    whole = closed.read_bytes()
    change(closed, "DELETE FROM archbench_count WHERE name = 'archbench_point'")
    with pytest.raises(StorageError, match="archbench_point is not whole: 12 rows are there and"):
        content(closed)
    closed.write_bytes(whole)
    change(closed, "DROP TABLE archbench_count")
    for enter in (content, written):
        with pytest.raises(StorageError, match="the table archbench_count is missing"):
            enter(closed)


def test_older_study_is_counted_from_its_next_opening_on(closed: Path) -> None:
    whole = content(closed)
    change(closed, "DROP TABLE archbench_count")
    change(closed, "UPDATE archbench_header SET value = '2' WHERE key = 'schema'")
    assert content(closed).trials == whole.trials
    assert written(closed) == whole
    change(closed, "DELETE FROM archbench_point WHERE trial = 3")
    with pytest.raises(StorageError, match="archbench_point is not whole: 11 rows are there and"):
        content(closed)


def test_write_that_is_taken_back_and_numbers_near_zero_leave_the_counts_right(
    closed: Path,
) -> None:
    with Store.open(closed) as store:
        bad = example.point(8, float("nan"))
        with pytest.raises(ValueError, match="finite"):  # after other rows of it
            store.add_trial(example.trial(12, latency_ms=0.5, curve=(example.point(4, 0.3), bad)))
        store.add_point(0, replace(example.point(8, 0.5), loss=-0.0))
        store.add_point(0, replace(example.point(8, 0.5), loss=1e-320))
        store.add_trial(example.trial(12, state="failed", reason="a\0b \ud800 \U0001fae8"))
        assert len(store.snapshot().trials) == 13
    assert len(content(closed).trials) == 13


def test_killed_study_is_whole(killed: Path) -> None:
    assert len(content(killed).trials) == 12
    assert len(written(killed).trials) == 12


@pytest.mark.parametrize("tear", ["cut", "garbled"])
def test_log_that_a_power_cut_tore_is_used_up_to_its_last_whole_commit(
    killed: Path, tear: str
) -> None:
    log = killed.parent / LOG
    whole = log.read_bytes()
    log.write_bytes(whole[:-2000] + (b"" if tear == "cut" else bytes(2000)))
    snapshot = written(killed)
    assert len(snapshot.trials) == 12
    assert snapshot.references == ()


def test_help_names_the_backup_which_restores_the_study(closed: Path) -> None:
    with Store.open(closed) as store:
        whole = store.snapshot()
        backup = store.back_up()
    assert backup.name == "study.db.backup"
    closed.write_bytes(closed.read_bytes()[:5000])
    with pytest.raises(StorageError, match=r"then copy study\.db\.backup to study\.db$"):
        content(closed)
    shutil.copy(backup, closed)
    assert content(closed) == whole
    assert not list(closed.parent.glob("*.partial"))


def test_damaged_study_never_takes_the_place_of_a_sound_backup(closed: Path) -> None:
    with Store.open(closed) as store:
        backup = store.back_up()
    sound, original = backup.read_bytes(), closed.read_bytes()
    closed.write_bytes(original[:4096] + bytes(9 * 4096) + original[10 * 4096 :])
    with closing(sqlite3.connect(closed, isolation_level=None)) as connection:
        damaged = Store(closed, connection=connection)
        with pytest.raises(StorageError, match=r"study\.db: the database is damaged"):
            damaged.back_up()
    assert backup.read_bytes() == sound
    assert not list(closed.parent.glob("*.partial*")) + list(closed.parent.glob(".*"))


def test_backup_that_cannot_be_written_is_named(closed: Path) -> None:
    (closed.parent / "study.db.backup").mkdir()
    with (
        Store.open(closed) as store,
        pytest.raises(StorageError, match=r"study\.db\.backup: cannot reach the database"),
    ):
        store.back_up()


ENDLESS = "WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r) SELECT max(x) FROM r"


def test_reading_that_would_never_end_is_given_up(tmp_path: Path) -> None:
    (tmp_path / "small").touch()
    with (
        closing(sqlite3.connect(":memory:")) as connection,
        pytest.raises(sqlite3.DatabaseError, match="its pages lead in circles"),
        bounded(connection, tmp_path / "small"),
    ):
        connection.execute(ENDLESS).fetchall()


def test_signals_are_heard_while_a_file_is_read(tmp_path: Path) -> None:
    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt("from outside")

    (tmp_path / "large").touch()
    os.truncate(tmp_path / "large", 10**9)
    before = signal.signal(signal.SIGVTALRM, interrupt)
    signal.setitimer(signal.ITIMER_VIRTUAL, 0.05)
    try:
        with (
            closing(sqlite3.connect(":memory:")) as connection,
            pytest.raises(KeyboardInterrupt),
            bounded(connection, tmp_path / "large"),
        ):
            connection.execute(ENDLESS).fetchall()
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def test_database_that_is_a_link_is_not_read(closed: Path, tmp_path: Path) -> None:
    link = tmp_path / "other" / "study.db"
    link.parent.mkdir()
    link.symlink_to(closed)
    with pytest.raises(StorageError, match=r"study\.db: it is a link to .*study\.db, and a study"):
        content(link)
