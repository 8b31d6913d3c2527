"""The one truth of a study: our tables and Optuna's in one database, kept in step.

A trial is begun in Optuna's tables first, which give its number and keep what the sampler noted,
and ended in ours first, which keep everything else. It counts as ended when both have it; a study
that died between the two is mended when it is opened again.
"""

from __future__ import annotations

import sqlite3
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import optuna
from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from archbench.errors import StorageError
from archbench.search.proposer import Knowledge
from archbench.study.database import Store
from archbench.study.measurement import Measurement
from archbench.study.objective import objective_value
from archbench.study.trial import (
    CurvePoint,
    Failure,
    RungVerdict,
    Taken,
    TrialRecord,
    final_accuracies,
)
from archbench.study.trial import TrialState as State

Kind = Literal["search", "confirm"]
Parameters = tuple[Mapping[str, Any], Mapping[str, BaseDistribution]]

_BUSY_TIMEOUT_S = 60
_TOLD_AS: Mapping[State, TrialState] = {
    "complete": TrialState.COMPLETE,
    "over_limit": TrialState.PRUNED,
    "pruned": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}


def create(path: Path, *, header: Mapping[str, Any]) -> None:
    """A new database with both sets of tables and no trial.

    Args:
        path: The file.
        header: Of our own tables; ``name`` and ``objectives`` are Optuna's, too.

    Raises:
        StorageError: It cannot be written.
    """
    Store.create(path, header).close()
    directions = [
        StudyDirection.MAXIMIZE if direction == "max" else StudyDirection.MINIMIZE
        for direction in header["objectives"].values()
    ]
    with _explained(path), _optuna(path) as storage:
        storage.create_new_study(directions, study_name=header["name"])


