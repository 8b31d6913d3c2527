"""How is a study's database opened, checked, and read as a whole?"""

import re
import sqlite3
import struct
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

from archbench.errors import StorageError
from archbench.study import rows
from archbench.study.atomic_file import database_failures, require_own
from archbench.study.table import COUNTS, is_there
from archbench.study.trial import Snapshot, StudyKind

_T = TypeVar("_T")

_EVERY = 1000  # steps of SQLite's machine between two looks at signals
_STEPS = 10_000_000  # a second
_STEPS_A_BYTE = 10  # reading takes less than 1
_LEAST_LENGTH = 1_000_000
_VIRTUAL = re.compile(r"\s*CREATE\s+VIRTUAL", re.IGNORECASE)
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


def read_header(path: Path | str) -> dict[str, Any]:
    """What the header of a study holds, read without its trials.

    Raises:
        StorageError: There is none, it is damaged, or a newer archbench wrote it.
    """
    return _at_one_moment(
        existing(path), lambda connection: loaded(connection, rows.header), thorough=False
    )


def read_kind(path: Path | str) -> StudyKind:
    """What a study is, told without reading its trials.

    Raises:
        StorageError: See ``read_header``.
    """
    return cast(StudyKind, read_header(path).get("kind", "search"))


def _at_one_moment(path: Path, load: Callable[[sqlite3.Connection], _T], *, thorough: bool) -> _T:
    while True:
        quiet = _quiet_stamp(path)  # where nobody has it open it is read without locks
        mode = "mode=ro" if quiet is None else "immutable=1"
        try:
            with held(path, mode) as connection, closing(connection), bounded(connection, path):
                if thorough:
                    _check_pages(connection)
                connection.execute("BEGIN")
                check_tables(connection)
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
        for switch in ("trusted_schema = OFF", "cell_size_check = ON"):  # it may be a stranger's
            connection.execute(f"PRAGMA {switch}")
        yield connection
        failed.pop_all()


@contextmanager
def bounded(connection: sqlite3.Connection, path: Path) -> Iterator[None]:
    """Reads no more than a sound file of this size takes, and hears signals meanwhile.

    SQLite follows pages that lead in circles for as long as it takes, deaf to Ctrl-C.

    Raises:
        sqlite3.DatabaseError: The block read more.
        KeyboardInterrupt: A signal said so.
    """
    files = [file for file in (path, _log(path)) if file.exists()]
    size = sum(file.stat().st_size for file in files)
    left, raised = (_STEPS + _STEPS_A_BYTE * size) // _EVERY, list[BaseException]()

    def is_over() -> bool:
        nonlocal left
        try:
            left -= 1
        except BaseException as error:  # noqa: BLE001  SQLite would keep it for itself
            raised.append(error)
        return left < 0 or bool(raised)

    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, max(size, _LEAST_LENGTH))
    connection.set_progress_handler(is_over, _EVERY)
    try:
        yield
    except sqlite3.OperationalError as error:
        if getattr(error, "sqlite_errorcode", None) != sqlite3.SQLITE_INTERRUPT:
            raise
        if left >= 0:
            raise (raised or [KeyboardInterrupt()])[0] from None
        what = "its pages lead in circles: reading it takes longer than its size allows"
        raise sqlite3.DatabaseError(what) from error
    finally:
        connection.set_progress_handler(None, 0)


def check_tables(connection: sqlite3.Connection) -> None:
    """See that the file holds plain tables alone, ours as they should be, of a known version.

    Views, triggers, virtual tables and columns that are computed run what its author wrote.

    Raises:
        sqlite3.DatabaseError: There is something else.
        StorageError: There is no study in the file, or a newer archbench wrote it.
    """
    keys = {table.name: table.keys for table in rows.TABLES}
    entries = "SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_master"
    for kind, name, table, text in connection.execute(entries).fetchall():
        if kind not in ("table", "index") or _VIRTUAL.match(str(text)):
            what = "virtual table" if kind == "table" else kind
            raise sqlite3.DatabaseError(f"it holds the {what} {name!r:.60}, which no study has")
        if kind == "index" and table in keys and text:
            raise sqlite3.DatabaseError(f"its {table} has an index {name!r:.60}")
    columns = (
        "SELECT m.name, c.name, c.pk, c.hidden FROM sqlite_master m, pragma_table_xinfo(m.name) c "
        "WHERE m.type = 'table' ORDER BY m.name, c.pk"
    )
    found: dict[str, list[str]] = defaultdict(list)
    for table, name, place, hidden in connection.execute(columns):
        if hidden:
            raise sqlite3.DatabaseError(f"the column {name!r:.60} of {table} is computed")
        if place:
            found[table].append(name)
    for table in keys.keys() & found.keys():
        if found[table] != keys[table]:
            raise sqlite3.DatabaseError(f"the rows of its {table} have another key")
    check_version(connection)


def content(connection: sqlite3.Connection) -> Snapshot:
    """Everything; see ``loaded``."""
    return loaded(connection, rows.snapshot)


def loaded(connection: sqlite3.Connection, load: Callable[[sqlite3.Connection], _T]) -> _T:
    """What is loaded; where that fails, the check of the file may say more.

    Raises:
        sqlite3.DatabaseError: The content cannot be trusted.
    """
    try:
        return load(connection)
    except sqlite3.ProgrammingError:
        raise
    except (sqlite3.DatabaseError, *_UNREADABLE) as error:
        _check_pages(connection)
        if isinstance(error, sqlite3.DatabaseError):
            raise
        raise sqlite3.DatabaseError(f"a row is not readable: {_words(error)}") from error


def _words(error: Exception) -> str:
    return str(error) if type(error) is ValueError else repr(error)[:80]


def _check_pages(connection: sqlite3.Connection) -> None:
    """Check the structure of the whole file.

    Raises:
        sqlite3.DatabaseError: The file is damaged or truncated.
    """
    faults = [str(fault) for (fault,) in connection.execute("PRAGMA integrity_check(1)")]
    if faults != ["ok"]:
        what = faults[0].splitlines()[-1] if faults else "its check gave no answer"
        raise sqlite3.DatabaseError(what)


def _log(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def _quiet_stamp(path: Path) -> tuple[int, ...] | None:
    """What tells whether a file changed; None while a log stands beside it."""
    if _log(path).exists():
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
