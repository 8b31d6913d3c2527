"""Optuna's tables as a view of a study, made from ours so that Optuna's own tools open it.

Nothing is read from them but what a sampler noted of trials of archbench 0.1, which kept it there
alone. The tables themselves are made by Optuna; their rows are written by name (its schema
``v3.2.0.a``), in one transaction for a trial.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, distribution_to_json, json_to_distribution
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from archbench.errors import StorageError
from archbench.study.trial import TrialRecord
from archbench.study.trial import TrialState as State

TOLD_AS: Mapping[State, TrialState] = {
    "running": TrialState.RUNNING,
    "complete": TrialState.COMPLETE,
    "over_limit": TrialState.PRUNED,
    "pruned": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}
"""Optuna's word for the state of a trial."""

_BUSY_TIMEOUT_S = 60
_STUDY = 1
_STUDY_TABLES = {
    "studies": "study_id, study_name",
    "study_directions": "study_id, objective, direction",
}
_TRIAL_TABLES = {
    "trials": "trial_id, number, study_id, state, datetime_start, datetime_complete",
    "trial_values": "trial_id, objective, value, value_type",
    "trial_params": "trial_id, param_name, param_value, distribution_json",
    "trial_user_attributes": "trial_id, key, value_json",
    "trial_system_attributes": "trial_id, key, value_json",
}
_Rows = dict[str, list[tuple[Any, ...]]]


def notes_of(drawn: FrozenTrial, *, started: datetime | None) -> dict[str, Any]:
    """What our tables keep of how a trial was drawn, JSON values."""
    return {
        "params": dict(drawn.params),
        "distributions": {
            axis: distribution_to_json(one) for axis, one in drawn.distributions.items()
        },
        "system_attrs": dict(drawn.system_attrs),
        "started": (started or datetime.now()).isoformat(),
    }


def frozen(
    record: TrialRecord, notes: Mapping[str, Any], *, values: Sequence[float] | None
) -> FrozenTrial:
    """A trial as Optuna knows it.

    Args:
        record: Ours.
        notes: See ``notes_of``.
        values: Its objectives, where it is complete.
    """
    state, started = TOLD_AS[record.state], datetime.fromisoformat(notes["started"])
    return FrozenTrial(
        number=record.number,
        trial_id=record.number + 1,
        state=state,
        value=None,
        values=values,
        datetime_start=started,
        datetime_complete=(
            started + timedelta(seconds=record.seconds) if state.is_finished() else None
        ),
        params=dict(notes["params"]),
        distributions={axis: _distribution(text) for axis, text in notes["distributions"].items()},
        user_attrs={"digest": record.digest},
        system_attrs=dict(notes["system_attrs"]),
        intermediate_values={},
    )


def show(connection: sqlite3.Connection, trial: FrozenTrial) -> None:
    """Write the rows of one trial anew."""
    for table in _TRIAL_TABLES:
        statement = f"DELETE FROM {table} WHERE trial_id = ?"  # noqa: S608
        connection.execute(statement, (trial._trial_id,))  # noqa: SLF001
    _insert(connection, _rows_of(trial))


def renew(
    connection: sqlite3.Connection, trials: Iterable[FrozenTrial], *, header: Mapping[str, Any]
) -> None:
    """See that the view shows these trials and nothing else; it is written anew where it differs.

    Args:
        connection: Of our tables, in a transaction.
        trials: All trials.
        header: Of the study; ``name`` and ``objectives`` are Optuna's, too.
    """
    objectives = enumerate(header["objectives"].values())
    wanted: _Rows = {
        "studies": [(_STUDY, header["name"])],
        "study_directions": [(_STUDY, n, f"{way.upper()}IMIZE") for n, way in objectives],
        **{table: [] for table in _TRIAL_TABLES},
    }
    for trial in trials:
        for table, entries in _rows_of(trial).items():
            wanted[table] += entries
    tables = {**_STUDY_TABLES, **_TRIAL_TABLES}
    shown = {
        table: Counter(connection.execute(f"SELECT {columns} FROM {table}"))  # noqa: S608
        for table, columns in tables.items()
    }
    if shown != {table: Counter(entries) for table, entries in wanted.items()}:
        for table in tables:
            connection.execute(f"DELETE FROM {table}")  # noqa: S608
        _insert(connection, wanted)


@contextmanager
def tables(path: Path) -> Iterator[RDBStorage]:
    """Optuna's own access to its tables, which are made where they are missing.

    Raises:
        StorageError: It fails.
    """

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S, check_same_thread=False)

    try:
        storage = RDBStorage("sqlite://", engine_kwargs={"creator": connect})
        try:
            yield storage
        finally:
            storage.remove_session()
            storage.engine.dispose()
    except (StorageInternalError, SQLAlchemyError, sqlite3.Error) as error:
        cause = error.__cause__ if isinstance(error, StorageInternalError) else error
        reason = getattr(cause, "orig", None) or cause
        raise StorageError(
            f"cannot write the study's database ({reason})",
            place=str(path),
            help="check the disk and its free space, then resume: what was acknowledged is safe",
        ) from error


def earlier_notes(path: Path) -> dict[int, dict[str, Any]]:
    """Trial to its notes, as far as Optuna's tables still hold them.

    Raises:
        StorageError: They cannot be read.
    """
    with tables(path) as storage:
        return {
            trial.number: notes_of(trial, started=trial.datetime_start)
            for study in storage.get_all_studies()[:1]
            for trial in storage.get_all_trials(study._study_id, deepcopy=False)  # noqa: SLF001
        }


def quiet_optuna() -> None:
    """Lets Optuna log warnings only."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def _rows_of(trial: FrozenTrial) -> _Rows:
    identity = trial._trial_id  # noqa: SLF001
    dates = (
        at.isoformat(sep=" ", timespec="microseconds") if at else None
        for at in (trial.datetime_start, trial.datetime_complete)
    )
    return {
        "trials": [(identity, trial.number, _STUDY, trial.state.name, *dates)],
        "trial_values": [
            (identity, place, value, "FINITE") for place, value in enumerate(trial.values or ())
        ],
        "trial_params": [
            (identity, axis, one.to_internal_repr(trial.params[axis]), distribution_to_json(one))
            for axis, one in trial.distributions.items()
        ],
        "trial_user_attributes": _attributes(identity, trial.user_attrs),
        "trial_system_attributes": _attributes(identity, trial.system_attrs),
    }


def _attributes(identity: int, attributes: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    return [(identity, key, json.dumps(value)) for key, value in attributes.items()]


def _insert(connection: sqlite3.Connection, rows: _Rows) -> None:
    for table, columns in {**_STUDY_TABLES, **_TRIAL_TABLES}.items():
        marks = ", ".join("?" * (columns.count(",") + 1))
        statement = f"INSERT INTO {table} ({columns}) VALUES ({marks})"  # noqa: S608
        connection.executemany(statement, rows.get(table, ()))


@lru_cache(maxsize=1024)
def _distribution(text: str) -> BaseDistribution:
    return json_to_distribution(text)
