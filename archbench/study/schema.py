"""Which tables does a study's database hold beside Optuna's, and which rows are sound."""

from __future__ import annotations

import math
import sqlite3
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from archbench.errors import StorageError

VERSION = 1
"""Version of the tables below; a change of them adds one and a step to ``MIGRATIONS``."""

MIGRATIONS: Mapping[int, Sequence[str]] = {}
"""Version to the SQL statements that lift a database from it to the next."""

Cell = int | float | str | bytes | None
Row = tuple[Cell, ...]


class DamagedError(StorageError):
    """Content that cannot be trusted; whoever knows the file adds its name and the help."""


@dataclass(frozen=True)
class Table:
    """One table; each row carries a checksum of its cells, because SQLite keeps none.

    Attributes:
        name: With the prefix that keeps it apart from Optuna's tables.
        columns: Column name to SQL type, in order, without the checksum.
        key: The columns that name a row.
    """

    name: str
    columns: Mapping[str, str]
    key: tuple[str, ...]

    @cached_property
    def create(self) -> str:
        """The statement that makes the table where it is missing; no index to be damaged apart."""
        columns = ", ".join(f"{name} {kind}" for name, kind in self.columns.items())
        key = ", ".join(self.key)
        is_rowid = len(self.key) == 1 and self.columns[self.key[0]] == "INTEGER"
        return (
            f"CREATE TABLE IF NOT EXISTS {self.name} "
            f"({columns}, checksum INTEGER, PRIMARY KEY ({key}))"
            f"{'' if is_rowid else ' WITHOUT ROWID'}"
        )

    @cached_property
    def insert(self) -> str:
        """The statement that puts a row in, in the place of one with the same key."""
        marks = ", ".join("?" * (len(self.columns) + 1))
        columns = ", ".join(self.columns)
        return f"INSERT OR REPLACE INTO {self.name} ({columns}, checksum) VALUES ({marks})"  # noqa: S608

    @cached_property
    def select(self) -> str:
        """The statement that reads rows, open for a condition."""
        return f"SELECT {', '.join(self.columns)}, checksum FROM {self.name}"  # noqa: S608


HEADER = Table("archbench_header", {"key": "TEXT", "value": "TEXT"}, key=("key",))
TRIAL = Table(
    "archbench_trial",
    {
        "number": "INTEGER",
        "state": "TEXT",
        "digest": "TEXT",
        "choices": "TEXT",
        "spec": "TEXT",
        "params": "INTEGER",
        "macs": "INTEGER",
        "activations": "INTEGER",
        "proxy_accuracy": "REAL",
        "test_accuracy": "REAL",
        "failure_kind": "TEXT",
        "failure_message": "TEXT",
        "failure_traceback": "TEXT",
        "reason": "TEXT",
        "seconds": "REAL",
    },
    key=("number",),
)
POINT = Table(
    "archbench_point",
    {
        "trial": "INTEGER",
        "seed": "INTEGER",
        "epoch": "INTEGER",
        "step": "INTEGER",
        "loss": "REAL",
        "accuracy": "REAL",
        "seconds": "REAL",
    },
    key=("trial", "seed", "epoch"),
)
CHECKPOINT = Table(
    "archbench_checkpoint",
    {"trial": "INTEGER", "seed": "INTEGER", "path": "TEXT", "sha256": "TEXT", "epoch": "INTEGER"},
    key=("trial", "seed"),
)
REFERENCE = Table(
    "archbench_reference",
    {"name": "TEXT", "params": "INTEGER", "macs": "INTEGER"},
    key=("name",),
)
MEASUREMENT = Table(
    "archbench_measurement",
    {
        "id": "INTEGER",
        "trial": "INTEGER",
        "reference": "TEXT",
        "kind": "TEXT",
        "metric": "TEXT",
        "unit": "TEXT",
        "value": "REAL",
        "low": "REAL",
        "high": "REAL",
        "conditions": "TEXT",
        "environment_id": "TEXT",
        "verdict": "TEXT",
        "reason": "TEXT",
        "details": "TEXT",
        "samples": "BLOB",
    },
    key=("id",),
)
VERDICT = Table(
    "archbench_verdict",
    {
        "trial": "INTEGER",
        "seed": "INTEGER",
        "epoch": "INTEGER",
        "stops": "INTEGER",
        "is_audited": "INTEGER",
        "probability": "REAL",
        "reason": "TEXT",
    },
    key=("trial", "seed", "epoch"),
)
TRAINING = Table(
    "archbench_training",
    {
        "trial": "INTEGER",
        "seed": "INTEGER",
        "epochs": "INTEGER",
        "epoch": "INTEGER",
        "accuracy": "REAL",
        "failure_kind": "TEXT",
        "failure_message": "TEXT",
    },
    key=("trial", "seed"),
)
TABLES = (HEADER, TRIAL, POINT, CHECKPOINT, REFERENCE, MEASUREMENT)
LATER = (VERDICT, TRAINING)
"""Tables that came without a new version: where one is missing, it counts as empty."""


