"""What do the tables of a store hold, put together as records."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any, cast

from archbench.study import row, schema
from archbench.study.measurement import Conditions, Measurement
from archbench.study.schema import DamagedError
from archbench.study.snapshot import Reference, Snapshot, Taken
from archbench.study.trial import CurvePoint, RungVerdict, TrainingRecord


def header(connection: sqlite3.Connection) -> dict[str, Any]:
    """What the study is: keys and JSON values."""
    return {
        str(key): row.from_json(str(text)) for key, text in schema.rows(connection, schema.HEADER)
    }


def snapshot(connection: sqlite3.Connection) -> Snapshot:
    """Everything; call it inside a transaction, so that it is of one moment.

    Raises:
        DamagedError: A row is damaged, or rows refer to others that are missing.
    """
    about = header(connection)
    origins: dict[str, str] = about.get("origins", {})
    taken = tuple(_measurements(connection))
    latency = _counting_latency(taken)
    curves: dict[int, list[CurvePoint]] = {}
    for cells in schema.rows(connection, schema.POINT):
        curves.setdefault(cast(int, cells[0]), []).append(row.point_of(cells))
    verdicts, trainings = _verdicts(connection), _trainings(connection)
    trials = tuple(
        row.trial_of(
            cells,
            latency=latency.get(cast(int, cells[0])),
            curve=tuple(curves.get(cast(int, cells[0]), ())),
            origin=origins.get(str(cells[0]), ""),
            verdicts=tuple(verdicts.get(cast(int, cells[0]), ())),
            trainings=tuple(trainings.get(cast(int, cells[0]), ())),
        )
        for cells in schema.rows(connection, schema.TRIAL)
    )
    known = {record.number for record in trials}
    if not all(known.issuperset(found) for found in (curves, latency, verdicts, trainings)):
        raise DamagedError("it holds measurements, verdicts or curves of trials that are not there")
    of_reference = {entry.reference: entry.measurement for entry in taken if entry.reference}
    references = tuple(
        Reference(name=name, latency=of_reference[name], params=params, macs=macs)
        for name, params, macs in cast(
            Iterator[tuple[str, int, int]], schema.rows(connection, schema.REFERENCE)
        )
    )
    return Snapshot(header=about, trials=trials, references=references, measurements=taken)


def _verdicts(connection: sqlite3.Connection) -> dict[int, list[RungVerdict]]:
    verdicts: dict[int, list[RungVerdict]] = {}
    if schema.is_there(connection, schema.VERDICT):
        for cells in schema.rows(connection, schema.VERDICT):
            verdicts.setdefault(cast(int, cells[0]), []).append(row.verdict_of(cells))
    return verdicts


def _trainings(connection: sqlite3.Connection) -> dict[int, list[TrainingRecord]]:
    trainings: dict[int, list[TrainingRecord]] = {}
    if schema.is_there(connection, schema.TRAINING):
        for cells in schema.rows(connection, schema.TRAINING):
            trainings.setdefault(cast(int, cells[0]), []).append(row.training_of(cells))
    return trainings


def _measurements(connection: sqlite3.Connection) -> Iterator[Taken]:
    known: dict[str, Conditions] = {}

    def conditions(text: str) -> Conditions:
        if text not in known:
            known[text] = row.conditions_of(text)
        return known[text]

    for cells in schema.rows(connection, schema.MEASUREMENT):
        _, trial, reference, kind, *_ = cast(tuple[Any, ...], cells)
        yield Taken(
            trial=trial,
            reference=reference,
            kind=kind,
            measurement=row.measurement_of(cells, conditions=conditions),
        )


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
