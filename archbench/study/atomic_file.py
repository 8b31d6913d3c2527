"""How does a file get its content whole or not at all, and what do failures of storage mean?"""

import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from archbench.errors import StorageError
from archbench.lock import locked
from archbench.progress import Progress


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it, where it is not there.

    Raises:
        StorageError: It cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        message = f"cannot make the folder: {error.strerror}"
        raise StorageError(message, place=str(folder)) from error


def write_atomically(path: Path, content: bytes) -> None:
    """Give a file new content: a reader sees the old or the new, also after a crash.

    Raises:
        StorageError: The folder is missing, full or not to be written in; the file is as before.
    """
    try:
        replace_file(path, content, partial=f".{path.name}.{uuid4().hex[:8]}.partial")
    except OSError as error:
        raise StorageError(
            f"cannot write the file ({error.strerror})",
            place=str(path),
            help="check that the folder is there, has space and lets you write",
        ) from error


def replace_file(path: Path, content: bytes, *, partial: str, previous: Path | None = None) -> None:
    """Give a file new content as ``write_atomically`` does.

    Until it is whole it lies beside its place under the name ``partial``; a file that stands there
    is moved to ``previous``, if that is given. What lay there under the name ``partial`` is removed
    and never written into: it may be a link to elsewhere.

    Raises:
        OSError: It cannot be written; the file is as before.
    """
    beside = path.with_name(partial)
    try:
        beside.unlink(missing_ok=True)
        with open(beside, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if previous is not None and path.exists():
            os.replace(path, previous)
        os.replace(beside, path)
        sync_folder(path.parent)
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Put the new name on the disk; some file systems cannot, and lose nothing by it."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def writing_alone(
    path: Path, *, doing: str = "writes the same file", on_progress: Progress | None = None
) -> AbstractContextManager[None]:
    """Waits until no other process is in here for the file; see ``archbench.lock.locked``.

    The lock lies beside the file, in a folder that exists, with the ending ``.lock``.

    Raises:
        OSError: The lock cannot be opened.
    """
    return locked(path.with_suffix(".lock"), doing=doing, on_progress=on_progress)


def require_own(path: Path, *, is_written: bool = False) -> None:
    """Nothing, when what lies at a path of a study is its own, or nothing lies there.

    A study may come from a stranger, and a link in it leads to files that are none of it.

    Raises:
        StorageError: It is a symbolic link, or neither a file nor a folder; or it is a file that is
            written in place and has a second name somewhere.
    """
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if stat.S_ISLNK(found.st_mode):
        what = f"a link to {os.readlink(path)}"
    elif not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
        what = "neither a file nor a folder"
    elif is_written and stat.S_ISREG(found.st_mode) and found.st_nlink > 1:
        what = "a file that has a second name elsewhere"
    else:
        return
    raise StorageError(
        f"it is {what}, and a study is read and written only where all of it is its own",
        place=str(path),
        help="remove it, or put a copy of the file in its place",
    )


@contextmanager
def storage_failures(path: Path) -> Iterator[None]:
    """Turns an operating-system error about the study's storage into one that says what to do.

    Raises:
        StorageError: The block raised an OSError, as for a full disk or a missing right.
    """
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"cannot write the study: {error.strerror or error}",
            place=str(error.filename or path),
            help="see that the folder is there, has space and lets you write, then try again; "
            "what was told as finished is safe",
        ) from error


def backup_path(path: Path) -> Path:
    """Where the copy of a database lies."""
    return path.with_name(path.name + ".backup")


@contextmanager
def database_failures(path: Path) -> Iterator[None]:
    """Turn failures of SQLite and of the disk, and damage, into errors that name the file.

    Raises:
        StorageError: With what happened and what to do.
    """
    try:
        yield
    except sqlite3.ProgrammingError:  # ours, such as the use of a closed store
        raise
    except sqlite3.Error as error:
        raise _storage_error(path, error) from error
    except UnicodeDecodeError as error:  # the damage is in what SQLite says about it
        raise _damaged(path, "its schema is not readable") from error
    except OSError as error:
        raise StorageError(
            f"cannot reach the database ({error.strerror})",
            place=str(path),
            help="check that the folder is there and that you may write in it",
        ) from error
    except StorageError as error:
        if error.place:
            raise
        raise error.at(str(path)) from error


def _storage_error(path: Path, error: sqlite3.Error) -> StorageError:
    """What a failure of SQLite means, in words."""
    match getattr(error, "sqlite_errorcode", 0) & 0xFF:
        case sqlite3.SQLITE_FULL:
            what = "the disk is full; nothing of the last step was written"
            help_ = "free some space and resume: what was acknowledged before is safe"
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            what = "another process holds the database for writing"
            help_ = "wait for it or end it, then try again"
        case (
            sqlite3.SQLITE_READONLY
            | sqlite3.SQLITE_CANTOPEN
            | sqlite3.SQLITE_PERM
            | sqlite3.SQLITE_AUTH
        ):
            what = f"cannot open or write the database ({error})"
            help_ = (
                "check that the folder is there and that you may write in it, or copy it to "
                "where you may"
            )
        case sqlite3.SQLITE_IOERR:
            what = f"reading or writing the disk failed ({error})"
            help_ = "check the disk and its free space, then resume"
        case _:
            return _damaged(path, str(error))
    return StorageError(what, place=str(path), help=help_)


def _damaged(path: Path, what: str) -> StorageError:
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
