"""The open study of a search: our tables, shown in Optuna's so that its own tools open them.

Our tables alone are true. What happens is written there first; Optuna's are a view of them, written
after, and made anew when a study is gone on with. Nothing is read from them but what a sampler
noted of trials of archbench 0.1, which kept it there alone. Optuna makes its tables itself; their
rows are written by name (its schema ``v3.2.0.a``).
"""

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Self

import optuna
from optuna.distributions import distribution_to_json, json_to_distribution
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from archbench.errors import StorageError
from archbench.study.database import Store
from archbench.study.objective import objective_value
from archbench.study.trial import Taken, TrialRecord
from archbench.study.trial import TrialState as State

_TOLD_AS: Mapping[State, TrialState] = {
    "running": TrialState.RUNNING,
    "complete": TrialState.COMPLETE,
    "over_limit": TrialState.PRUNED,
    "pruned": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}
_distribution = lru_cache(maxsize=1024)(json_to_distribution)
_BUSY_TIMEOUT_S = 60
_STUDY = 1
_COLUMNS = {
    "studies": "study_id, study_name",
    "study_directions": "study_id, objective, direction",
    "trials": "trial_id, number, study_id, state, datetime_start, datetime_complete",
    "trial_values": "trial_id, objective, value, value_type",
    "trial_params": "trial_id, param_name, param_value, distribution_json",
    "trial_user_attributes": "trial_id, key, value_json",
    "trial_system_attributes": "trial_id, key, value_json",
}


class Ledger(Store):
    """The store of a search, whose trials are shown to Optuna's tools; only its owner has one."""

    @classmethod
    def create(cls, path: Path | str, header: Mapping[str, Any]) -> Self:
        """See ``Store.create``; ``name`` and ``objectives`` of the header are Optuna's, too."""
        study = super().create(path, header)
        study.mend()
        return study

    @property
    def next_number(self) -> int:
        """The number that the next trial will have."""
        return len(self.trials)

    def begin(
        self, record: TrialRecord, *, drawn: FrozenTrial, taken: Sequence[Taken] | None = None
    ) -> None:
        """Adds a trial that begins, or that has ended in another study; see ``Store.add_trial``.

        ``drawn`` is how it was drawn, or would have been from this study's space.
        """
        assert record.number == self.next_number, "numbers are given in order, by one owner"
        with self.transaction():
            self.add_trial(record, taken=taken)
            self.set_notes(record.number, _notes_of(drawn, started=None))

    def re_encode(self, number: int, *, choices: Mapping[str, Any], drawn: FrozenTrial) -> None:
        """Writes a trial as another space encodes it.

        Optuna refuses trials whose values were drawn from other choices, and its samplers pass
        over them: so all trials of a study bear the values of its present space.
        """
        kept = {key: self.notes[number][key] for key in ("system_attrs", "started")}
        self.set_notes(number, {**_notes_of(drawn, started=None), **kept})
        self.update(number, choices=choices)

    def knowledge(self, record: TrialRecord) -> dict[str, Any]:
        """What a sampler may learn from a trial besides its objectives: see ``Suggester.tell``."""
        costs = [name for name in self._objectives if name != "proxy_accuracy"]
        known = [objective_value(record, name) for name in costs]
        cost = [value for value in known if value is not None]
        return {
            "curve": [[point.seed, point.epoch, point.accuracy] for point in record.curve],
            "cost": cost if len(cost) == len(known) else [],
            "latency_ms": objective_value(record, "latency_ms"),
        }

    def frozen(self, record: TrialRecord) -> FrozenTrial:
        """A trial as Optuna knows it; a complete one has its objectives as values."""
        notes, state = self.notes[record.number], _TOLD_AS[record.state]
        started = datetime.fromisoformat(notes["started"])
        ended = started + timedelta(seconds=record.seconds) if state.is_finished() else None
        distributions = {axis: _distribution(text) for axis, text in notes["distributions"].items()}
        values = [objective_value(record, name) for name in self._objectives]
        known = [float(value) for value in values if value is not None]
        return FrozenTrial(
            number=record.number,
            trial_id=record.number + 1,
            state=state,
            value=None,
            values=known if state == TrialState.COMPLETE else None,
            datetime_start=started,
            datetime_complete=ended,
            params=dict(notes["params"]),
            distributions=distributions,
            user_attrs={"digest": record.digest},
            system_attrs=dict(notes["system_attrs"]),
            intermediate_values={},
        )

    def mend(self) -> list[FrozenTrial]:
        """Makes Optuna's tables anew from ours, whatever they hold; its trials by number.

        To be called once, before the first trial is begun or ended.

        Raises:
            StorageError: What a sampler noted of a trial is nowhere.
        """
        unnoted = sorted(self.trials.keys() - self.notes.keys())
        with _optunas_own(self.path) as storage:  # its tables are there now
            earlier = _earlier_notes(storage) if unnoted else {}
        lacking = [number for number in unnoted if number not in earlier]
        if lacking:
            raise StorageError(
                f"Optuna's tables lack the trials {lacking}",
                place=str(self.path),
                help="put the database back from its backup",
            )
        header = self.header()
        ways = enumerate(header["objectives"].values())
        with self.transaction() as connection:
            for number in unnoted:
                self.set_notes(number, earlier[number])
            for table in _COLUMNS:
                connection.execute(f"DELETE FROM {table}")  # noqa: S608
            _insert(connection, "studies", [(_STUDY, header["name"])])
            directions = [(_STUDY, place, f"{way.upper()}IMIZE") for place, way in ways]
            _insert(connection, "study_directions", directions)
            trials = [self.frozen(record) for record in self.trials.values()]
            for trial in trials:
                _write(connection, trial)
        return trials

    @cached_property
    def _objectives(self) -> tuple[str, ...]:
        return tuple(self.header()["objectives"])

    def _show(self, records: Sequence[TrialRecord]) -> None:
        with self.transaction() as connection:
            for record in records:
                if record.number in self.notes:  # else of an older study, which was never mended
                    _write(connection, self.frozen(record))


