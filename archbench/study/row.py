"""How do records travel into rows of the database and back, to the last bit."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, cast

from archbench.study.measurement import Conditions, Measurement
from archbench.study.schema import Row
from archbench.study.snapshot import MeasurementKind
from archbench.study.trial import CurvePoint, Failure, RungVerdict, TrainingRecord, TrialRecord

_NUMBERED = "int:"


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


def trial_row(record: TrialRecord) -> Row:
    """The row of a trial; its latency, curve and origin stand elsewhere."""
    failure = record.failure
    return (
        int(record.number),
        record.state,
        record.digest,
        to_json(record.choices),
        to_json(record.spec),
        int(record.params),
        int(record.macs),
        int(record.activations),
        _real(record.proxy_accuracy),
        _real(record.test_accuracy),
        failure.kind if failure else None,
        failure.message if failure else None,
        failure.traceback if failure else None,
        record.reason,
        float(record.seconds),
    )


def trial_of(
    row: Row,
    *,
    latency: Measurement | None = None,
    curve: tuple[CurvePoint, ...] = (),
    origin: str = "",
    verdicts: tuple[RungVerdict, ...] = (),
    trainings: tuple[TrainingRecord, ...] = (),
) -> TrialRecord:
    """The trial of a row, with what other tables hold of it."""
    (number, state, digest, choices, spec, params, macs, activations, accuracy, test, *rest) = cast(
        tuple[Any, ...], row
    )
    kind, message, traceback, reason, seconds = rest
    return TrialRecord(
        number=number,
        state=state,
        digest=digest,
        choices=from_json(choices),
        spec=from_json(spec),
        params=params,
        macs=macs,
        activations=activations,
        latency=latency,
        curve=curve,
        proxy_accuracy=accuracy,
        test_accuracy=test,
        failure=Failure(kind=kind, message=message, traceback=traceback) if kind else None,
        reason=reason,
        seconds=seconds,
        origin=origin,
        verdicts=verdicts,
        trainings=trainings,
    )


def point_row(number: int, point: CurvePoint) -> Row:
    """The row of a point of a trial's curve."""
    return (
        int(number),
        int(point.seed),
        int(point.epoch),
        int(point.step),
        float(point.loss),
        float(point.accuracy),
        float(point.seconds),
    )


def point_of(row: Row) -> CurvePoint:
    """The point of a row."""
    _, seed, epoch, step, loss, accuracy, seconds = cast(tuple[Any, ...], row)
    return CurvePoint(
        seed=seed, epoch=epoch, step=step, loss=loss, accuracy=accuracy, seconds=seconds
    )


def verdict_row(number: int, verdict: RungVerdict) -> Row:
    """The row of a verdict on a trial."""
    return (
        int(number),
        int(verdict.seed),
        int(verdict.epoch),
        int(verdict.stops),
        int(verdict.is_audited),
        _real(verdict.probability),
        verdict.reason,
    )


def verdict_of(row: Row) -> RungVerdict:
    """The verdict of a row."""
    _, seed, epoch, stops, is_audited, probability, reason = cast(tuple[Any, ...], row)
    return RungVerdict(
        seed=seed,
        epoch=epoch,
        stops=bool(stops),
        is_audited=bool(is_audited),
        probability=probability,
        reason=reason,
    )


def training_row(number: int, training: TrainingRecord) -> Row:
    """The row of a training of a trial."""
    failure = training.failure
    return (
        int(number),
        int(training.seed),
        int(training.epochs),
        int(training.epoch),
        _real(training.accuracy),
        failure.kind if failure else None,
        failure.message if failure else None,
    )


def training_of(row: Row) -> TrainingRecord:
    """The training of a row."""
    _, seed, epochs, epoch, accuracy, kind, message = cast(tuple[Any, ...], row)
    return TrainingRecord(
        seed=seed,
        epochs=epochs,
        epoch=epoch,
        accuracy=accuracy,
        failure=Failure(kind=kind, message=message) if kind else None,
    )


def measurement_row(
    identity: int,
    measurement: Measurement,
    *,
    kind: MeasurementKind,
    trial: int | None = None,
    reference: str | None = None,
) -> Row:
    """The row of a measurement; samples are little-endian doubles.

    Raises:
        ValueError: A sample is not finite.
    """
    samples = tuple(map(float, measurement.samples))
    if any(sample - sample != 0.0 for sample in samples):
        raise ValueError("samples must be finite")
    return (
        identity,
        trial,
        reference,
        kind,
        measurement.metric,
        measurement.unit,
        _real(measurement.value),
        _real(measurement.low),
        _real(measurement.high),
        to_json(asdict(measurement.conditions)),
        measurement.environment_id,
        measurement.verdict,
        measurement.reason,
        to_json(measurement.details),
        struct.pack(f"<{len(samples)}d", *samples),
    )


def measurement_of(row: Row, *, conditions: Callable[[str], Conditions]) -> Measurement:
    """The measurement of a row.

    Args:
        row: The row.
        conditions: Gives the conditions of their JSON text; rows share few of them.
    """
    (*_, metric, unit, value, low, high, where, environment, verdict, reason, details, samples) = (
        cast(tuple[Any, ...], row)
    )
    return Measurement(
        metric=metric,
        unit=unit,
        samples=struct.unpack(f"<{len(samples) // 8}d", samples),
        value=value,
        low=low,
        high=high,
        conditions=conditions(where),
        environment_id=environment,
        verdict=verdict,
        reason=reason,
        details=from_json(details),
    )


def conditions_of(text: str) -> Conditions:
    """The conditions of their JSON text."""
    document = json.loads(text)
    height, width = document.pop("resolution")
    return Conditions(resolution=(height, width), **document)


def _real(value: float | None) -> float | None:
    return None if value is None else float(value)


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
