"""Which tables does a study give, in memory and on the disk."""

from __future__ import annotations

import io
import json
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from archbench.analysis.baseline import Baseline
from archbench.analysis.front_probability import FrontProbabilities
from archbench.command_line import command_line
from archbench.errors import StorageError
from archbench.study.atomic_file import write_atomically
from archbench.study.measurement import Measurement
from archbench.study.objective import OBJECTIVES
from archbench.study.throughput import throughput
from archbench.study.trial import PRECISION, Taken, TrialRecord, final_accuracies

_ARROW: Mapping[Kind, pa.DataType] = {
    "int64": pa.int64(),
    "Int64": pa.int64(),
    "float64": pa.float64(),
    "str": pa.string(),
    "floats": pa.list_(pa.float64()),
}


def designs_table(
    name: Literal["trials", "front"],
    records: Iterable[TrialRecord],
    *,
    num_validation: int,
    sure: FrontProbabilities | None = None,
) -> pd.DataFrame:
    """One row a trial or member of the front, in this order; no probabilities without ``sure``."""
    sure = sure or FrontProbabilities()
    rows = [_design_cells(record, num_validation=num_validation, sure=sure) for record in records]
    return _frame(name, rows)


def baselines_table(
    baselines: Iterable[Baseline], *, num_validation: int, sure: FrontProbabilities
) -> pd.DataFrame:
    """One row a known network that was trained beside the candidates, or is one."""
    rows = [
        _design_cells(one.record, num_validation=num_validation, sure=sure)
        | {"baseline": one.name, "trial": one.trial}
        for one in baselines
    ]
    return _frame("baselines", rows)


def measurements_table(measurements: Iterable[Taken]) -> pd.DataFrame:
    """One row a measurement, those that a later one replaced too, with all samples."""
    return _frame("measurements", [_measurement_cells(taken) for taken in measurements])


def curves_table(trials: Iterable[TrialRecord]) -> pd.DataFrame:
    """One row a point of a proxy training."""
    rows = [
        {**vars(point), "trial": record.number, "proxy_accuracy": point.accuracy}
        for record in trials
        for point in record.curve
    ]
    return _frame("curves", rows)


def accuracy_standard_error(record: TrialRecord, *, num_validation: int) -> float | None:
    """How far the proxy accuracy of a trial may be off by chance, one standard error.

    The binomial error of the validation images and, with several seeds, the standard error of
    their mean, in quadrature. All designs see the same images, so differences between them are
    somewhat surer than this says. None without an accuracy.
    """
    accuracy = record.proxy_accuracy
    if accuracy is None:
        return None
    variance = accuracy * (1 - accuracy) / num_validation
    last = final_accuracies(record)
    if len(last) > 1:
        variance += statistics.variance(last.values()) / len(last)
    return math.sqrt(variance)


def latency_cells(latency: Measurement | None) -> dict[str, Any]:
    """What a row of a table or of a document says of a latency."""
    return {
        "latency_ms": latency.value if latency else None,
        "latency_low_ms": latency.low if latency else None,
        "latency_high_ms": latency.high if latency else None,
        "latency_verdict": latency.verdict if latency else None,
    }


def write_tables(
    folder: Path, tables: Mapping[TableName, pd.DataFrame], *, suffix: str = ""
) -> list[Path]:
    """Writes tables as parquet, those of networks as CSV, too; each file atomically.

    The parquet files carry each column's unit and description in its field metadata. Given back are
    the files written, ``NAME`` and the suffix being their names.

    Raises:
        StorageError: A file cannot be written; it is as it was.
    """
    if not folder.is_dir():
        raise StorageError(
            "the folder for the tables is not there",
            place=str(folder),
            help="make it: " + command_line("mkdir", "-p", folder),
        )
    written = []
    for name, table in tables.items():
        contents = {"parquet": _parquet(name, table)}
        if name in _DESIGNS:
            contents["csv"] = table.to_csv(index=False, lineterminator="\n").encode()
        for ending, content in contents.items():
            write_atomically(folder / f"{name}{suffix}.{ending}", content)
            written.append(folder / f"{name}{suffix}.{ending}")
    return written


