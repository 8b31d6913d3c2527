"""Which tables does a study give, in memory and on the disk."""

from __future__ import annotations

import io
import json
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from archbench.analysis.front_probability import Doubt
from archbench.analysis.tables import COLUMNS, Kind, TableName, columns_of
from archbench.errors import StorageError
from archbench.study.file import write_atomically
from archbench.study.objective import OBJECTIVES
from archbench.study.trial import Taken, TrialRecord, final_accuracies

__all__ = [
    "COLUMNS",
    "columns_of",
    "curves_table",
    "front_table",
    "measurements_table",
    "trials_table",
    "write_front_elsewhere",
    "write_tables",
]

CSV_TABLES = ("trials", "front")

_ARROW: Mapping[Kind, pa.DataType] = {
    "int64": pa.int64(),
    "Int64": pa.int64(),
    "float64": pa.float64(),
    "str": pa.string(),
    "floats": pa.list_(pa.float64()),
}


class Tables(Protocol):
    """Whatever gives the four tables by name; a ``StudyReader`` does."""

    def tables(self) -> Mapping[TableName, pd.DataFrame]:
        """Table name to table."""


def trials_table(
    trials: Iterable[TrialRecord],
    *,
    num_validation: int | None = None,
    doubt: Doubt | None = None,
) -> pd.DataFrame:
    """One row a trial.

    Args:
        trials: The trials.
        num_validation: Images behind each accuracy; without it no standard errors are given.
        doubt: How sure their places are; without it no probabilities are given.
    """
    return _frame("trials", [_trial_cells(record, num_validation, doubt) for record in trials])


def front_table(
    members: Iterable[TrialRecord],
    *,
    num_validation: int | None = None,
    doubt: Doubt | None = None,
) -> pd.DataFrame:
    """One row a member of the front, in the order given.

    Args:
        members: The members.
        num_validation: Images behind each accuracy; without it no standard errors are given.
        doubt: How sure their places are; without it no probabilities are given.
    """
    return _frame("front", [_trial_cells(record, num_validation, doubt) for record in members])


def measurements_table(measurements: Iterable[Taken]) -> pd.DataFrame:
    """One row a measurement, those that a later one replaced too, with all samples."""
    return _frame("measurements", [_measurement_cells(taken) for taken in measurements])


def curves_table(trials: Iterable[TrialRecord]) -> pd.DataFrame:
    """One row a point of a proxy training."""
    rows = [
        {
            "trial": record.number,
            "seed": point.seed,
            "epoch": point.epoch,
            "step": point.step,
            "loss": point.loss,
            "proxy_accuracy": point.accuracy,
            "seconds": point.seconds,
        }
        for record in trials
        for point in record.curve
    ]
    return _frame("curves", rows)


def accuracy_standard_error(record: TrialRecord, *, num_validation: int | None) -> float | None:
    """How far the proxy accuracy of a trial may be off by chance, one standard error.

    The binomial error of the validation images and, with several seeds, the standard error of
    their mean, in quadrature. All designs see the same images, so differences between them are
    somewhat surer than this says.

    Args:
        record: The trial.
        num_validation: Images behind each accuracy.

    Returns:
        None without an accuracy or without the number of images.
    """
    accuracy = record.proxy_accuracy
    if accuracy is None or not num_validation:
        return None
    variance = accuracy * (1 - accuracy) / num_validation
    last = final_accuracies(record)
    if len(last) > 1:
        variance += statistics.variance(last.values()) / len(last)
    return math.sqrt(variance)


def write_tables(folder: Path, study: Tables) -> list[Path]:
    """Write every table as parquet, trials and front as CSV, too; each file atomically.

    The parquet files carry each column's unit and description in its field metadata.

    Args:
        folder: Where to, usually the study's folder.
        study: What gives the tables.

    Returns:
        The files written.

    Raises:
        StorageError: A file cannot be written; it is as it was.
    """
    if not folder.is_dir():
        raise StorageError(
            "the folder for the tables is not there",
            place=str(folder),
            help=f"make it: mkdir -p {folder}",
        )
    written = []
    for name, table in study.tables().items():
        parquet = folder / f"{name}.parquet"
        write_atomically(parquet, _parquet(name, table))
        written.append(parquet)
        if name in CSV_TABLES:
            text = table.to_csv(index=False, lineterminator="\n")
            write_atomically(folder / f"{name}.csv", text.encode())
            written.append(folder / f"{name}.csv")
    return written


