"""Where does all that a study knows stand: one SQLite file, and this is the only door to it.

The write-ahead log with ``synchronous = FULL`` and one owner keep what was acknowledged, however
the owner ends. SQLite's own check of the whole file costs a read of it: it is made by
``archbench doctor`` and where reading fails.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, cast

from archbench.errors import StorageError
from archbench.study import rows
from archbench.study.atomic_file import backup_path, database_failures
from archbench.study.connection import (
    check_version,
    closed_on_error,
    connect,
    content,
    existing,
    read,
    set_durable,
    version,
)
from archbench.study.measurement import Measurement
from archbench.study.trial import (
    CurvePoint,
    Failure,
    RungVerdict,
    Snapshot,
    Taken,
    TrainingRecord,
    TrialRecord,
    TrialState,
)


class Store:
    """The tables of a study in ``study.db``, beside Optuna's, open for writing.

    One process writes (the study's owner); any number may ``read`` meanwhile and never hold it up.
    Every write is one short transaction that is on the disk when the call returns. Use it from
    the thread that opened it, and as a context manager. The owner must not open the file by
    other means than SQLite: closing it would let go of SQLite's locks (POSIX).

    Args:
        path: The database file.
        connection: Open and of a known version; use ``Store.create`` or ``Store.open``.
    """

    def __init__(self, path: Path, *, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection
        self._inode = path.stat().st_ino
        set_durable(connection)

    @classmethod
    def create(cls, path: Path | str, header: Mapping[str, Any]) -> Self:
        """A new store; the file may already hold Optuna's tables.

        Args:
            path: The database file, in a folder that exists.
            header: What the study is, JSON values; ``schema`` is added. ``kind`` says whether it
                is a ``search``, which is meant where it is left out, a ``certificate`` or an
                ``ablation``.

        Raises:
            StorageError: A study is already there, or the file cannot be written.
        """
        path = Path(path)
        if not path.parent.is_dir():
            raise StorageError(
                "the folder of the database does not exist",
                place=str(path),
                help=f"make it: mkdir -p {path.parent}",
            )
        connection = connect(path, "mode=rwc")
        with closed_on_error(connection, path):
            store = cls(path, connection=connection)
            with store.transaction():
                if version(connection) is not None:
                    raise StorageError(
                        "a study is already there",
                        help="go on with --resume, or take another --name",
                    )
                _lift(connection, header=header)
        return store

    @classmethod
    def open(cls, path: Path | str) -> Self:
        """An existing store; tables of an older version are lifted to this one.

        Raises:
            StorageError: There is none, it is damaged, or a newer archbench wrote it.
        """
        path = existing(path)
        connection = connect(path, "mode=rw")
        with closed_on_error(connection, path):
            store = cls(path, connection=connection)
            with store.transaction():
                check_version(connection)
                _lift(connection, header={})
        return store

    read = staticmethod(read)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file; closing twice does nothing."""
        self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All writes of the block as one: on the disk after it, or nothing of them is.

        Raises:
            StorageError: They cannot be written.
        """
        connection = self._connection
        is_part = connection.in_transaction
        if is_part:
            yield connection
            return
        self._check_place()
        with database_failures(self.path):
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

    def header(self) -> dict[str, Any]:
        """What the study is: keys and JSON values."""
        with database_failures(self.path):
            return rows.header(self._connection)

    def set_header(self, key: str, value: Any) -> None:
        """Store a JSON value under a key, in the place of an earlier one.

        Raises:
            ValueError: The key is ``schema``, or a number in the value is not finite.
        """
        if key == "schema":
            raise ValueError("the version of the tables is not to be set")
        with self.transaction() as connection:
            rows.HEADER.put(connection, key, rows.to_json(value))

    def add_trial(self, record: TrialRecord) -> None:
        """Store a trial that is not there yet, with its latency and curve if it has them.

        Raises:
            StorageError: The number is taken.
        """
        number = record.number
        with self.transaction() as connection:
            if self._has(number):
                raise StorageError(
                    f"trial {number} is already there", help="resume the study to go on with it"
                )
            rows.put_trial(connection, record)
            for point in record.curve:
                self.add_point(number, point)
            for verdict in record.verdicts:
                self.add_verdict(number, verdict)
            for training in record.trainings:
                self.set_training(number, training)
            if record.latency:
                self.add_measurement(number, "search", record.latency)

    def put_trials(self, records: Iterable[TrialRecord]) -> None:
        """Store the rows of trials that are there anew; latency and curve stay as they are."""
        with self.transaction() as connection:
            for record in records:
                self._require(record.number)
                rows.put_trial(connection, record)

    def add_measurement(
        self, number: int, kind: Literal["search", "confirm"], measurement: Measurement
    ) -> None:
        """Store a measurement of a trial; earlier ones stay, the last one counts.

        A latency of kind ``confirm`` that has a value counts before those of kind ``search``.
        """
        with self.transaction() as connection:
            self._require(number)
            taken = Taken(trial=number, reference=None, kind=kind, measurement=measurement)
            rows.put_measurement(connection, taken)

    def add_point(
        self, number: int, point: CurvePoint, *, proxy_accuracy: float | None = None
    ) -> None:
        """Store a point of a trial's curve, in the place of one of the same seed and epoch.

        Store the point before its checkpoint: a training that is resumed from the checkpoint
        does not give the point again.

        Args:
            number: Of the trial.
            point: The point.
            proxy_accuracy: What the trial's accuracy becomes with it, stored in the same
                transaction; None leaves it.
        """
        with self.transaction() as connection:
            self._require(number)
            rows.POINT.put(connection, number, *asdict(point).values())
            if proxy_accuracy is not None:
                record = replace(self._trial(number), proxy_accuracy=proxy_accuracy)
                rows.put_trial(connection, record)

    def add_verdict(self, number: int, verdict: RungVerdict) -> None:
        """Store what a rule said of a trial at a rung, before anybody acts on it."""
        with self.transaction() as connection:
            self._require(number)
            rows.VERDICT.put(connection, number, *asdict(verdict).values())

    def set_training(self, number: int, training: TrainingRecord) -> None:
        """Store how a training of a trial stands, in the place of what was stored of its seed.

        A certificate and an ablation plan their trainings one by one. Their candidates are
        trials, each training has a seed and epochs of its own and, by ``add_point``, its curve.
        """
        with self.transaction() as connection:
            self._require(number)
            rows.put_training(connection, number, training)

    def set_notes(self, number: int, notes: Mapping[str, Any]) -> None:
        """Store what a sampler noted of a trial, JSON values, in the place of earlier notes."""
        with self.transaction() as connection:
            self._require(number)
            rows.NOTE.put(connection, number, json.dumps(notes))

    def notes(self) -> dict[int, dict[str, Any]]:
        """Trial to what a sampler noted of it; those of an older study may have none."""
        with database_failures(self.path):
            found = cast(Iterable[tuple[int, str]], rows.NOTE.rows(self._connection))
            return {number: json.loads(notes) for number, notes in found}

    def set_checkpoint(
        self, number: int, seed: int, path: Path | str, sha256: str, epoch: int
    ) -> None:
        """Store where the last checkpoint of one training lies.

        A path inside the study's folder is stored relative to it, so that the folder can move.
        """
        file, folder = Path(path).absolute(), self.path.absolute().parent
        inside = file.is_relative_to(folder)
        stored = file.relative_to(folder).as_posix() if inside else str(file)
        with self.transaction() as connection:
            self._require(number)
            rows.CHECKPOINT.put(connection, number, seed, stored, sha256, epoch)

    def checkpoint(self, number: int, seed: int) -> tuple[Path, str, int] | None:
        """Path, sha256 and epoch of the last checkpoint of one training, or None."""
        with database_failures(self.path):
            where = "trial = ? AND seed = ?"
            for found in rows.CHECKPOINT.rows(self._connection, where, (number, seed)):
                _, _, path, sha256, epoch = cast(tuple[int, int, str, str, int], found)
                return self.path.absolute().parent / path, sha256, epoch
        return None

    def finish(
        self,
        number: int,
        *,
        state: TrialState,
        proxy_accuracy: float | None = None,
        failure: Failure | None = None,
        reason: str = "",
        seconds: float,
    ) -> None:
        """Store how a running trial ended.

        Args:
            number: Which trial.
            state: Any but ``running``.
            proxy_accuracy: Mean over seeds at the last rung, where it was trained to the end.
            failure: Why it failed, for ``failed``.
            reason: Why it was not trained to the end, for ``over_limit`` and ``pruned``.
            seconds: Wall time since it was added or resumed; earlier attempts are added.

        Raises:
            StorageError: It is not running: another end was stored before.
        """
        if state == "running":
            raise ValueError("a trial cannot end as running")
        with self.transaction() as connection:
            record = self._trial(number)
            if record.state != "running":
                raise StorageError(f"trial {number} has already ended as {record.state}")
            ended = replace(
                record,
                state=state,
                proxy_accuracy=proxy_accuracy,
                failure=failure,
                reason=reason,
                seconds=record.seconds + seconds,
            )
            rows.put_trial(connection, ended)

    def set_test_accuracy(self, number: int, value: float) -> None:
        """Store the accuracy that a trial reaches on the held-out test split."""
        with self.transaction() as connection:
            rows.put_trial(connection, replace(self._trial(number), test_accuracy=value))

    def add_reference(self, name: str, measurement: Measurement, params: int, macs: int) -> None:
        """Store a published network measured beside the study; a later one of its name counts."""
        taken = Taken(trial=None, reference=name, kind="reference", measurement=measurement)
        with self.transaction() as connection:
            rows.REFERENCE.put(connection, name, params, macs)
            rows.put_measurement(connection, taken)

    def snapshot(self) -> Snapshot:
        """Everything, as it stands now."""
        with database_failures(self.path):
            return content(self._connection)

    def trials(self) -> list[TrialRecord]:
        """All trials by number."""
        return list(self.snapshot().trials)

    def back_up(self) -> Path:
        """Write a sound copy beside the file, atomically; errors about damage name it then.

        Raises:
            StorageError: It cannot be written; an earlier copy is as before.
        """
        target = backup_path(self.path)
        partial = target.with_name(f"{target.name}.{os.getpid()}.partial")
        try:
            with database_failures(target):
                with closing(sqlite3.connect(partial)) as copy:
                    self._connection.backup(copy)
                os.replace(partial, target)
        finally:
            partial.unlink(missing_ok=True)
        return target

    def _has(self, number: int) -> bool:
        known = "SELECT 1 FROM archbench_trial WHERE number = ?"
        return self._connection.execute(known, (number,)).fetchone() is not None

    def _require(self, number: int) -> None:
        if not self._has(number):
            raise StorageError(f"there is no trial {number}", help="add the trial first")

    def _trial(self, number: int) -> TrialRecord:
        self._require(number)
        (found,) = rows.TRIAL.rows(self._connection, "number = ?", (number,))
        return rows.trial_of(found)

    def _check_place(self) -> None:
        """SQLite writes on, without a word, into a file that was deleted beneath it."""
        with suppress(OSError):
            if self.path.stat().st_ino == self._inode:
                return
        raise StorageError(
            "the database was moved, deleted or replaced while the study was open",
            place=str(self.path),
            help="put the folder back and resume",
        )


def _lift(connection: sqlite3.Connection, *, header: Mapping[str, Any]) -> None:
    """Bring the tables to this version; those of version 1 only lack some."""
    for table in rows.TABLES:
        connection.execute(table.create)
    for key, value in {**header, "schema": rows.VERSION}.items():
        rows.HEADER.put(connection, key, rows.to_json(value))