def _design_cells(
    record: TrialRecord, *, num_validation: int, sure: FrontProbabilities
) -> dict[str, Any]:
    failure, best = record.failure, throughput(record.latency)
    return {
        **vars(record),
        **{name: one.value(record) for name, one in OBJECTIVES.items()},
        "trial": record.number,
        "accuracy_standard_error": accuracy_standard_error(record, num_validation=num_validation),
        **latency_cells(record.latency),
        "precision": _precision(record),
        "best_batch": best.batch if best else None,
        "front_probability": sure.on_front.get(record.number),
        "meets_limits": sure.meets_limits.get(record.number),
        "seeds": len({point.seed for point in record.curve}),
        "epochs": max((point.epoch for point in record.curve), default=0),
        "origin": record.origin or None,
        "reason": record.reason or None,
        "failure_kind": failure.kind if failure else None,
        "failure_message": failure.message if failure else None,
        "choices": json.dumps(dict(record.choices)),
        "spec": json.dumps(dict(record.spec)),
    }


def _precision(record: TrialRecord) -> str | None:
    computed = record.latency.conditions.precision if record.latency else None
    return record.choices.get(PRECISION, computed)


def _measurement_cells(taken: Taken) -> dict[str, Any]:
    measurement = taken.measurement
    height, width = measurement.conditions.resolution
    return {
        **vars(taken),
        **vars(measurement),
        **vars(measurement.conditions),
        "reason": measurement.reason or None,
        "height": height,
        "width": width,
        "details": json.dumps(dict(measurement.details)),
        "samples": list(measurement.samples),
    }


