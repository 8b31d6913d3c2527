"""How does a table of a study keep its rows, and tell that none of them is gone?

Beside each write it is counted, in the same transaction, how many rows a table has, and the sum of
their checksums: a sum does not depend on the order, and a row that is replaced changes it by what
it was and is.
"""

import math
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from archbench.study import contents, shape

Cells = dict[str, Any]
"""A row: name of a column to an int, float, str, bytes or None."""

COUNTS = "archbench_count"
"""The table that holds how many rows each other one has, and the sum of their checksums."""

_SUMS = 2**61  # sums are taken modulo this: two of them fit into an integer of SQLite's
_TYPES: Mapping[str, type] = {"INTEGER": int, "REAL": float, "TEXT": str, "BLOB": bytes}
_NAMES = {int: "a whole number", float: "a finite number", str: "a text", bytes: "bytes"}


@dataclass(frozen=True)
class Table:
    """A table of a study: its columns as in SQL, of which the first ``num_keys`` name a row.

    The prefix of its name keeps it apart from Optuna's tables.
    """

    name: str
    num_keys: int
    text: str
    may_lack: frozenset[str] = frozenset()  # columns whose cells may be without a value

    @cached_property
    def columns(self) -> dict[str, str]:
        """Name to SQL type, in order."""
        pairs = (column.partition(" ") for column in self.text.split(", "))
        return {name: kind for name, _, kind in pairs}

    @property
    def keys(self) -> list[str]:
        """The columns that name a row."""
        return list(self.columns)[: self.num_keys]

    @property
    def create(self) -> str:
        """The statement that makes the table where it is missing; no index to be damaged apart."""
        key = ", ".join(self.keys)
        is_rowid = self.num_keys == 1 and self.columns[key] == "INTEGER"
        without = "" if is_rowid else " WITHOUT ROWID"
        return f"CREATE TABLE IF NOT EXISTS {self.name} ({self.text}, PRIMARY KEY ({key})){without}"

    def put(self, connection: sqlite3.Connection, cells: Mapping[str, Any]) -> None:
        """Write a row in the place of one with the same key, if any.

        Text that has no UTF-8 form, as file names in a trace may, is written with escapes. Cells
        of no column are passed over.

        Raises:
            ValueError: A number is not finite (SQLite would store NaN as "not known"), or none that
                can stand there.
        """
        row = tuple(self._kept(name, kind, cells[name]) for name, kind in self.columns.items())
        names, marks = ", ".join(self.columns), ", ".join("?" * len(row))
        same = " AND ".join(f"{key} = ?" for key in self.keys)
        query = f"SELECT {names} FROM {self.name} WHERE {same}"  # noqa: S608
        before = connection.execute(query, row[: self.num_keys]).fetchone()
        if row == before:
            return
        statement = f"INSERT OR REPLACE INTO {self.name} ({names}) VALUES ({marks})"  # noqa: S608
        connection.execute(statement, row)
        more = _checksum(row) - (_checksum(before) if before else 0)
        connection.execute(
            f"UPDATE {COUNTS} SET num_rows = num_rows + ?, "  # noqa: S608
            f"checksum = (checksum + ?) % {_SUMS} WHERE name = ?",
            (before is None, more % _SUMS, self.name),
        )

    def count(self, connection: sqlite3.Connection) -> tuple[int, int]:
        """How many rows it holds, and the sum of their checksums, whatever was written."""
        names = ", ".join(self.columns)
        found = connection.execute(f"SELECT {names} FROM {self.name}")  # noqa: S608
        checksums = [_checksum(row) for row in found]
        return len(checksums), sum(checksums) % _SUMS

    def rows(
        self, connection: sqlite3.Connection, where: str = "", parameters: tuple[Any, ...] = ()
    ) -> Iterator[Cells]:
        """The rows in the order of their keys; none where an older study lacks the table.

        A condition in SQL may have parameters for its question marks. Without one the rows are held
        against what was written, where that was counted.

        Raises:
            sqlite3.DatabaseError: A cell is not of its column's type, or nothing that can stand
                there, or the rows are not those that were written.
        """
        checksums: list[int] = []
        if not is_there(connection, self.name):
            self._require_whole(connection, checksums)
            return
        condition = f" WHERE {where}" if where else ""
        names, key = ", ".join(self.columns), ", ".join(self.keys)
        statement = f"SELECT {names} FROM {self.name}{condition} ORDER BY {key}"  # noqa: S608
        for row in connection.execute(statement, parameters):
            self._require_cells(row)
            if not where:
                checksums.append(_checksum(row))
            yield dict(zip(self.columns, row, strict=True))
        if not where:
            self._require_whole(connection, checksums)

    def _require_cells(self, row: Sequence[Any]) -> None:
        for cell, (name, kind, wanted, may_lack) in zip(row, self._checks, strict=True):
            if may_lack if cell is None else type(cell) is kind and _can_be(cell, wanted):
                continue
            raise sqlite3.DatabaseError(
                f"the row {tuple(row[: self.num_keys])} of {self.name} has the {name} "
                f"{cell!r:.40} in the place of {wanted or _NAMES[kind]}"
            )

    @cached_property
    def _checks(self) -> list[tuple[str, type, Any, bool]]:
        """Name, type and range of each column, and whether it may be without a value."""
        return [
            (name, _TYPES[kind], contents.CELLS.get(kind, {}).get(name), name in self.may_lack)
            for name, kind in self.columns.items()
        ]

    def _require_whole(self, connection: sqlite3.Connection, checksums: Sequence[int]) -> None:
        """See that these are the rows that were written, where that was counted.

        Raises:
            sqlite3.DatabaseError: They are not.
        """
        if not is_there(connection, COUNTS):
            return
        query = f"SELECT num_rows, checksum FROM {COUNTS} WHERE name = ?"  # noqa: S608
        num_rows, checksum = connection.execute(query, (self.name,)).fetchone() or (0, 0)
        if num_rows != len(checksums):
            told = f"{len(checksums)} rows are there and {num_rows} were written"
            raise sqlite3.DatabaseError(f"the table {self.name} is not whole: {told}")
        if checksum != sum(checksums) % _SUMS:
            told = "a row is not as it was written"
            raise sqlite3.DatabaseError(f"the table {self.name} is not whole: {told}")

    def _kept(self, column: str, kind: str, cell: Any) -> Any:
        if cell is None:
            return None
        if kind == "TEXT":
            return str(cell).encode("utf-8", "backslashreplace").decode()
        value = _TYPES[kind](cell)
        if kind == "REAL":
            value += 0.0  # SQLite keeps no negative zero
        if not _is_finite(value):
            raise ValueError(f"{self.name}.{column} must be finite, got {cell}")
        wanted = contents.CELLS.get(kind, {}).get(column)
        if wanted is not None and not wanted.holds(value):
            raise ValueError(f"{self.name}.{column} must be {wanted}, got {cell}")
        return value


def is_there(connection: sqlite3.Connection, table: str) -> bool:
    """Whether the database has a table of this name."""
    known = connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (table,))
    return known.fetchone() is not None


def begin_counting(connection: sqlite3.Connection, tables: Iterable[Table]) -> None:
    """Count what the tables hold, where that was not done from their beginning."""
    columns = "name TEXT PRIMARY KEY, num_rows INTEGER, checksum INTEGER"
    connection.execute(f"CREATE TABLE IF NOT EXISTS {COUNTS} ({columns}) WITHOUT ROWID")
    known = {name for (name,) in connection.execute(f"SELECT name FROM {COUNTS}")}  # noqa: S608
    new = (table for table in tables if table.name not in known)
    found = [(table.name, *table.count(connection)) for table in new]
    connection.executemany(f"INSERT INTO {COUNTS} VALUES (?, ?, ?)", found)  # noqa: S608


def _checksum(row: tuple[Any, ...]) -> int:
    return zlib.crc32(ascii(row).encode())


def _can_be(cell: Any, wanted: shape.Number | shape.Word | None) -> bool:
    return _is_finite(cell) and (wanted is None or wanted.holds(cell))


def _is_finite(cell: object) -> bool:
    return not isinstance(cell, float) or math.isfinite(cell)
