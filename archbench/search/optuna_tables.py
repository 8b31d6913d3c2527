"""How does our study stand in Optuna's tables, and what there is not as it should be?

Optuna makes its tables itself; their rows are written by name (its schema ``v3.2.0.a``). Studies
of others in the same tables are left alone.
"""

import json
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from optuna.storages._rdb.models import BaseModel
from optuna.trial import FrozenTrial
from sqlalchemy.exc import SQLAlchemyError

from archbench.errors import StorageError

TrialRows = Mapping[str, set[tuple[Any, ...]]]
"""Table to the rows of a trial in it, without what says whose they are."""

_BUSY_TIMEOUT_S = 60
_LARGEST = 2**53  # of what names a trial: there are others to come
_VERSIONS = "alembic_version"
_METRIC_NAMES = "study:metric_names"
_OF_STUDY = ("study_directions", "study_user_attributes", "study_system_attributes")
_OF_TRIAL = {
    "trial_values": "objective, value, value_type",
    "trial_params": "param_name, param_value, distribution_json",
    "trial_user_attributes": "key, value_json",
    "trial_system_attributes": "key, value_json",
    "trial_intermediate_values": "step, intermediate_value, intermediate_value_type",
    "trial_heartbeats": "heartbeat",
}
_TRIAL = "state, datetime_start, datetime_complete"
_UNREADABLE = (ValueError, TypeError, LookupError, AssertionError)


class OptunaStudy:
    """Our study in Optuna's tables, known by its name; what is written there is remembered.

    Every method takes the connection of a transaction that the caller has begun.
    """

    def __init__(self, name: str, *, directions: Mapping[str, str]) -> None:
        self._name = name
        self._directions = directions  # objective to max or min
        self._study = 0
        self._ids: dict[int, int] = {}  # trial to Optuna's name for it, rising with it
        self._written: dict[int, int] = {}  # trial to what tells its rows from others

    def is_there(self, connection: sqlite3.Connection) -> bool:
        """Whether nobody has deleted the study since it was mended."""
        query = "SELECT 1 FROM studies WHERE study_id = ? AND study_name = ?"
        return connection.execute(query, (self._study, self._name)).fetchone() is not None

    def attributes(self, connection: sqlite3.Connection, key: str) -> dict[int, Any]:
        """Trial to what Optuna's tables hold under a key of its user attributes, where readable."""
        query = (
            "SELECT number, CAST(value_json AS BLOB) FROM trial_user_attributes "
            "JOIN trials USING (trial_id) JOIN studies USING (study_id) "
            "WHERE study_name = ? AND key = ? AND typeof(number) = 'integer'"
        )
        found = connection.execute(query, (self._name, key))
        return {number: _loaded(text) for number, text in found}

    def mend(self, connection: sqlite3.Connection, trials: Mapping[int, TrialRows]) -> None:
        """Makes the rows of the study what they should be, whatever they are.

        Those that are right stay, under the names that notes of a dashboard refer to.
        """
        self._mend_study(connection)
        _remove_orphans(connection)
        try:
            self._ids = self._numbered(connection, sorted(trials))
            self._written = self._found(connection)
        except sqlite3.DatabaseError:  # no text any more: nothing of it stays
            self._written = {}
        for number in sorted(trials):
            self.write(connection, number, trials[number])

    def write(self, connection: sqlite3.Connection, number: int, rows: TrialRows) -> None:
        """Writes the rows of a trial where they are not as they were."""
        mark = _mark(rows)
        if self._written.get(number) == mark:
            return
        if number not in self._ids:  # above those of others, too
            newest = "SELECT coalesce(max(trial_id), 0) + 1 FROM trials"
            (self._ids[number],) = connection.execute(newest).fetchone()
        identity = self._ids[number]
        (about,) = rows["trials"]
        columns = f"trial_id, number, study_id, {_TRIAL}"
        _insert(connection, "trials", columns, [(identity, number, self._study, *about)])
        for table, columns in _OF_TRIAL.items():
            connection.execute(f"DELETE FROM {table} WHERE trial_id = ?", (identity,))  # noqa: S608
            found = [(identity, *row) for row in rows.get(table, ())]
            _insert(connection, table, f"trial_id, {columns}", found)
        self._written[number] = mark

    def _mend_study(self, connection: sqlite3.Connection) -> None:
        connection.execute("INSERT OR IGNORE INTO studies (study_name) VALUES (?)", (self._name,))
        query = "SELECT study_id FROM studies WHERE study_name = ?"
        (self._study,) = connection.execute(query, (self._name,)).fetchone()
        for table in _OF_STUDY[1:]:
            _remove_unreadable(connection, table, study=self._study)
        connection.execute("DELETE FROM study_directions WHERE study_id = ?", (self._study,))
        ways = enumerate(self._directions.values())
        directions = [(self._study, place, f"{way.upper()}IMIZE") for place, way in ways]
        _insert(connection, "study_directions", "study_id, objective, direction", directions)
        names = [(self._study, _METRIC_NAMES, json.dumps(list(self._directions)))]
        _insert(connection, "study_system_attributes", "study_id, key, value_json", names)

    def _numbered(self, connection: sqlite3.Connection, numbers: Sequence[int]) -> dict[int, int]:
        """Trial to its name there, up to the first that is out of order; those after go."""
        query = "SELECT number, trial_id FROM trials WHERE study_id = ? ORDER BY trial_id"
        found = connection.execute(query, (self._study,)).fetchall()
        kept = {}
        for number, (other, identity) in zip(numbers, found, strict=False):
            if number != other or identity > _LARGEST:
                break
            kept[number] = identity
        gone = [(identity,) for _, identity in found[len(kept) :]]
        connection.executemany("DELETE FROM trials WHERE trial_id = ?", gone)
        _remove_orphans(connection)
        return kept

    def _found(self, connection: sqlite3.Connection) -> dict[int, int]:
        """Trial to what tells the rows that stand there from others."""
        rows: dict[int, dict[str, set[tuple[Any, ...]]]]
        rows = {identity: defaultdict(set) for identity in self._ids.values()}
        of_ours = "WHERE trial_id IN (SELECT trial_id FROM trials WHERE study_id = ?)"
        for table, columns in {"trials": _TRIAL, **_OF_TRIAL}.items():
            query = f"SELECT trial_id, {columns} FROM {table} {of_ours}"  # noqa: S608
            for identity, *row in connection.execute(query, (self._study,)):
                rows[identity][table].add(tuple(row))
        return {number: _mark(rows[identity]) for number, identity in self._ids.items()}