def write_front_elsewhere(
    folder: Path,
    *,
    name: str,
    members: Sequence[TrialRecord],
    measurements: Sequence[Taken],
    num_validation: int,
) -> list[Path]:
    """Write the front by the latencies of another device beside the study's own tables.

    Args:
        folder: The study's.
        name: Of the device, behind ``front-`` and ``measurements-``.
        members: The front there, cheapest first.
        measurements: What was measured there.
        num_validation: Images behind each accuracy.

    Returns:
        The files.

    Raises:
        StorageError: The folder cannot be written.
    """
    front = front_table(members, num_validation=num_validation)
    contents = {
        f"front-{name}.parquet": _parquet("front", front),
        f"front-{name}.csv": front.to_csv(index=False, lineterminator="\n").encode(),
        f"measurements-{name}.parquet": _parquet("measurements", measurements_table(measurements)),
    }
    for file, content in contents.items():
        write_atomically(folder / file, content)
    return [folder / file for file in contents]


def _trial_cells(
    record: TrialRecord, num_validation: int | None, doubt: Doubt | None
) -> dict[str, Any]:
    latency, failure = record.latency, record.failure
    return {
        "trial": record.number,
        "digest": record.digest,
        "state": record.state,
        **{name: one.value(record) for name, one in OBJECTIVES.items()},
        "accuracy_standard_error": accuracy_standard_error(record, num_validation=num_validation),
        "test_accuracy": record.test_accuracy,
        "latency_low_ms": latency.low if latency else None,
        "latency_high_ms": latency.high if latency else None,
        "latency_verdict": latency.verdict if latency else None,
        "on_front": doubt.on_front.get(record.number) if doubt else None,
        "meets_limits": doubt.meets_limits.get(record.number) if doubt else None,
        "seeds": len({point.seed for point in record.curve}),
        "epochs": max((point.epoch for point in record.curve), default=0),
        "seconds": record.seconds,
        "origin": record.origin or None,
        "reason": record.reason or None,
        "failure_kind": failure.kind if failure else None,
        "failure_message": failure.message if failure else None,
        "choices": json.dumps(dict(record.choices)),
        "spec": json.dumps(dict(record.spec)),
    }


def _measurement_cells(taken: Taken) -> dict[str, Any]:
    measurement = taken.measurement
    conditions = measurement.conditions
    height, width = conditions.resolution
    return {
        "trial": taken.trial,
        "reference": taken.reference,
        "kind": taken.kind,
        "metric": measurement.metric,
        "unit": measurement.unit,
        "value": measurement.value,
        "low": measurement.low,
        "high": measurement.high,
        "verdict": measurement.verdict,
        "reason": measurement.reason or None,
        "device": conditions.device,
        "backend": conditions.backend,
        "precision": conditions.precision,
        "batch": conditions.batch,
        "height": height,
        "width": width,
        "threads": conditions.threads,
        "environment_id": measurement.environment_id,
        "details": json.dumps(dict(measurement.details)),
        "samples": list(measurement.samples),
    }


def _frame(table: TableName, rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """A table with all its columns and their types, also without rows."""
    columns = {
        column.name: pd.Series(
            [row[column.name] for row in rows],
            dtype="object" if column.kind == "floats" else column.kind,
        )
        for column in columns_of(table)
    }
    return pd.DataFrame(columns)


def _parquet(name: TableName, table: pd.DataFrame) -> bytes:
    fields = [
        pa.field(
            column.name,
            _ARROW[column.kind],
            metadata={"unit": column.unit, "description": column.description},
        )
        for column in columns_of(name)
    ]
    sink = io.BytesIO()
    content = pa.Table.from_pandas(table, schema=pa.schema(fields), preserve_index=False)
    pq.write_table(content, sink)
    return sink.getvalue()