def _frame(table: TableName, rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """A table with its columns and their types, also without rows; no other cell is taken."""
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


TableName = Literal["trials", "measurements", "curves", "front", "baselines"]
Kind = Literal["int64", "Int64", "float64", "str", "floats"]  # the last a list in each row


@dataclass(frozen=True)
class Column:
    """A column of a table."""

    name: str
    kind: Kind  # only ``Int64``, ``float64`` and ``str`` can be missing
    unit: str
    description: str  # what stands in it, and when it is missing
    tables: tuple[TableName, ...]


_DESIGNS: tuple[TableName, ...] = ("trials", "front", "baselines")
_TRIALS: tuple[TableName, ...] = ("trials", "baselines")
_BASELINES: tuple[TableName, ...] = ("baselines",)
_CURVES: tuple[TableName, ...] = ("curves",)
_MEASUREMENTS: tuple[TableName, ...] = ("measurements",)


def _objective(name: str) -> Column:
    one = OBJECTIVES[name]
    kind: Kind = "int64" if one.is_whole else "float64"
    return Column(name, kind, one.unit, one.description, _DESIGNS)


_PLACED = ("proxy_accuracy", "latency_ms", "params", "macs")

COLUMNS: tuple[Column, ...] = (
    Column("baseline", "str", "", "name of the known network", _BASELINES),
    Column("trial", "Int64", "", "number in the study; missing if no candidate", _BASELINES),
    Column("trial", "int64", "", "number in the study, from 0", ("trials", "front", "curves")),
    Column("digest", "str", "", "identity of the design at the target", _DESIGNS),
    Column("state", "str", "", "running, complete, over_limit, pruned or failed", _TRIALS),
    _objective("proxy_accuracy"),
    Column(
        "accuracy_standard_error",
        "float64",
        "share",
        "of proxy_accuracy: by the number of validation images and the spread of seeds, if several",
        _DESIGNS,
    ),
    Column(
        "test_accuracy",
        "float64",
        "share",
        "accuracy on the held-out test split, which the search never saw; front members only",
        _DESIGNS,
    ),
    _objective("latency_ms"),
    Column("latency_low_ms", "float64", "ms", "lower end of its 95 % interval", _DESIGNS),
    Column("latency_high_ms", "float64", "ms", "upper end of its 95 % interval", _DESIGNS),
    Column("latency_verdict", "str", "", "stable, disturbed or incomplete", _DESIGNS),
    Column(
        "precision",
        "str",
        "",
        "of the latency, and if int8 was chosen of the accuracy; missing if neither is known",
        _DESIGNS,
    ),
    Column(
        "front_probability",
        "float64",
        "probability",
        "that no other candidate of the study beats it in truth; missing if not trained to the end",
        _DESIGNS,
    ),
    Column(
        "meets_limits",
        "float64",
        "probability",
        "that it keeps every limit in truth; missing without a limit or a cost",
        _DESIGNS,
    ),
    _objective("params"),
    _objective("macs"),
    *(_objective(name) for name in OBJECTIVES if name not in _PLACED),
    Column("best_batch", "Int64", "images", "of the throughput; missing if not timed", _DESIGNS),
    Column("seeds", "int64", "", "proxy trainings that gave at least one point", _TRIALS),
    Column("epochs", "int64", "epochs", "of the longest proxy training; 0 if untrained", _TRIALS),
    Column("origin", "str", "", "STUDY:TRIAL it was taken from; else missing", _DESIGNS),
    Column("reason", "str", "", "why it was not trained to the end; else missing", _TRIALS),
    Column("failure_kind", "str", "", "timeout, memory, nan, illegal, crash or error", _TRIALS),
    Column("failure_message", "str", "", "what went wrong, in one line", _TRIALS),
    Column("choices", "str", "", "axis to chosen value, active axes only, as JSON", _DESIGNS),
    Column("spec", "str", "", "the design as a network spec, as JSON", _DESIGNS),
    Column("seed", "int64", "", "which of the proxy's training seeds, from 0", _CURVES),
    Column("epoch", "int64", "epochs", "trained so far", _CURVES),
    Column("step", "int64", "steps", "optimiser steps taken so far", _CURVES),
    Column("loss", "float64", "nat", "mean training loss since the point before", _CURVES),
    Column("proxy_accuracy", "float64", "share", "validation accuracy, 0 to 1", _CURVES),
    Column("seconds", "float64", "s", "spent on it, by a monotonic clock", (*_TRIALS, "curves")),
    Column("trial", "Int64", "", "number in the study; missing for a reference", _MEASUREMENTS),
    Column("reference", "str", "", "published network; missing for a trial", _MEASUREMENTS),
    Column(
        "kind",
        "str",
        "",
        "search, again, confirm or reference",
        _MEASUREMENTS,
    ),
    Column("metric", "str", "", "what was measured, for example latency", _MEASUREMENTS),
    Column("unit", "str", "", "unit of value, low, high and samples", _MEASUREMENTS),
    Column("value", "float64", "unit", "the estimate; missing if incomplete", _MEASUREMENTS),
    Column("low", "float64", "unit", "lower end of its 95 % interval", _MEASUREMENTS),
    Column("high", "float64", "unit", "upper end of its 95 % interval", _MEASUREMENTS),
    Column("verdict", "str", "", "stable, disturbed or incomplete", _MEASUREMENTS),
    Column("reason", "str", "", "why it is not stable; else missing", _MEASUREMENTS),
    Column("device", "str", "", "cpu or cuda", _MEASUREMENTS),
    Column("backend", "str", "", "what ran the network", _MEASUREMENTS),
    Column("precision", "str", "", "fp32, bf16 or fp16, as computed", _MEASUREMENTS),
    Column("batch", "int64", "images", "of one forward pass", _MEASUREMENTS),
    Column("height", "int64", "px", "of the input", _MEASUREMENTS),
    Column("width", "int64", "px", "of the input", _MEASUREMENTS),
    Column("threads", "int64", "", "CPU threads of one forward pass", _MEASUREMENTS),
    Column("environment_id", "str", "", "machine and software, see the header", _MEASUREMENTS),
    Column("details", "str", "", "further numbers, as JSON", _MEASUREMENTS),
    Column("samples", "floats", "unit", "every sample in the order taken", _MEASUREMENTS),
)
"""Every column of every table, in order, but for objectives from outside, which come last."""


def columns_of(table: TableName) -> tuple[Column, ...]:
    """The columns of one table, in order."""
    known = {column.name for column in COLUMNS}
    outside = [_objective(name) for name in OBJECTIVES if name not in known]
    return tuple(column for column in (*COLUMNS, *outside) if table in column.tables)
