"""Which tables does a study's database hold, and how do records become rows and come back?"""

import json
import math
import sqlite3
import struct
from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import asdict
from functools import lru_cache
from typing import Any

from archbench.study import contents, shape
from archbench.study.measurement import Conditions, Measurement
from archbench.study.runs import latency_of, run_to_run, runs_of
from archbench.study.table import Cells, Table
from archbench.study.trial import (
    CurvePoint,
    Failure,
    QuantisedAccuracy,
    Reference,
    RungVerdict,
    Snapshot,
    Taken,
    TrainingRecord,
    TrialRecord,
)

VERSION = 3
"""Of the tables below. Version 1 had a checksum in each row, which is passed over where it is;
from ``COUNTED_SINCE`` on it is counted what each table holds."""

COUNTED_SINCE = 3

_FAILURE = ("kind", "message", "traceback")
_DOCUMENTS = ("choices", "spec")
_FLAGS = ("stops", "is_audited")
_FAILED = frozenset({"failure_kind", "failure_message", "failure_traceback"})


HEADER = Table("archbench_header", 1, "key TEXT, value TEXT")
TRIAL = Table(
    "archbench_trial",
    1,
    "number INTEGER, state TEXT, digest TEXT, choices TEXT, spec TEXT, params INTEGER, "
    "macs INTEGER, activations INTEGER, proxy_accuracy REAL, test_accuracy REAL, "
    "failure_kind TEXT, failure_message TEXT, failure_traceback TEXT, reason TEXT, seconds REAL",
    may_lack=_FAILED | {"proxy_accuracy", "test_accuracy"},
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
    may_lack=frozenset({"probability"}),
)
TRAINING = Table(
    "archbench_training",
    2,
    "trial INTEGER, seed INTEGER, epochs INTEGER, epoch INTEGER, accuracy REAL, "
    "failure_kind TEXT, failure_message TEXT",
    may_lack=_FAILED | {"accuracy"},
)
CHECKPOINT = Table(
    "archbench_checkpoint", 2, "trial INTEGER, seed INTEGER, path TEXT, sha256 TEXT, epoch INTEGER"
)
REFERENCE = Table("archbench_reference", 1, "name TEXT, params INTEGER, macs INTEGER")
MEASUREMENT = Table(
    "archbench_measurement",
    1,
    "id INTEGER, trial INTEGER, reference TEXT, kind TEXT, metric TEXT, unit TEXT, value REAL, "
    "low REAL, high REAL, conditions TEXT, environment_id TEXT, verdict TEXT, reason TEXT, "
    "details TEXT, samples BLOB",
    may_lack=frozenset({"trial", "reference", "value", "low", "high"}),
)
QUANTISED = Table(
    "archbench_quantised", 2, "trial INTEGER, seed INTEGER, accuracy REAL, seconds REAL"
)
WEIGHTS = Table("archbench_weights", 1, "trial INTEGER, inherited REAL")
DESIGN = Table("archbench_design", 1, "trial INTEGER, design INTEGER")
NOTE = Table("archbench_note", 1, "trial INTEGER, notes TEXT")
TABLES = (
    *(HEADER, TRIAL, POINT, VERDICT, TRAINING, CHECKPOINT, REFERENCE, MEASUREMENT, NOTE),
    *(WEIGHTS, QUANTISED, DESIGN),
)
PARTS: Mapping[str, tuple[Table, type]] = {
    "curve": (POINT, CurvePoint),
    "verdicts": (VERDICT, RungVerdict),
    "trainings": (TRAINING, TrainingRecord),
    "quantised": (QUANTISED, QuantisedAccuracy),
}
"""Of a trial: where its parts stand, of which it has many, and what they are."""


def to_json(value: object) -> str:
    """Compact JSON of a document; whole-number keys (``layers: {2: ...}``) survive as such.

    Raises:
        ValueError: A number is not finite.
        TypeError: Something in it has no JSON form.
    """
    return json.dumps(_keyed(value), allow_nan=False, separators=(",", ":"))


def put_trial(
    connection: sqlite3.Connection, record: TrialRecord, *, before: TrialRecord | None = None
) -> bool:
    """Write what of a trial is not as before; whether its own row is written.

    Its measurements and origin stand elsewhere.
    """
    for part, (table, _) in PARTS.items():
        for entry in getattr(record, part):
            if entry not in getattr(before, part, ()):
                table.put(connection, {"trial": record.number, **_cells_of(entry)})
    if (inherited := record.weights_inherited) is not None:
        WEIGHTS.put(connection, {"trial": record.number, "inherited": inherited})
    if record.design is not None:
        DESIGN.put(connection, {"trial": record.number, "design": record.design})
    row = _row_of(record)
    is_new = before is None or row != _row_of(before)
    if is_new:
        TRIAL.put(connection, row)
    return is_new


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
    documents = {
        "conditions": to_json(asdict(one.conditions)),
        "details": to_json(one.details),
        "samples": struct.pack(f"<{len(samples)}d", *samples),
    }
    MEASUREMENT.put(connection, {"id": identity, **vars(taken), **vars(one), **documents})


def header(connection: sqlite3.Connection) -> dict[str, Any]:
    """What the study is: keys and JSON values.

    Raises:
        ValueError: An entry is none that a study can have.
    """
    cells = {row["key"]: row["value"] for row in HEADER.rows(connection)}
    found = {
        key: shape.document_of(text, place=f"the header's {key}") for key, text in cells.items()
    }
    contents.check_header(found)
    return found


