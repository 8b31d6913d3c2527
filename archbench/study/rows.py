"""Which tables does a study's database hold, and how do records become rows and come back?"""

from __future__ import annotations

import json
import math
import sqlite3
import struct
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property, lru_cache
from typing import Any, TypeVar, cast

from archbench.study.measurement import Conditions, Measurement
from archbench.study.trial import (
    CurvePoint,
    Failure,
    MeasurementKind,
    Reference,
    RungVerdict,
    Snapshot,
    Taken,
    TrainingRecord,
    TrialRecord,
)

VERSION = 2
"""Of the tables below. Version 1 had a checksum in each row, which is passed over where it is."""

Cell = int | float | str | bytes | None
Row = tuple[Cell, ...]

_T = TypeVar("_T")
_NUMBERED = "int:"
_TYPES = {"INTEGER": int, "REAL": float, "TEXT": str, "BLOB": bytes}


@dataclass(frozen=True)
class Table:
    """A table of a study.

    Attributes:
        name: With the prefix that keeps it apart from Optuna's tables.
        num_keys: How many of its first columns name a row.
        text: Names and SQL types of its columns, as in SQL.
    """

    name: str
    num_keys: int
    text: str

    @cached_property
    def columns(self) -> dict[str, str]:
        """Name to SQL type, in order."""
        pairs = [cast(tuple[str, str], column.split()) for column in self.text.split(", ")]
        return dict(pairs)

    @cached_property
    def _types(self) -> list[type[Cell]]:
        return [_TYPES[kind] for kind in self.columns.values()]

    @property
    def create(self) -> str:
        """The statement that makes the table where it is missing; no index to be damaged apart."""
        key = ", ".join(list(self.columns)[: self.num_keys])
        is_rowid = self.num_keys == 1 and self.columns[key] == "INTEGER"
        without = "" if is_rowid else " WITHOUT ROWID"
        return f"CREATE TABLE IF NOT EXISTS {self.name} ({self.text}, PRIMARY KEY ({key})){without}"

    def put(self, connection: sqlite3.Connection, *cells: Any) -> None:
        """Write a row in the place of one with the same key, if any.

        Text that has no UTF-8 form, as file names in a trace may, is written with escapes.

        Raises:
            ValueError: A number is not finite; SQLite would store NaN as "not known".
        """
        kept = [
            self._kept(column, kind, cell)
            for (column, kind), cell in zip(self.columns.items(), cells, strict=True)
        ]
        names, marks = ", ".join(self.columns), ", ".join("?" * len(kept))
        statement = f"INSERT OR REPLACE INTO {self.name} ({names}) VALUES ({marks})"  # noqa: S608
        connection.execute(statement, kept)

    def rows(
        self, connection: sqlite3.Connection, where: str = "", parameters: Row = ()
    ) -> Iterator[Row]:
        """The rows in the order of their keys; none where an older study lacks the table.

        Args:
            connection: The open database.
            where: A condition in SQL; all rows where it is left out.
            parameters: What the question marks of the condition stand for.

        Raises:
            sqlite3.DatabaseError: A cell is not of its column's type, or not finite.
        """
        known = connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (self.name,))
        if known.fetchone() is None:
            return
        condition = f" WHERE {where}" if where else ""
        key = ", ".join(list(self.columns)[: self.num_keys])
        names, kinds = ", ".join(self.columns), list(self._types)
        statement = f"SELECT {names} FROM {self.name}{condition} ORDER BY {key}"  # noqa: S608
        for row in connection.execute(statement, parameters):
            for cell, kind in zip(row, kinds, strict=True):
                if not (cell is None or (type(cell) is kind and _is_finite(cell))):
                    told = f"the row {row[: self.num_keys]} of {self.name} holds {cell!r:.40}"
                    raise sqlite3.DatabaseError(f"{told} in the place of a {kind.__name__}")
            yield row

    def _kept(self, column: str, kind: str, cell: Any) -> Cell:
        if cell is None:
            return None
        if kind == "TEXT":
            return str(cell).encode("utf-8", "backslashreplace").decode()
        value: Cell = _TYPES[kind](cell)
        if not _is_finite(value):
            raise ValueError(f"{self.name}.{column} must be finite, got {cell}")
        return value