def rows_of(trial: FrozenTrial, *, distributions: Mapping[str, str]) -> TrialRows:
    """The rows of a trial; the distributions of its parameters are given as Optuna's JSON."""
    state, ends = trial.state.name, (trial.datetime_start, trial.datetime_complete)
    attributes = {
        "trial_user_attributes": trial.user_attrs,
        "trial_system_attributes": trial.system_attrs,
    }
    return {
        "trials": {(state, *map(_in_utc, ends))},
        "trial_values": {
            (place, value, "FINITE") for place, value in enumerate(trial.values or ())
        },
        "trial_params": {
            (axis, float(one.to_internal_repr(trial.params[axis])), distributions[axis])
            for axis, one in trial.distributions.items()
        },
        **{
            table: {(key, json.dumps(value)) for key, value in known.items()}
            for table, known in attributes.items()
        },
    }


def make_tables(path: Path, *, name: str) -> None:
    """Makes Optuna's tables, by its own means, where they are missing.

    Where Optuna would not open them they are made anew, unless they hold more than our study.

    Raises:
        StorageError: They cannot be made, or not be read, or hold others' studies.
    """

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S, check_same_thread=False)

    try:
        with closing(connect()) as connection, connection:
            if reason := _missing_columns(connection):
                _drop_tables(connection, name=name, path=path, reason=reason)
        with _storage(connect) as storage:
            reason = _unknown_version(storage)
        if reason:
            with closing(connect()) as connection, connection:
                _drop_tables(connection, name=name, path=path, reason=reason)
            with _storage(connect):
                pass
    except _UNREADABLE as error:
        raise StorageError(
            f"Optuna's tables are not readable ({error!r:.80})",
            place=str(path),
            help="put the database back from its backup",
        ) from error
    except (StorageInternalError, SQLAlchemyError, sqlite3.Error) as error:
        cause = error.__cause__ if isinstance(error, StorageInternalError) else error
        told = getattr(cause, "orig", None) or cause
        raise StorageError(
            f"cannot write the study's database ({told})",
            place=str(path),
            help="check the disk and its free space, then resume: what was acknowledged is safe",
        ) from error