def put(connection: sqlite3.Connection, table: Table, row: Row) -> None:
    """Write a row in the place of one with the same key, if any.

    Text that has no UTF-8 form, as file names in a trace may, is written with escapes.

    Raises:
        ValueError: A number is not finite; SQLite would store NaN as "not known".
    """
    for column, cell in zip(table.columns, row, strict=True):
        if isinstance(cell, float) and not math.isfinite(cell):
            raise ValueError(f"{table.name}.{column} must be finite, got {cell}")
    kept = tuple(map(_as_sqlite_keeps_it, row))
    connection.execute(table.insert, (*kept, checksum(kept)))


def rows(
    connection: sqlite3.Connection, table: Table, where: str = "", parameters: Row = ()
) -> Iterator[Row]:
    """The rows of a table in the order of its key, without their checksums.

    Args:
        connection: The open database.
        table: Which table.
        where: A condition in SQL; all rows where it is left out.
        parameters: What the question marks of the condition stand for.

    Raises:
        DamagedError: A row does not match its checksum.
    """
    condition = f" WHERE {where}" if where else ""
    order = f" ORDER BY {', '.join(table.key)}"
    for cells in connection.execute(table.select + condition + order, parameters):
        row = cells[:-1]
        if checksum(row) != cells[-1]:
            key = ", ".join(f"{name} {row[i]!r}" for i, name in enumerate(table.key))
            raise DamagedError(f"the row {key} of {table.name} does not match its checksum")
        yield row


def is_there(connection: sqlite3.Connection, table: Table) -> bool:
    """Whether the database has the table."""
    known = connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (table.name,))
    return known.fetchone() is not None


def checksum(row: Row) -> int:
    """CRC-32 of the cells; the same under every version of Python and SQLite."""
    value = 0
    if row and isinstance(row[-1], bytes):
        value = zlib.crc32(row[-1])
        row = row[:-1]
    return zlib.crc32(ascii(row).encode(), value)


def migrate(connection: sqlite3.Connection, *, version: int) -> None:
    """Lift the tables of an older version step by step, inside the caller's transaction.

    Raises:
        StorageError: A step is missing: the version is too old.
    """
    for step in range(version, VERSION):
        if step not in MIGRATIONS:
            raise StorageError(
                f"the version {version} of its tables is too old to be lifted",
                help="open it with the archbench that wrote it",
            )
        for statement in MIGRATIONS[step]:
            connection.execute(statement)
    put(connection, HEADER, ("schema", str(VERSION)))


def _as_sqlite_keeps_it(cell: Cell) -> Cell:
    """The cell as it will come back: SQLite knows no -0.0 and no lone surrogates."""
    if isinstance(cell, float):
        return cell + 0.0
    if isinstance(cell, str):
        return cell.encode("utf-8", "backslashreplace").decode()
    return cell
