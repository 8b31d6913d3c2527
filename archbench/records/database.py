"""How is a study's database opened, and is it one that this version can use."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from archbench.errors import StorageError
from archbench.records import damage, schema

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


@contextmanager
def closed_on_error(connection: sqlite3.Connection) -> Iterator[None]:
    """Let go of the file where the block fails."""
    try:
        yield
    except BaseException:
        connection.close()
        raise


def set_durable(connection: sqlite3.Connection, path: Path) -> None:
    """Let readers in while one writes, and put every commit on the disk.

    Raises:
        StorageError: The file system cannot do it.
    """
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise StorageError(
            f"the file system allows no write-ahead log (journal mode {mode})",
            place=str(path),
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


def checked_version(connection: sqlite3.Connection, path: Path) -> int:
    """The version of a study's tables, one that is known here.

    Raises:
        StorageError: There is no study in the file, or a newer archbench wrote it.
    """
    found = version(connection)
    if found is None:
        raise StorageError(
            "the database holds no study",
            place=str(path),
            help="put back a copy of it, or begin a study with: archbench search SPACE",
        )
    if found > schema.VERSION:
        raise StorageError(
            f"a newer archbench wrote it (tables {found}, known here up to {schema.VERSION})",
            place=str(path),
            help="update: pip install --upgrade archbench",
        )
    return found