@contextmanager
def _storage(connect: Callable[[], sqlite3.Connection]) -> Iterator[RDBStorage]:
    storage = RDBStorage(
        "sqlite://", engine_kwargs={"creator": connect}, skip_compatibility_check=True
    )
    try:
        yield storage
    finally:
        storage.remove_session()
        storage.engine.dispose()


def _missing_columns(connection: sqlite3.Connection) -> str:
    """What the tables of Optuna's that are there lack, in words; empty where nothing."""
    for table in BaseModel.metadata.sorted_tables:
        found = {row[1] for row in connection.execute(f"PRAGMA table_info({table.name})")}
        missing = {column.name for column in table.columns} - found
        if found and missing:
            return f"the table {table.name} has no {', '.join(sorted(missing))}"
    return ""


def _unknown_version(storage: RDBStorage) -> str:
    """Why the installed Optuna does not read these tables, in words; empty where it does."""
    now, wanted = storage.get_current_version(), storage.get_head_version()
    return "" if now == wanted else f"they have the version {now}, not {wanted}"


def _drop_tables(connection: sqlite3.Connection, *, name: str, path: Path, reason: str) -> None:
    """Remove all tables of Optuna's.

    Raises:
        StorageError: They hold studies of others.
    """
    tables = [table.name for table in BaseModel.metadata.sorted_tables]
    try:
        query = "SELECT count(*) FROM studies WHERE study_name <> ?"
        (others,) = connection.execute(query, (name,)).fetchone()
    except sqlite3.OperationalError:  # not even their names
        others = 0
    if others:
        raise StorageError(
            f"Optuna cannot open its tables: {reason}",
            place=str(path),
            help=f"they hold {others} studies beside this one: bring them to this version with "
            f"optuna storage upgrade --storage sqlite:///{path}, or delete them",
        )
    for table in [*reversed(tables), _VERSIONS]:
        connection.execute(f"DROP TABLE IF EXISTS {table}")


def _remove_orphans(connection: sqlite3.Connection) -> None:
    """Remove rows of studies and trials that are not there; Optuna never leaves any."""
    for table in (*_OF_STUDY, "trials"):
        _remove_all_but(connection, table, "study_id", of="studies")
    for table in _OF_TRIAL:
        _remove_all_but(connection, table, "trial_id", of="trials")


def _remove_all_but(connection: sqlite3.Connection, table: str, key: str, *, of: str) -> None:
    known = f"{key} IN (SELECT {key} FROM {of})"  # noqa: S608
    connection.execute(f"DELETE FROM {table} WHERE {key} IS NULL OR NOT {known}")  # noqa: S608


def _remove_unreadable(connection: sqlite3.Connection, table: str, *, study: int) -> None:
    """Remove attributes of a study that end Optuna's reading; others, as notes, stay."""
    query = (
        "SELECT rowid, typeof(key), CAST(key AS BLOB), CAST(value_json AS BLOB) "  # noqa: S608
        f"FROM {table} WHERE study_id = ?"
    )
    for row, kind, key, text in connection.execute(query, (study,)).fetchall():
        if kind != "text" or not _is_attribute(key, text):
            connection.execute(f"DELETE FROM {table} WHERE rowid = ?", (row,))  # noqa: S608


def _is_attribute(key: bytes, text: bytes | None) -> bool:
    """Whether a key is UTF-8 and what stands under it JSON."""
    try:
        key.decode()
        json.loads(text or b"")
    except ValueError:
        return False
    return True


def _insert(
    connection: sqlite3.Connection, table: str, columns: str, rows: Sequence[tuple[Any, ...]]
) -> None:
    marks = ", ".join("?" * (columns.count(",") + 1))
    statement = f"INSERT OR REPLACE INTO {table} ({columns}) VALUES ({marks})"  # noqa: S608
    connection.executemany(statement, rows)


def _mark(rows: TrialRows) -> int:
    """What tells rows from others, in this process."""
    return hash(frozenset((table, row) for table, found in rows.items() for row in found))


def _loaded(text: bytes | None) -> Any:
    try:
        return json.loads(text or b"")
    except ValueError:
        return None


def _in_utc(at: datetime | None) -> str | None:
    """A local time as Optuna's tables hold it."""
    if at is None:
        return None
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(sep=" ", timespec="microseconds")
