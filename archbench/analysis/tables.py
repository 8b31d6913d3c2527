"""What stands in each column of the tables, and in which unit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from archbench.study.objective import OBJECTIVES

TableName = Literal["trials", "measurements", "curves", "front"]
Kind = Literal["int64", "Int64", "float64", "str", "floats"]


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        name: Its name.
        kind: Its type; only ``Int64``, ``float64`` and ``str`` can be missing, ``floats`` is a
            list in each row.
        unit: Unit of its numbers; empty where there is none.
        description: What stands in it, and when it is missing.
        tables: The tables that have it.
    """

    name: str
    kind: Kind
    unit: str
    description: str
    tables: tuple[TableName, ...]


_DESIGNS: tuple[TableName, ...] = ("trials", "front")
_TRIALS: tuple[TableName, ...] = ("trials",)
_CURVES: tuple[TableName, ...] = ("curves",)
_MEASUREMENTS: tuple[TableName, ...] = ("measurements",)


def _objective(name: str) -> Column:
    one = OBJECTIVES[name]
    kind: Kind = "int64" if one.is_whole else "float64"
    return Column(name, kind, one.unit, one.description, _DESIGNS)


_PLACED = ("proxy_accuracy", "latency_ms", "params", "macs")

COLUMNS: tuple[Column, ...] = (
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
        "accuracy on the sealed test share, which the search never saw; front members only",
        _DESIGNS,
    ),
    _objective("latency_ms"),
    Column("latency_low_ms", "float64", "ms", "lower end of its 95 % interval", _DESIGNS),
    Column("latency_high_ms", "float64", "ms", "upper end of its 95 % interval", _DESIGNS),
    Column("latency_verdict", "str", "", "stable, disturbed or incomplete", _DESIGNS),
    Column(
        "on_front",
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
    Column("seconds", "float64", "s", "spent on it, by a monotonic clock", ("trials", "curves")),
    Column("trial", "Int64", "", "number in the study; missing for a reference", _MEASUREMENTS),
    Column("reference", "str", "", "published network; missing for a trial", _MEASUREMENTS),
    Column("kind", "str", "", "search, confirm (again at its end) or reference", _MEASUREMENTS),
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
"""Every column of every table, in order; the docs and the report print them from here."""


def columns_of(table: TableName) -> tuple[Column, ...]:
    """The columns of one table, in order."""
    return tuple(column for column in COLUMNS if table in column.tables)