HEADER = Table("archbench_header", 1, "key TEXT, value TEXT")
TRIAL = Table(
    "archbench_trial",
    1,
    "number INTEGER, state TEXT, digest TEXT, choices TEXT, spec TEXT, params INTEGER, "
    "macs INTEGER, activations INTEGER, proxy_accuracy REAL, test_accuracy REAL, "
    "failure_kind TEXT, failure_message TEXT, failure_traceback TEXT, reason TEXT, seconds REAL",
)
POINT = Table(
    "archbench_point",
    3,
    "trial INTEGER, seed INTEGER, epoch INTEGER, step INTEGER, loss REAL, accuracy REAL, "
    "seconds REAL",
)
VERDICT = Table(
    "archbench_verdict",
    3,
    "trial INTEGER, seed INTEGER, epoch INTEGER, stops INTEGER, is_audited INTEGER, "
    "probability REAL, reason TEXT",
)
TRAINING = Table(
    "archbench_training",
    2,
    "trial INTEGER, seed INTEGER, epochs INTEGER, epoch INTEGER, accuracy REAL, "
    "failure_kind TEXT, failure_message TEXT",
)
CHECKPOINT = Table(
    "archbench_checkpoint",
    2,
    "trial INTEGER, seed INTEGER, path TEXT, sha256 TEXT, epoch INTEGER",
)
REFERENCE = Table("archbench_reference", 1, "name TEXT, params INTEGER, macs INTEGER")
MEASUREMENT = Table(
    "archbench_measurement",
    1,
    "id INTEGER, trial INTEGER, reference TEXT, kind TEXT, metric TEXT, unit TEXT, value REAL, "
    "low REAL, high REAL, conditions TEXT, environment_id TEXT, verdict TEXT, reason TEXT, "
    "details TEXT, samples BLOB",
)
NOTE = Table("archbench_note", 1, "trial INTEGER, notes TEXT")
TABLES = (HEADER, TRIAL, POINT, VERDICT, TRAINING, CHECKPOINT, REFERENCE, MEASUREMENT, NOTE)


def to_json(value: object) -> str:
    """Compact JSON of a document; whole-number keys (``layers: {2: ...}``) survive as such.

    Raises:
        ValueError: A number is not finite.
        TypeError: Something in it has no JSON form.
    """
    return json.dumps(_keyed(value), allow_nan=False, separators=(",", ":"))


def from_json(text: str) -> Any:
    """The document that ``to_json`` wrote."""
    if f'"{_NUMBERED}' not in text:
        return json.loads(text)
    return json.loads(text, object_hook=_unkeyed)


def put_trial(connection: sqlite3.Connection, record: TrialRecord) -> None:
    """Write the row of a trial; its latency, curve and origin stand elsewhere."""
    failure = record.failure
    TRIAL.put(
        connection,
        record.number,
        record.state,
        record.digest,
        to_json(record.choices),
        to_json(record.spec),
        record.params,
        record.macs,
        record.activations,
        record.proxy_accuracy,
        record.test_accuracy,
        *((failure.kind, failure.message, failure.traceback) if failure else (None, None, None)),
        record.reason,
        record.seconds,
    )


def trial_of(row: Row) -> TrialRecord:
    """The trial of a row, without what other tables hold of it."""
    cells = dict(zip(TRIAL.columns, cast(tuple[Any, ...], row), strict=True))
    kind, message, trace = (cells.pop(f"failure_{key}") for key in ("kind", "message", "traceback"))
    failure = Failure(kind=kind, message=message, traceback=trace) if kind else None
    choices, spec = (from_json(cells.pop(key)) for key in ("choices", "spec"))
    return TrialRecord(choices=choices, spec=spec, failure=failure, **cells)


def put_training(connection: sqlite3.Connection, number: int, training: TrainingRecord) -> None:
    """Write the row of a training of a trial."""
    failure = training.failure
    why = (failure.kind, failure.message) if failure else (None, None)
    planned = (training.seed, training.epochs, training.epoch, training.accuracy)
    TRAINING.put(connection, number, *planned, *why)


def put_measurement(connection: sqlite3.Connection, taken: Taken) -> None:
    """Write the row of a measurement behind all others; samples are little-endian doubles.

    Raises:
        ValueError: A sample is not finite.
    """
    one = taken.measurement
    samples = tuple(map(float, one.samples))
    if not all(map(math.isfinite, samples)):
        raise ValueError("samples must be finite")
    newest = "SELECT coalesce(max(id), -1) + 1 FROM archbench_measurement"
    (identity,) = connection.execute(newest).fetchone()
    estimate = (one.metric, one.unit, one.value, one.low, one.high)
    MEASUREMENT.put(
        connection,
        identity,
        taken.trial,
        taken.reference,
        taken.kind,
        *estimate,
        to_json(asdict(one.conditions)),
        one.environment_id,
        one.verdict,
        one.reason,
        to_json(one.details),
        struct.pack(f"<{len(samples)}d", *samples),
    )


def header(connection: sqlite3.Connection) -> dict[str, Any]:
    """What the study is: keys and JSON values."""
    return {str(key): from_json(str(text)) for key, text in HEADER.rows(connection)}


def notes(connection: sqlite3.Connection) -> dict[int, dict[str, Any]]:
    """Trial to what a sampler noted of it."""
    found = cast(Iterator[tuple[int, str]], NOTE.rows(connection))
    return {number: json.loads(text) for number, text in found}


