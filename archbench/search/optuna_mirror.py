"""A study that is open: what is known of its trials, told to our tables and shown in Optuna's.

Our tables alone are true. What happens is written there first; Optuna's tables are a view of it
(``optuna_view``), written after, and mended from ours when a study is opened again.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from optuna.trial import FrozenTrial, TrialState

from archbench.errors import StorageError
from archbench.search import optuna_view
from archbench.search.optuna_view import quiet_optuna
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

__all__ = ["Ledger", "create", "quiet_optuna"]

Kind = Literal["search", "confirm"]


def create(path: Path, *, header: Mapping[str, Any]) -> None:
    """A new database with both sets of tables and no trial.

    Args:
        path: The file.
        header: Of our own tables; ``name`` and ``objectives`` are Optuna's, too.

    Raises:
        StorageError: It cannot be written.
    """
    with Store.create(path, header) as store:
        with optuna_view.tables(path):
            pass  # they are there now
        with store.transaction() as connection:
            optuna_view.renew(connection, (), header=header)


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
        self.trials: dict[int, TrialRecord] = {}
        self._notes: dict[int, dict[str, Any]] = {}
        try:
            self._load()
        except BaseException:
            self.store.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.store.close()

    @property
    def next_number(self) -> int:
        """The number that the next trial will have."""
        return len(self.trials)

    @property
    def running(self) -> list[TrialRecord]:
        """Trials that were begun and have not ended, by number."""
        return [record for record in self.trials.values() if record.state == "running"]

    def begin(self, record: TrialRecord, *, drawn: FrozenTrial) -> None:
        """Adds a running trial.

        Args:
            record: Of it.
            drawn: How it was drawn.
        """
        self._add(record, drawn=drawn, taken=())

    def take(self, record: TrialRecord, *, taken: Sequence[Taken], drawn: FrozenTrial) -> None:
        """Adds a trial that has ended in another study.

        Args:
            record: Of it.
            taken: Its measurements in the order taken.
            drawn: As this study's space encodes it.
        """
        self._add(record, drawn=drawn, taken=taken)

    def re_encode(
        self,
        records: Sequence[TrialRecord],
        *,
        parameters: Mapping[int, FrozenTrial],
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
        with self.store.transaction():
            for key, value in header.items():
                self.store.set_header(key, value)
            self.store.put_trials(records)
            for number, drawn in parameters.items():
                encoded = optuna_view.notes_of(drawn, started=None)
                kept = {key: self._notes[number][key] for key in ("system_attrs", "started")}
                self.store.set_notes(number, {**encoded, **kept})
        self._load()
        self.mend()

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
        self._show(record)
        return record

    def add_latency(self, number: int, latency: Measurement, *, kind: Kind) -> None:
        """Stores a latency; one that confirms counts before one of the search."""
        self.store.add_measurement(number, kind, latency)
        record = self.trials[number]
        if latency.value is not None or record.latency is None:
            self.trials[number] = replace(record, latency=latency)
            if record.state == "complete":
                self._show(self.trials[number])

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

        The trial's accuracy becomes the mean over the trainings that got to the last rung.
        """
        record = self.trials[number]
        if point in record.curve:
            return False
        longer = replace(record, curve=(*record.curve, point))
        mean = statistics.fmean(final_accuracies(longer).values())
        self.store.add_point(number, point, proxy_accuracy=mean)
        self.trials[number] = replace(longer, proxy_accuracy=mean)
        self._show(self.trials[number])
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

    def values(self, record: TrialRecord) -> list[float] | None:
        """A complete trial's objectives in the order of the study; None for any other."""
        if record.state != "complete":
            return None
        values = [objective_value(record, name) for name in self._objectives]
        assert all(value is not None for value in values), "a complete trial has its objectives"
        return [float(value) for value in values if value is not None]

    def told_as(self, record: TrialRecord) -> TrialState:
        """Optuna's word for the state of a trial."""
        return optuna_view.TOLD_AS[record.state]

    def mend(self) -> list[FrozenTrial]:
        """Brings Optuna's tables in step with ours, however they differ; its trials by number.

        To be called once, before the first trial is begun or ended.

        Raises:
            StorageError: What a sampler noted of a trial is nowhere.
        """
        if not self.trials.keys() <= self._notes.keys():
            found = optuna_view.earlier_notes(self.path)
            lacking = sorted(self.trials.keys() - self._notes.keys() - found.keys())
            if lacking:
                raise StorageError(
                    f"Optuna's tables lack the trials {lacking}",
                    place=str(self.path),
                    help="put the database back from its backup",
                )
            with self.store.transaction():
                for number in self.trials.keys() - self._notes.keys():
                    self.store.set_notes(number, found[number])
            self._notes = self.store.notes()
        with optuna_view.tables(self.path):
            pass  # they are there now, whatever was done to them
        trials = [self._frozen(record) for record in self.trials.values()]
        with self.store.transaction() as connection:
            optuna_view.renew(connection, trials, header=self.store.header())
        return trials

    def _load(self) -> None:
        found = self.store.snapshot()
        self.trials = {record.number: record for record in found.trials}
        self._notes = self.store.notes()
        self._objectives = tuple(found.header["objectives"])

    def _add(self, record: TrialRecord, *, drawn: FrozenTrial, taken: Sequence[Taken]) -> None:
        number = record.number
        assert number == self.next_number, "numbers are given in order, by one owner"
        notes = optuna_view.notes_of(drawn, started=None)
        with self.store.transaction():
            self.store.add_trial(replace(record, latency=None))
            self.store.set_notes(number, notes)
            for entry in taken:
                assert entry.kind != "reference", "a reference is no trial"
                self.store.add_measurement(number, entry.kind, entry.measurement)
        self.trials[number], self._notes[number] = record, notes
        self._show(record)

    def _show(self, record: TrialRecord) -> None:
        if record.number not in self._notes:  # of an older study, which was never mended
            return
        with self.store.transaction() as connection:
            optuna_view.show(connection, self._frozen(record))

    def _frozen(self, record: TrialRecord) -> FrozenTrial:
        notes = self._notes[record.number]
        return optuna_view.frozen(record, notes, values=self.values(record))