class Ledger:
    """An open study; only its owner may have one.

    Args:
        path: The database.

    Raises:
        StorageError: It is damaged, or not of a study.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.store = Store.open(path)
        self._context = _optuna(path)
        with _explained(path):
            self._storage = self._context.__enter__()
            self._study_id = self._storage.get_all_studies()[0]._study_id  # noqa: SLF001
            self._found = self._storage.get_all_trials(self._study_id, deepcopy=False)
        self.trials = {record.number: record for record in self.store.trials()}
        self._ids = {trial.number: trial._trial_id for trial in self._found}  # noqa: SLF001
        self._objectives = tuple(self.store.header()["objectives"])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._context.__exit__(None, None, None)
        self.store.close()

    @property
    def next_number(self) -> int:
        """The number that the next trial will have."""
        return len(self._ids)

    @property
    def running(self) -> list[TrialRecord]:
        """Trials that were begun and have not ended, by number."""
        return [record for record in self.trials.values() if record.state == "running"]

    def begin(self, record: TrialRecord, *, trial: FrozenTrial) -> None:
        """Adds a running trial.

        Args:
            record: Ours.
            trial: Optuna's, of the same number.
        """
        with _explained(self.path):
            created = self._storage.create_new_trial(self._study_id, template_trial=trial)
        assert record.number == len(self._ids), "numbers are given in order, by one owner"
        self._ids[record.number] = created
        self._add(record)

    def take(self, record: TrialRecord, *, taken: Sequence[Taken], trial: FrozenTrial) -> None:
        """Adds a trial that has ended in another study.

        Args:
            record: Ours.
            taken: Its measurements in the order taken.
            trial: Optuna's, of the same number.
        """
        self.begin(replace(record, latency=None), trial=trial)
        for entry in taken:
            assert entry.kind != "reference", "a reference is no trial"
            self.store.add_measurement(record.number, entry.kind, entry.measurement)
        self.trials[record.number] = record

    def re_encode(
        self,
        records: Sequence[TrialRecord],
        *,
        parameters: Mapping[int, Parameters],
        header: Mapping[str, Any],
    ) -> None:
        """Writes all trials as another space encodes them, and its header, in one transaction.

        Optuna refuses trials whose values were drawn from other choices, and its samplers pass
        over them: so all trials of a study bear the values of its present space.

        Args:
            records: All trials; of them only the choices may be others.
            parameters: Trial to its values and what they are drawn from.
            header: Entries of the header that change.
        """
        rows = [
            (
                self._ids[number],
                axis,
                distributions[axis].to_internal_repr(value),
                distribution_to_json(distributions[axis]),
            )
            for number, (params, distributions) in parameters.items()
            for axis, value in params.items()
        ]
        gone = [(self._ids[number],) for number in parameters]
        with self.store.transaction() as connection:
            for key, value in header.items():
                self.store.set_header(key, value)
            self.store.put_trials(records)
            connection.executemany("DELETE FROM trial_params WHERE trial_id = ?", gone)
            connection.executemany(
                "INSERT INTO trial_params (trial_id, param_name, param_value, "
                "distribution_json) VALUES (?, ?, ?, ?)",
                rows,
            )
        with _explained(self.path):
            self._found = self._storage.get_all_trials(self._study_id, deepcopy=False)
        self.trials = {record.number: record for record in self.store.trials()}

    def end(
        self,
        number: int,
        *,
        state: State,
        proxy_accuracy: float | None = None,
        failure: Failure | None = None,
        reason: str = "",
        seconds: float,
    ) -> TrialRecord:
        """Ends a running trial; it is acknowledged when this returns. See ``Store.finish``."""
        self.store.finish(
            number,
            state=state,
            proxy_accuracy=proxy_accuracy,
            failure=failure,
            reason=reason,
            seconds=seconds,
        )
        record = replace(
            self.trials[number],
            state=state,
            proxy_accuracy=proxy_accuracy,
            failure=failure,
            reason=reason,
            seconds=self.trials[number].seconds + seconds,
        )
        self.trials[number] = record
        self._tell(record)
        return record

    def add_latency(self, number: int, latency: Measurement, *, kind: Kind) -> None:
        """Stores a latency; one that confirms counts before one of the search."""
        self.store.add_measurement(number, kind, latency)
        record = self.trials[number]
        if latency.value is not None or record.latency is None:
            self.trials[number] = replace(record, latency=latency)

    def add_point(self, number: int, point: CurvePoint) -> bool:
        """Stores a point of a curve; whether it is a new one."""
        record = self.trials[number]
        if point in record.curve:
            return False
        self.store.add_point(number, point)
        self.trials[number] = replace(record, curve=(*record.curve, point))
        return True

    def add_repeated_point(self, number: int, point: CurvePoint) -> bool:
        """Stores a point of a further training of a complete trial; whether it is a new one.

        The trial's accuracy becomes the mean over the trainings that got to the last rung. What
        Optuna was told at the trial's end stays there as it was.
        """
        record = self.trials[number]
        if point in record.curve:
            return False
        longer = replace(record, curve=(*record.curve, point))
        mean = statistics.fmean(final_accuracies(longer).values())
        self.store.add_point(number, point, proxy_accuracy=mean)
        self.trials[number] = replace(longer, proxy_accuracy=mean)
        return True

    def add_verdict(self, number: int, verdict: RungVerdict) -> None:
        """Stores what was said of a running trial at a rung, before the worker hears it."""
        self.store.add_verdict(number, verdict)
        record = self.trials[number]
        self.trials[number] = replace(record, verdicts=(*record.verdicts, verdict))

    def set_test_accuracy(self, number: int, value: float) -> None:
        """Stores the accuracy of a trial on the sealed test share."""
        self.store.set_test_accuracy(number, value)
        self.trials[number] = replace(self.trials[number], test_accuracy=value)

    def knowledge(self, record: TrialRecord) -> Knowledge:
        """What a sampler may learn from a trial besides its objectives."""
        costs = [name for name in self._objectives if name != "proxy_accuracy"]
        known = [objective_value(record, name) for name in costs]
        cost = [value for value in known if value is not None]
        return Knowledge(
            curve=[(point.seed, point.epoch, point.accuracy) for point in record.curve],
            cost=cost if len(cost) == len(known) else (),
            latency_ms=objective_value(record, "latency_ms"),
        )

    def values(self, record: TrialRecord) -> list[float] | None:
        """A complete trial's objectives in the order of the study; None for any other."""
        if record.state != "complete":
            return None
        values = [objective_value(record, name) for name in self._objectives]
        assert all(value is not None for value in values), "a complete trial has its objectives"
        return [float(value) for value in values if value is not None]

    def told_as(self, record: TrialRecord) -> TrialState:
        """Optuna's word for the state of a trial that has ended."""
        return _TOLD_AS[record.state]

    def mend(self, record_of: Callable[[FrozenTrial], TrialRecord]) -> list[FrozenTrial]:
        """Brings both sets of tables in step after whatever end; Optuna's trials by number.

        To be called once, before the first trial is begun or ended.

        Args:
            record_of: The record of a trial that was begun in Optuna's tables only.

        Raises:
            StorageError: Optuna's tables lack a trial that ours have.
        """
        told = []
        for trial in self._found:
            record = self.trials.get(trial.number)
            if record is None:
                self._add(record_of(trial))
            elif record.state != "running" and not trial.state.is_finished():
                self._tell(record)
                told.append(trial.number)
        lacking = sorted(set(self.trials) - set(self._ids))
        if lacking:
            raise StorageError(
                f"Optuna's tables lack the trials {lacking}",
                place=str(self.path),
                help="put the database back from its backup",
            )
        with _explained(self.path):
            for number in told:
                self._found[number] = self._storage.get_trial(self._ids[number])
        return self._found

    def _add(self, record: TrialRecord) -> None:
        self.store.add_trial(record)
        self.trials[record.number] = record

    def _tell(self, record: TrialRecord) -> None:
        with _explained(self.path):
            self._storage.set_trial_state_values(
                self._ids[record.number], self.told_as(record), self.values(record)
            )


@contextmanager
def _optuna(path: Path) -> Iterator[RDBStorage]:
    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S, check_same_thread=False)
        connection.execute("PRAGMA synchronous = FULL")
        return connection

    storage = RDBStorage("sqlite://", engine_kwargs={"creator": connect})
    try:
        yield storage
    finally:
        storage.remove_session()
        storage.engine.dispose()


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Optuna's failures in our words.

    Raises:
        StorageError: The block failed in the database.
    """
    try:
        yield
    except (StorageInternalError, SQLAlchemyError, sqlite3.Error) as error:
        cause = error.__cause__ if isinstance(error, StorageInternalError) else error
        reason = getattr(cause, "orig", None) or cause
        raise StorageError(
            f"cannot write the study's database ({reason})",
            place=str(path),
            help="check the disk and its free space, then resume: what was acknowledged is safe",
        ) from error


def quiet_optuna() -> None:
    """Lets Optuna log warnings only."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def finished(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Those that have ended."""
    return [trial for trial in trials if trial.state.is_finished()]
