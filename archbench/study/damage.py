"""Is the database whole, and what does a failure of it mean for a person."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from archbench.errors import StorageError
from archbench.study.schema import DamagedError

_FULL = {sqlite3.SQLITE_FULL}
_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_REFUSED = {
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_AUTH,
}


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn failures of SQLite and of the disk, and damage, into errors that name the file.

    Raises:
        StorageError: With what happened and what to do.
    """
    try:
        yield
    except sqlite3.ProgrammingError:  # ours, such as the use of a closed store
        raise
    except sqlite3.Error as error:
        raise storage_error(path, error) from error
    except UnicodeDecodeError as error:  # the damage is in what SQLite says about it
        raise damaged(path, "its schema is not readable") from error
    except OSError as error:
        raise StorageError(
            f"cannot reach the database ({error.strerror})",
            place=str(path),
            help="check that the folder is there and that you may write in it",
        ) from error
    except DamagedError as error:
        raise damaged(path, error.message) from error
    except StorageError as error:
        if error.place:
            raise
        raise error.at(str(path)) from error


def storage_error(path: Path, error: sqlite3.Error) -> StorageError:
    """What a failure of SQLite means, in words."""
    code = getattr(error, "sqlite_errorcode", None)
    primary = code & 0xFF if code is not None else None
    if primary in _FULL:
        return StorageError(
            "the disk is full; nothing of the last step was written",
            place=str(path),
            help="free some space and resume: what was acknowledged before is safe",
        )
    if primary in _BUSY:
        return StorageError(
            "another process holds the database for writing",
            place=str(path),
            help="wait for it or end it, then try again",
        )
    if primary in _REFUSED:
        return StorageError(
            f"cannot open or write the database ({error})",
            place=str(path),
            help="check that the folder is there and that you may write in it, "
            "or copy it to where you may",
        )
    if primary == sqlite3.SQLITE_IOERR:
        return StorageError(
            f"reading or writing the disk failed ({error})",
            place=str(path),
            help="check the disk and its free space, then resume",
        )
    return damaged(path, str(error))


def damaged(path: Path, what: str) -> StorageError:
    """The error for a database whose content cannot be trusted."""
    backup = backup_path(path)
    if backup.exists():
        help_ = (
            f"move {path.name}, {path.name}-wal and {path.name}-shm away, "
            f"then copy {backup.name} to {path.name}"
        )
    else:
        help_ = (
            "put back a copy of it, or begin anew under another --name; the parquet and CSV "
            "tables beside it hold the results up to their last writing"
        )
    return StorageError(f"the database is damaged: {what}", place=str(path), help=help_)


def backup_path(path: Path) -> Path:
    """Where the copy of a database lies."""
    return path.with_name(path.name + ".backup")


def check_pages(connection: sqlite3.Connection) -> None:
    """Check the structure of the whole file.

    Raises:
        DamagedError: The file is damaged or truncated.
        sqlite3.Error: It is so far damaged that the check cannot run.
    """
    faults = [str(fault) for (fault,) in connection.execute("PRAGMA integrity_check(1)")]
    if faults != ["ok"]:
        raise DamagedError(faults[0].splitlines()[-1] if faults else "its check gave no answer")