def quiet_optuna() -> None:
    """Lets Optuna log warnings only."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)


@contextmanager
def _optunas_own(path: Path) -> Iterator[RDBStorage]:
    """Optuna's own access to its tables, which are made where they are missing."""

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


def _earlier_notes(storage: RDBStorage) -> dict[int, dict[str, Any]]:
    """Trial to its notes, as far as Optuna's tables still hold them."""
    return {
        trial.number: _notes_of(trial, started=trial.datetime_start)
        for study in storage.get_all_studies()[:1]
        for trial in storage.get_all_trials(study._study_id, deepcopy=False)  # noqa: SLF001
    }


def _notes_of(drawn: FrozenTrial, *, started: datetime | None) -> dict[str, Any]:
    """What our tables keep of how a trial was drawn, JSON values."""
    distributions = drawn.distributions.items()
    return {
        "params": dict(drawn.params),
        "distributions": {axis: distribution_to_json(one) for axis, one in distributions},
        "system_attrs": dict(drawn.system_attrs),
        "started": (started or datetime.now()).isoformat(),
    }


def _write(connection: sqlite3.Connection, trial: FrozenTrial) -> None:
    """Write the rows of one trial anew."""
    identity = trial._trial_id  # noqa: SLF001
    dates = (
        at.isoformat(sep=" ", timespec="microseconds") if at else None
        for at in (trial.datetime_start, trial.datetime_complete)
    )
    found: dict[str, list[tuple[Any, ...]]] = {
        "trials": [(identity, trial.number, _STUDY, trial.state.name, *dates)],
        "trial_values": [
            (identity, place, value, "FINITE") for place, value in enumerate(trial.values or ())
        ],
        "trial_params": [
            (identity, axis, one.to_internal_repr(trial.params[axis]), distribution_to_json(one))
            for axis, one in trial.distributions.items()
        ],
        "trial_user_attributes": [
            (identity, key, json.dumps(value)) for key, value in trial.user_attrs.items()
        ],
        "trial_system_attributes": [
            (identity, key, json.dumps(value)) for key, value in trial.system_attrs.items()
        ],
    }
    for table, rows in found.items():
        connection.execute(f"DELETE FROM {table} WHERE trial_id = ?", (identity,))  # noqa: S608
        _insert(connection, table, rows)


def _insert(connection: sqlite3.Connection, table: str, rows: Sequence[tuple[Any, ...]]) -> None:
    columns = _COLUMNS[table]
    marks = ", ".join("?" * (columns.count(",") + 1))
    connection.executemany(f"INSERT INTO {table} ({columns}) VALUES ({marks})", rows)  # noqa: S608
