"""How is a study's database opened, checked, and read as a whole?"""

import sqlite3
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TypeVar, cast

from archbench.errors import StorageError
from archbench.study import rows
from archbench.study.atomic_file import database_failures, require_own
from archbench.study.table import COUNTS, is_there
from archbench.study.trial import Snapshot, StudyKind

_T = TypeVar("_T")

_UNREADABLE = (ValueError, TypeError, LookupError, RecursionError, struct.error)


def read(path: Path | str, *, thorough: bool = False) -> Snapshot:
    """Everything that a study holds, as it stood at one moment, without writing to it.

    Needs no right to write, locks nobody out, and makes no files unless another process is
    writing. 10,000 trials take less than a second. A ``thorough`` reader checks the structure of
    the whole file first.

    Raises:
        StorageError: There is none, it is damaged, or a newer archbench wrote it.
    """
    return _at_one_moment(existing(path), content, thorough=thorough)


def read_kind(path: Path | str) -> StudyKind:
    """What a study is, told without reading its trials.

    Raises:
        StorageError: There is none, it is damaged, or a newer archbench wrote it.
    """
    header = _at_one_moment(existing(path), rows.header, thorough=False)
    return cast(StudyKind, header.get("kind", "search"))


def _at_one_moment(path: Path, load: Callable[[sqlite3.Connection], _T], *, thorough: bool) -> _T:
    while True:
        quiet = _quiet_stamp(path)  # where nobody has it open it is read without locks
        mode = "mode=ro" if quiet is None else "immutable=1"
        try:
            with held(path, mode) as connection, closing(connection):
                if thorough:
                    _check_pages(connection)
                check_version(connection)
                connection.execute("BEGIN")
                found = load(connection)
        except StorageError:
            if quiet == _quiet_stamp(path):
                raise
        else:
            if quiet in (None, _quiet_stamp(path)):
                return found


def existing(path: Path | str) -> Path:
    """The path of a database that is there.

    Raises:
        StorageError: There is none, or it is a link to elsewhere.
    """
    path = Path(path)
    require_own(path)
    if not path.is_file():
        raise StorageError(
            "there is no study database",
            place=str(path),
            help="begin a study with: archbench search SPACE",
        )
    return path


@contextmanager
def held(path: Path, mode: str) -> Iterator[sqlite3.Connection]:
    """A connection in autocommit mode, for URI parameters such as ``mode=ro``; it stays open.

    Where the block fails the file is let go of, and the failure explained.

    Raises:
        StorageError: The file cannot be opened so, or the block failed.
    """
    uri = f"{path.absolute().as_uri()}?{mode}"
    with database_failures(path), ExitStack() as failed:
        connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=60)
        failed.callback(connection.close)
        connection.execute("PRAGMA trusted_schema = OFF")  # the file may be somebody else's
        yield connection
        failed.pop_all()


def content(connection: sqlite3.Connection) -> Snapshot:
    """Everything; where it cannot be read, the check of the file says more than the failure.

    Raises:
        sqlite3.DatabaseError: The content cannot be trusted.
    """
    try:
        return rows.snapshot(connection)
    except sqlite3.ProgrammingError:
        raise
    except (sqlite3.DatabaseError, *_UNREADABLE) as error:
        _check_pages(connection)
        if isinstance(error, sqlite3.DatabaseError):
            raise
        raise sqlite3.DatabaseError(f"a row is not readable ({error!r:.80})") from error


def _check_pages(connection: sqlite3.Connection) -> None:
    """Check the structure of the whole file.

    Raises:
        sqlite3.DatabaseError: The file is damaged or truncated.
    """
    faults = [str(fault) for (fault,) in connection.execute("PRAGMA integrity_check(1)")]
    if faults != ["ok"]:
        what = faults[0].splitlines()[-1] if faults else "its check gave no answer"
        raise sqlite3.DatabaseError(what)


def _quiet_stamp(path: Path) -> tuple[int, ...] | None:
    """What tells whether a file changed; None while a log stands beside it."""
    if path.with_name(path.name + "-wal").exists():
        return None
    seen = path.stat()
    return seen.st_ino, seen.st_size, seen.st_mtime_ns


def version(connection: sqlite3.Connection) -> int | None:
    """The version of a study's tables, or None where there are none.

    Raises:
        sqlite3.DatabaseError: They are there without a version.
    """
    if not is_there(connection, rows.HEADER.name):
        return None
    for row in rows.HEADER.rows(connection, "key = 'schema'"):
        if str(row["value"]).isdecimal():
            return int(row["value"])
    raise sqlite3.DatabaseError("the version of its tables is missing")


def check_version(connection: sqlite3.Connection) -> None:
    """See that the tables are of a version that is known here.

    Raises:
        StorageError: There is no study in the file, or a newer archbench wrote it.
        sqlite3.DatabaseError: What was counted of it is missing.
    """
    found = version(connection)
    if found is None:
        raise StorageError(
            "the database holds no study",
            help="put back a copy of it, or begin a study with: archbench search SPACE",
        )
    if found > rows.VERSION:
        raise StorageError(
            f"a newer archbench wrote it (tables {found}, known here up to {rows.VERSION})",
            help="update: pip install --upgrade archbench",
        )
    if found >= rows.COUNTED_SINCE and not is_there(connection, COUNTS):
        raise sqlite3.DatabaseError(f"the table {COUNTS} is missing")
