"""How is a study's database opened, and is it one that this version can use."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from archbench.errors import StorageError
from archbench.study import damage, schema
from archbench.study.log import check_log

BUSY_TIMEOUT_S = 60


def connect(path: Path, mode: str) -> sqlite3.Connection:
    """A connection in autocommit mode, for URI parameters such as ``mode=ro``.

    Raises:
        StorageError: The file cannot be opened so.
    """
    with damage.explained(path):
        return sqlite3.connect(
            f"{path.absolute().as_uri()}?{mode}",
            uri=True,
            isolation_level=None,
            timeout=BUSY_TIMEOUT_S,
        )


def open_writer(path: Path) -> sqlite3.Connection:
    """A connection that may write to a study of a known version, checked for damage.

    Raises:
        StorageError: There is no study, it is damaged, newer, or cannot be written.
    """
    connection = connect(path, "mode=rw")
    with closed_on_error(connection, path):
        check_log(path)
        damage.check_pages(connection)
        checked_version(connection)
        set_durable(connection)
    return connection


def open_reader(path: Path) -> tuple[sqlite3.Connection, tuple[int, ...] | None]:
    """A connection that reads a study of this version, checked for damage.

    Returns:
        The connection and, where nobody has the study open so that it is read without locks
        and without files beside it, what the file looked like.

    Raises:
        StorageError: There is no study, it is damaged, or of another version.
    """
    unchanged = quiet_stamp(path)
    if unchanged is not None:
        try:
            return _reader(path, "immutable=1"), unchanged
        except StorageError:
            if unchanged == quiet_stamp(path):
                raise
    return _reader(path, "mode=ro"), None


def _reader(path: Path, mode: str) -> sqlite3.Connection:
    connection = connect(path, mode)
    with closed_on_error(connection, path):
        check_log(path)
        damage.check_pages(connection)
        found = checked_version(connection)
        if found != schema.VERSION:
            raise StorageError(
                f"its tables have the older version {found}, this one reads {schema.VERSION}",
                help="lift it by opening it for writing: archbench search SPACE --resume",
            )
    return connection


@contextmanager
def closed_on_error(connection: sqlite3.Connection, path: Path) -> Iterator[None]:
    """Let go of the file where the block fails, and say what the failure means."""
    try:
        with damage.explained(path):
            yield
    except BaseException:
        connection.close()
        raise


def set_durable(connection: sqlite3.Connection) -> None:
    """Let readers in while one writes, and put every commit on the disk.

    Raises:
        StorageError: The file system cannot do it.
    """
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise StorageError(
            f"the file system allows no write-ahead log (journal mode {mode})",
            help="put the study on a local disk with --results FOLDER",
        )
    connection.execute("PRAGMA synchronous = FULL")


def quiet_stamp(path: Path) -> tuple[int, ...] | None:
    """What tells whether a file changed; None while a log stands beside it.

    Where there is no log, nobody has the study open, and it can be read without locks.
    """
    if path.with_name(path.name + "-wal").exists():
        return None
    seen = path.stat()
    return seen.st_ino, seen.st_size, seen.st_mtime_ns


def version(connection: sqlite3.Connection) -> int | None:
    """The version of a study's tables, or None where there are none.

    Raises:
        DamagedError: They are there without a version.
    """
    known = connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (schema.HEADER.name,))
    if known.fetchone() is None:
        return None
    for _, text in schema.rows(connection, schema.HEADER, "key = 'schema'"):
        return int(json.loads(str(text)))
    raise schema.DamagedError("the version of its tables is missing")


def checked_version(connection: sqlite3.Connection) -> int:
    """The version of a study's tables, one that is known here.

    Raises:
        StorageError: There is no study in the file, or a newer archbench wrote it.
    """
    found = version(connection)
    if found is None:
        raise StorageError(
            "the database holds no study",
            help="put back a copy of it, or begin a study with: archbench search SPACE",
        )
    if found > schema.VERSION:
        raise StorageError(
            f"a newer archbench wrote it (tables {found}, known here up to {schema.VERSION})",
            help="update: pip install --upgrade archbench",
        )
    return found


def back_up(connection: sqlite3.Connection, path: Path) -> Path:
    """Write a sound copy beside a database, atomically, and give its path.

    Raises:
        StorageError: It cannot be written; an earlier copy is as before.
    """
    target = damage.backup_path(path)
    partial = target.with_name(f"{target.name}.{os.getpid()}.partial")
    try:
        with damage.explained(target), closing(sqlite3.connect(partial)) as copy:
            connection.backup(copy)
        os.replace(partial, target)
    except OSError as error:
        raise StorageError(
            f"cannot write the backup ({error.strerror})",
            place=str(target),
            help="check the folder and its free space",
        ) from error
    finally:
        partial.unlink(missing_ok=True)
    return target