def notes(connection: sqlite3.Connection) -> dict[int, dict[str, Any]]:
    """Trial to what a sampler noted of it.

    Raises:
        ValueError: It is nothing that one notes.
    """
    return {
        row["trial"]: shape.document_of(
            row["notes"], contents.NOTES, place=f"the note of trial {row['trial']}"
        )
        for row in NOTE.rows(connection)
    }


def snapshot(connection: sqlite3.Connection) -> Snapshot:
    """Everything; call it inside a transaction, so that it is of one moment.

    Raises:
        sqlite3.DatabaseError: A row is damaged, or rows refer to others that are missing.
        ValueError: A text is no JSON; likewise TypeError and LookupError.
    """
    for table in (CHECKPOINT, NOTE):  # of the owner alone: seen to be whole
        deque(table.rows(connection), maxlen=0)
    about = header(connection)
    origins: dict[str, str] = about.get("origins", {})
    taken = tuple(map(_taken_of, list(MEASUREMENT.rows(connection))))  # whole, then each
    latency = _counting_latency(taken)
    parts: dict[str, Any] = {
        part: _of_trials(connection, *stored) for part, stored in PARTS.items()
    }

    inherited = {row["trial"]: row["inherited"] for row in WEIGHTS.rows(connection)}
    designs = {row["trial"]: row["design"] for row in DESIGN.rows(connection)}

    def beside(number: int) -> dict[str, Any]:
        found = {part: tuple(of_trial.get(number, ())) for part, of_trial in parts.items()}
        return {
            **found,
            "latency": latency.get(number),
            "weights_inherited": inherited.get(number),
            "design": designs.get(number),
            "origin": origins.get(str(number), ""),
        }

    trials = tuple(
        TrialRecord(**_fields_of(row), **beside(row["number"])) for row in TRIAL.rows(connection)
    )
    known = {record.number for record in trials}
    found = (latency, inherited, designs, designs.values(), *parts.values())
    if not all(map(known.issuperset, found)):
        raise sqlite3.DatabaseError(
            "it holds measurements, verdicts or curves of trials that are not there"
        )
    of_reference = {entry.reference: entry.measurement for entry in taken if entry.reference}
    references = tuple(
        Reference(latency=of_reference[row["name"]], **row) for row in REFERENCE.rows(connection)
    )
    return Snapshot(header=about, trials=trials, references=references, measurements=taken)


def _row_of(record: TrialRecord) -> Cells:
    documents = {key: to_json(getattr(record, key)) for key in _DOCUMENTS}
    found = {**_cells_of(record), **documents}
    return {column: found[column] for column in TRIAL.columns}


def _cells_of(entry: Any) -> Cells:
    """The fields of a record, those of its failure each by itself."""
    failure = getattr(entry, "failure", None)
    return {**vars(entry), **{f"failure_{key}": getattr(failure, key, None) for key in _FAILURE}}


def _fields_of(row: Cells) -> dict[str, Any]:
    """The fields of a record that stand in a row."""
    found = {key: cell for key, cell in row.items() if not key.startswith("failure_")}
    for key in _DOCUMENTS:
        if key in found:
            place = f"the {key} of trial {row['number']}"
            found[key] = shape.document_of(found[key], contents.DOCUMENT, place=place)
    found |= {key: bool(found[key]) for key in _FLAGS if key in found}
    if row.get("failure_kind"):
        failure: Any = {key: row.get(f"failure_{key}") or "" for key in _FAILURE}
        found["failure"] = Failure(**failure)
    return found


def _of_trials(connection: sqlite3.Connection, table: Table, make: type) -> dict[int, list[Any]]:
    """Trial to what a table holds of it, in the order of its keys."""
    found: dict[int, list[Any]] = defaultdict(list)
    for row in table.rows(connection):
        found[row.pop("trial")].append(make(**_fields_of(row)))
    return found


def _taken_of(row: Cells) -> Taken:
    samples = struct.unpack(f"<{len(row['samples']) // 8}d", row["samples"])
    if not all(map(math.isfinite, samples)) or min(samples, default=1.0) <= 0:
        raise ValueError(f"a sample of measurement {row['id']} is not above 0")
    place = f"the details of measurement {row['id']}"
    details = shape.document_of(row["details"], contents.DETAILS, place=place)
    conditions = _conditions_of(row["conditions"])
    documents = {"conditions": conditions, "details": details, "samples": samples}
    del row["id"]
    what = {key: row.pop(key) for key in ("trial", "reference", "kind")}
    return Taken(**what, measurement=Measurement(**{**row, **documents}))


@lru_cache(maxsize=64)
def _conditions_of(text: str) -> Conditions:
    """The conditions of their JSON text; measurements share few of them."""
    place = "the conditions of a measurement"
    return Conditions.from_document(shape.document_of(text, contents.CONDITIONS, place=place))


def _counting_latency(taken: tuple[Taken, ...]) -> dict[int, Measurement]:
    """Trial to its latency, by all its timings."""
    runs = runs_of(taken)
    between = run_to_run(runs.values())
    return {number: latency_of(measurements, between) for number, measurements in runs.items()}


def _keyed(value: object) -> object:
    if isinstance(value, Mapping):
        return {_key(key): _keyed(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_keyed(entry) for entry in value]
    return value


def _key(key: object) -> str:
    if isinstance(key, int) and not isinstance(key, bool):
        return f"{shape.NUMBERED}{key}"
    if isinstance(key, str) and not key.startswith(shape.NUMBERED):
        return key
    raise TypeError(f"cannot store the key {key!r}; keys are text or whole numbers")
