"""Where does all that a study knows stand: one SQLite file, and this is the only door to it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeVar, cast

from archbench.errors import StorageError
from archbench.study import damage, database, load, row, schema
from archbench.study.measurement import Measurement
from archbench.study.snapshot import MeasurementKind, Reference, Snapshot
from archbench.study.trial import (
    CurvePoint,
    Failure,
    RungVerdict,
    TrainingRecord,
    TrialRecord,
    TrialState,
)

_T = TypeVar("_T")


class Store:
    """The tables of a study in ``study.db``, beside Optuna's.

    One process writes (the study's owner); any number may read meanwhile and never hold it up.
    Every write is one short transaction that is on the disk when the call returns. Use it from
    the thread that opened it, and as a context manager. The owner must not open the file by
    other means than SQLite: closing it would let go of SQLite's locks (POSIX).

    Args:
        path: The database file.
        connection: Open and checked; use ``Store.create`` or ``Store.open``.
        read_only: Writes are refused.
        unchanged: For a reader without locks, what the file looked like when it was opened.
    """

    def __init__(
        self,
        path: Path,
        *,
        connection: sqlite3.Connection,
        read_only: bool,
        unchanged: tuple[int, ...] | None = None,
    ) -> None:
        self.path = path
        self.read_only = read_only
        self._connection = connection
        self._unchanged = unchanged
        self._inode = path.stat().st_ino

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
        connection = database.connect(path, "mode=rwc")
        with database.closed_on_error(connection, path):
            damage.check_pages(connection)
            database.set_durable(connection)
            store = cls(path, connection=connection, read_only=False)
            with store._writing():
                if database.version(connection) is not None:
                    raise StorageError(
                        "a study is already there",
                        place=str(path),
                        help="go on with --resume, or take another --name",
                    )
                for table in (*schema.TABLES, *schema.LATER):
                    connection.execute(table.create)
                for key, value in {**header, "schema": schema.VERSION}.items():
                    schema.put(connection, schema.HEADER, (key, row.to_json(value)))
        return store

    @classmethod
    def open(cls, path: Path | str, *, read_only: bool = False) -> Self:
        """An existing store, checked for damage; older versions of its tables are lifted.

        Args:
            path: The database file.
            read_only: Needs no right to write, locks nobody out, and makes no files unless
                another process is writing.

        Raises:
            StorageError: There is none, it is damaged, or a newer archbench wrote it.
        """
        path = Path(path)
        if not path.is_file():
            raise StorageError(
                "there is no study database",
                place=str(path),
                help="begin a study with: archbench search SPACE",
            )
        if read_only:
            connection, unchanged = database.open_reader(path)
            return cls(path, connection=connection, read_only=True, unchanged=unchanged)
        connection = database.open_writer(path)
        store = cls(path, connection=connection, read_only=False)
        with database.closed_on_error(connection, path):
            version = database.checked_version(connection)
            with store._writing():
                if version != schema.VERSION:
                    schema.migrate(connection, version=version)
                for table in schema.LATER:
                    connection.execute(table.create)
        return store

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

    def header(self) -> dict[str, Any]:
        """What the study is: keys and JSON values."""
        return self._read(load.header)

    def set_header(self, key: str, value: Any) -> None:
        """Store a JSON value under a key, in the place of an earlier one; see ``amend``."""
        self.amend((), header={key: value})

    def amend(
        self,
        records: Iterable[TrialRecord],
        *,
        header: Mapping[str, Any],
        others: Iterable[tuple[str, Iterable[schema.Row]]] = (),
    ) -> None:
        """Store entries of the header and rows of trials anew, in one transaction.

        Args:
            records: Trials that are there; latency and curve stay as they are.
            header: JSON values by key.
            others: Statements for other tables, each with its rows.

        Raises:
            ValueError: A key is ``schema``, or a number in a value is not finite.
        """
        if "schema" in header:
            raise ValueError("the version of the tables is not to be set")
        with self._writing() as connection:
            for key, value in header.items():
                schema.put(connection, schema.HEADER, (key, row.to_json(value)))
            for record in records:
                self._trial(record.number)
                schema.put(connection, schema.TRIAL, row.trial_row(record))
            for statement in others:
                connection.executemany(*statement)

    def add_trial(self, record: TrialRecord) -> None:
        """Store a trial that is not there yet, with its latency and curve if it has them.

        Raises:
            StorageError: The number is taken.
        """
        with self._writing() as connection:
            known = "SELECT 1 FROM archbench_trial WHERE number = ?"
            if connection.execute(known, (record.number,)).fetchone():
                raise StorageError(
                    f"trial {record.number} is already there",
                    place=str(self.path),
                    help="reopen it to go on with it",
                )
            schema.put(connection, schema.TRIAL, row.trial_row(record))
            for point in record.curve:
                schema.put(connection, schema.POINT, row.point_row(record.number, point))
            for verdict in record.verdicts:
                schema.put(connection, schema.VERDICT, row.verdict_row(record.number, verdict))
            for training in record.trainings:
                schema.put(connection, schema.TRAINING, row.training_row(record.number, training))
            if record.latency:
                _put_measurement(connection, record.latency, kind="search", trial=record.number)

    def set_latency(self, number: int, measurement: Measurement) -> None:
        """Store the latency that the search measured for a trial."""
        self.add_measurement(number, "search", measurement)

    def add_measurement(
        self, number: int, kind: Literal["search", "confirm"], measurement: Measurement
    ) -> None:
        """Store a measurement of a trial; earlier ones stay, the last one counts.

        A latency of kind ``confirm`` that has a value counts before those of kind ``search``.
        """
        with self._writing() as connection:
            self._trial(number)
            _put_measurement(connection, measurement, kind=kind, trial=number)

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
        with self._writing() as connection:
            record = self._trial(number)
            if proxy_accuracy is not None:
                record = replace(record, proxy_accuracy=proxy_accuracy)
                schema.put(connection, schema.TRIAL, row.trial_row(record))
            schema.put(connection, schema.POINT, row.point_row(number, point))

    def add_verdict(self, number: int, verdict: RungVerdict) -> None:
        """Store what a rule said of a trial at a rung, before anybody acts on it."""
        with self._writing() as connection:
            self._trial(number)
            schema.put(connection, schema.VERDICT, row.verdict_row(number, verdict))

    def set_training(self, number: int, training: TrainingRecord) -> None:
        """Store how a training of a trial stands, in the place of what was stored of its seed.

        A certificate and an ablation plan their trainings one by one. Their candidates are
        trials, each training has a seed and epochs of its own and, by ``add_point``, its curve.
        """
        with self._writing() as connection:
            self._trial(number)
            schema.put(connection, schema.TRAINING, row.training_row(number, training))

    def set_checkpoint(
        self, number: int, seed: int, path: Path | str, sha256: str, epoch: int
    ) -> None:
        """Store where the last checkpoint of one training lies.

        A path inside the study's folder is stored relative to it, so that the folder can move.
        """
        file, folder = Path(path).absolute(), self.path.absolute().parent
        inside = file.is_relative_to(folder)
        stored = file.relative_to(folder).as_posix() if inside else str(file)
        with self._writing() as connection:
            self._trial(number)
            schema.put(connection, schema.CHECKPOINT, (number, seed, stored, sha256, epoch))

    def checkpoint(self, number: int, seed: int) -> tuple[Path, str, int] | None:
        """Path, sha256 and epoch of the last checkpoint of one training, or None."""

        def read(connection: sqlite3.Connection) -> tuple[Path, str, int] | None:
            where = "trial = ? AND seed = ?"
            for found in schema.rows(connection, schema.CHECKPOINT, where, (number, seed)):
                _, _, path, sha256, epoch = cast(tuple[int, int, str, str, int], found)
                return self.path.absolute().parent / path, sha256, epoch
            return None

        return self._read(read)

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
            seconds: Wall time since it was added or reopened; earlier attempts are added.

        Raises:
            StorageError: It is not running: another end was stored before.
        """
        if state == "running":
            raise ValueError("a trial cannot end as running")
        with self._writing() as connection:
            record = self._trial(number)
            if record.state != "running":
                raise StorageError(
                    f"trial {number} has already ended as {record.state}",
                    place=str(self.path),
                    help="reopen it to go on with it",
                )
            ended = replace(
                record,
                state=state,
                proxy_accuracy=proxy_accuracy,
                failure=failure,
                reason=reason,
                seconds=record.seconds + seconds,
            )
            schema.put(connection, schema.TRIAL, row.trial_row(ended))

    def reopen(self, number: int) -> None:
        """Let a trial run again: its end is forgotten; curve, checkpoints and latency stay."""
        with self._writing() as connection:
            running = replace(
                self._trial(number), state="running", proxy_accuracy=None, failure=None, reason=""
            )
            schema.put(connection, schema.TRIAL, row.trial_row(running))

    def set_test_accuracy(self, number: int, value: float) -> None:
        """Store the accuracy that a trial reaches on the sealed test share."""
        with self._writing() as connection:
            tested = replace(self._trial(number), test_accuracy=value)
            schema.put(connection, schema.TRIAL, row.trial_row(tested))

    def add_reference(self, name: str, measurement: Measurement, params: int, macs: int) -> None:
        """Store a published network measured beside the study; a later one of its name counts."""
        with self._writing() as connection:
            schema.put(connection, schema.REFERENCE, (name, params, macs))
            _put_measurement(connection, measurement, kind="reference", reference=name)

    def trials(self) -> list[TrialRecord]:
        """All trials by number."""
        return list(self.snapshot().trials)

    def references(self) -> list[Reference]:
        """Published networks measured beside the study, by name."""
        return list(self.snapshot().references)

    def snapshot(self) -> Snapshot:
        """Everything, as it stood at one moment; 10,000 trials take about half a second."""
        return self._read(load.snapshot)

    def back_up(self) -> Path:
        """Write a sound copy beside the file, atomically; errors about damage name it."""
        return database.back_up(self._connection, self.path)

    def _trial(self, number: int) -> TrialRecord:
        for found in schema.rows(self._connection, schema.TRIAL, "number = ?", (number,)):
            return row.trial_of(found)
        raise StorageError(
            f"there is no trial {number}", place=str(self.path), help="add the trial first"
        )

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction; it is on the disk after the block, or nothing of it is."""
        if self.read_only:
            raise StorageError(
                "the study was opened for reading only",
                place=str(self.path),
                help="open it without read_only",
            )
        self._check_place()
        with damage.explained(self.path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

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

    def _read(self, read: Callable[[sqlite3.Connection], _T]) -> _T:
        """What is read in one transaction, hence of one moment."""
        with damage.explained(self.path):
            try:
                result = self._read_once(read)
            except (sqlite3.Error, StorageError):
                if not self._is_stale():
                    raise
            else:
                if not self._is_stale():
                    return result
            self._connection.close()
            self._connection = database.connect(self.path, "mode=ro")
            self._unchanged = None
            return self._read_once(read)

    def _read_once(self, read: Callable[[sqlite3.Connection], _T]) -> _T:
        if self._connection.in_transaction:
            return read(self._connection)
        self._connection.execute("BEGIN")
        try:
            return read(self._connection)
        finally:
            self._connection.execute("ROLLBACK")

    def _is_stale(self) -> bool:
        """Has a writer come since a reader without locks opened the file?"""
        return self._unchanged is not None and self._unchanged != database.quiet_stamp(self.path)


def _put_measurement(
    connection: sqlite3.Connection,
    measurement: Measurement,
    *,
    kind: MeasurementKind,
    trial: int | None = None,
    reference: str | None = None,
) -> None:
    (identity,) = connection.execute(
        "SELECT coalesce(max(id), -1) + 1 FROM archbench_measurement"
    ).fetchone()
    cells = row.measurement_row(identity, measurement, kind=kind, trial=trial, reference=reference)
    schema.put(connection, schema.MEASUREMENT, cells)