def snapshot(connection: sqlite3.Connection) -> Snapshot:
    """Everything; call it inside a transaction, so that it is of one moment.

    Raises:
        sqlite3.DatabaseError: A row is damaged, or rows refer to others that are missing.
        ValueError: A text is no JSON; likewise TypeError and LookupError.
    """
    about = header(connection)
    origins: dict[str, str] = about.get("origins", {})
    taken = tuple(map(_taken_of, MEASUREMENT.rows(connection)))
    latency = _counting_latency(taken)
    curves = _of_trials(connection, POINT, CurvePoint)
    verdicts = _of_trials(connection, VERDICT, _verdict_of)
    trainings = _of_trials(connection, TRAINING, _training_of)
    trials = tuple(
        replace(
            trial_of(row),
            latency=latency.get(number),
            curve=tuple(curves.get(number, ())),
            origin=origins.get(str(number), ""),
            verdicts=tuple(verdicts.get(number, ())),
            trainings=tuple(trainings.get(number, ())),
        )
        for row in TRIAL.rows(connection)
        for number in (cast(int, row[0]),)
    )
    known = {record.number for record in trials}
    if not all(known.issuperset(found) for found in (curves, latency, verdicts, trainings)):
        raise sqlite3.DatabaseError(
            "it holds measurements, verdicts or curves of trials that are not there"
        )
    of_reference = {entry.reference: entry.measurement for entry in taken if entry.reference}
    references = tuple(
        Reference(name=name, latency=of_reference[name], params=params, macs=macs)
        for name, params, macs in cast(Iterator[tuple[str, int, int]], REFERENCE.rows(connection))
    )
    return Snapshot(header=about, trials=trials, references=references, measurements=taken)


def _of_trials(
    connection: sqlite3.Connection, table: Table, make: Callable[..., _T]
) -> dict[int, list[_T]]:
    """Trial to what a table holds of it, in the order of its keys."""
    found: dict[int, list[_T]] = defaultdict(list)
    names = list(table.columns)[1:]
    for number, *cells in table.rows(connection):
        found[cast(int, number)].append(make(**dict(zip(names, cells, strict=True))))
    return found


def _verdict_of(*, stops: int, is_audited: int, **cells: Any) -> RungVerdict:
    return RungVerdict(stops=bool(stops), is_audited=bool(is_audited), **cells)


def _training_of(*, failure_kind: Any, failure_message: str | None, **cells: Any) -> TrainingRecord:
    failure = Failure(kind=failure_kind, message=failure_message or "") if failure_kind else None
    return TrainingRecord(failure=failure, **cells)


def _taken_of(row: Row) -> Taken:
    _, trial, reference, kind, *cells = cast(tuple[Any, ...], row)
    names = list(MEASUREMENT.columns)[4:]
    found = dict(zip(names, cells, strict=True))
    found["conditions"] = _conditions_of(found["conditions"])
    found["details"] = from_json(found["details"])
    samples = found.pop("samples")
    found["samples"] = struct.unpack(f"<{len(samples) // 8}d", samples)
    return Taken(
        trial=trial,
        reference=reference,
        kind=cast(MeasurementKind, kind),
        measurement=Measurement(**found),
    )


@lru_cache(maxsize=64)
def _conditions_of(text: str) -> Conditions:
    """The conditions of their JSON text; measurements share few of them."""
    return Conditions.from_document(json.loads(text))


def _counting_latency(taken: tuple[Taken, ...]) -> dict[int, Measurement]:
    """Trial to its latency: the last confirmed with a value, else the last of the search."""
    latency: dict[int, Measurement] = {}
    confirmed: dict[int, Measurement] = {}
    for entry in taken:
        if entry.trial is None or entry.measurement.metric != "latency":
            continue
        if entry.kind == "search":
            latency[entry.trial] = entry.measurement
        elif entry.measurement.value is not None:
            confirmed[entry.trial] = entry.measurement
    return latency | confirmed


def _is_finite(cell: Cell) -> bool:
    return not isinstance(cell, float) or math.isfinite(cell)


def _keyed(value: object) -> object:
    if isinstance(value, Mapping):
        return {_key(key): _keyed(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_keyed(entry) for entry in value]
    return value


def _key(key: object) -> str:
    if isinstance(key, int) and not isinstance(key, bool):
        return f"{_NUMBERED}{key}"
    if isinstance(key, str) and not key.startswith(_NUMBERED):
        return key
    raise TypeError(f"cannot store the key {key!r}; keys are text or whole numbers")


def _unkeyed(entries: dict[str, Any]) -> dict[str | int, Any]:
    start = len(_NUMBERED)
    return {
        int(key[start:]) if key.startswith(_NUMBERED) else key: entry
        for key, entry in entries.items()
    }
