"""Small records to test with."""

import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from archbench.analysis.front import FrontRule
from archbench.analysis.study import StudyReader, open_study
from archbench.study import rows
from archbench.study.database import Store
from archbench.study.measurement import Conditions, Measurement, Verdict
from archbench.study.table import COUNTS
from archbench.study.trial import CurvePoint, TrialRecord, TrialState

SPEC = {"name": "tiny", "stages": [{"dim": 16, "depth": 2, "layers": {0: {"kv_stride": 1}}}]}
RULE = FrontRule(
    objectives={"proxy_accuracy": "max", "latency_ms": "min"},
    limits={},
    chance=0.1,
    num_validation=1000,
)


def header(
    *, proxy: Mapping[str, Any] | None = None, limits: Mapping[str, float] | None = None
) -> dict[str, Any]:
    """The header of a study on the built-in digits: chance 10 %, bar about 12.3 %."""
    return {
        "name": "edge",
        "space_name": "quickstart",
        "objectives": {"proxy_accuracy": "max", "latency_ms": "min"},
        "limits": dict(limits or {}),
        "proxy": {
            "data": "cluttered_digits",
            "resolution": 32,
            "chance": 0.1,
            "num_validation": 1536,
            "num_classes": 10,
            **(proxy or {}),
        },
    }


def latency(value: float | None, *, verdict: Verdict = "stable", **details: float) -> Measurement:
    """A latency in ms with an interval of a tenth each way."""
    return Measurement(
        metric="latency",
        unit="ms",
        samples=() if value is None else (value, 1.1 * value, 0.9 * value),
        value=value,
        low=None if value is None else 0.9 * value,
        high=None if value is None else 1.1 * value,
        conditions=Conditions(resolution=(32, 32)),
        environment_id="0123456789ab",
        verdict=verdict,
        reason="" if verdict == "stable" else "others were busy",
        details=details,
    )


def point(epoch: int, accuracy: float, *, seed: int = 0) -> CurvePoint:
    """A point of a curve."""
    return CurvePoint(
        seed=seed, epoch=epoch, step=64 * epoch, loss=1.5, accuracy=accuracy, seconds=epoch * 0.5
    )


def trial(
    number: int,
    *,
    state: TrialState = "complete",
    accuracy: float | None = None,
    latency_ms: float | None = None,
    reason: str = "",
    **changes: Any,
) -> TrialRecord:
    """A trial with a curve of one point where it has an accuracy."""
    values: dict[str, Any] = {
        "number": number,
        "state": state,
        "digest": f"{number:016x}",
        "choices": {"stages[0].dim": 16 + number},
        "spec": SPEC,
        "params": 1000 + number,
        "macs": 100_000 + number,
        "activations": 5000,
        "latency": None if latency_ms is None else latency(latency_ms),
        "curve": () if accuracy is None else (point(4, accuracy),),
        "proxy_accuracy": accuracy,
        "reason": reason,
        "seconds": 1.5,
    }
    return TrialRecord(**{**values, **changes})


def recount(connection: sqlite3.Connection) -> None:
    """Counts the rows of a study's tables anew, as whoever crafts one would."""
    names = {
        name
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
    }
    for table in (one for one in rows.TABLES if one.name in names):  # a view may have no end
        with suppress(sqlite3.Error):  # a column may be missing
            found = (*table.count(connection), table.name)
            statement = f"UPDATE {COUNTS} SET num_rows = ?, checksum = ? WHERE name = ?"
            connection.execute(statement, found)


def study(
    folder: Path, trials: Iterable[TrialRecord] = (), *, header: Mapping[str, Any]
) -> StudyReader:
    """A study of these trials, written and read again."""
    with Store.create(folder / "study.db", header) as store:
        for record in trials:
            store.add_trial(record)
    return open_study(folder)
