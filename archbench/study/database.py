"""Where does all that a study knows stand: one SQLite file, and this is the only door to it.

The write-ahead log with ``synchronous = FULL`` and one owner keep what was acknowledged, however
the owner ends. SQLite's own check of the whole file costs a read of it: it is made by
``archbench doctor`` and where reading fails.
"""

import json
import os
import sqlite3
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Self
from uuid import uuid4

from archbench.command_line import command_line
from archbench.errors import StorageError
from archbench.study import rows
from archbench.study.atomic_file import backup_path, database_failures, sync_folder
from archbench.study.connection import (
    bounded,
    check_tables,
    content,
    existing,
    held,
    loaded,
    version,
)
from archbench.study.measurement import Measurement
from archbench.study.runs import latency_of, run_to_run, runs_of
from archbench.study.table import begin_counting
from archbench.study.trial import (
    CurvePoint,
    QuantisedAccuracy,
    RungVerdict,
    Snapshot,
    Taken,
    TrainingRecord,
    TrialRecord,
    final_accuracies,
)


class Store:
    """The tables of a study in ``study.db``, beside Optuna's, open for writing.

    One process writes (the study's owner); any number may ``read`` meanwhile and never hold it up.
    Every write is one short transaction that is on the disk when the call returns. Use it from
    the thread that opened it, and as a context manager. The owner must not open the file by
    other means than SQLite: closing it would let go of SQLite's locks (POSIX). Make one by
    ``Store.create`` or ``Store.open``.
    """

    def __init__(self, path: Path, *, connection: sqlite3.Connection) -> None:
        self.path = path
        self.trials: dict[int, TrialRecord] = {}  # by number, as the file holds them
        self.notes: dict[int, dict[str, Any]] = {}  # a sampler's; an older study may have none
        self._runs: dict[int, tuple[Measurement, ...]] = {}  # timings of each trial
        self._written: set[int] = set()
        self._connection = connection
        self._inode = path.stat().st_ino
        (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise StorageError(
                f"the file system allows no write-ahead log (journal mode {mode})",
                help="put the study on a local disk with --results FOLDER",
            )
        connection.execute("PRAGMA synchronous = FULL")

    @classmethod
    def create(cls, path: Path | str, header: Mapping[str, Any]) -> Self:
        """A new store; the header holds JSON values, and ``schema`` is added.

        Its ``kind`` says whether the study is a ``certificate`` or an ``ablation``; without it, it
        is a ``search``.

        Raises:
            StorageError: A study is already there, or the file cannot be written.
        """
        path = Path(path)
        if not path.parent.is_dir():
            raise StorageError(
                "the folder of the database does not exist",
                place=str(path),
                help="make it: " + command_line("mkdir", "-p", path.parent),
            )
        with held(path, "mode=rwc") as connection:
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
        with held(path, "mode=rw") as connection, bounded(connection, path):
            store = cls(path, connection=connection)
            with store.transaction():
                check_tables(connection)
                _lift(connection, header={})
            found = content(connection)
            store.trials = {record.number: record for record in found.trials}
            store._runs = runs_of(found.measurements)
            store.notes = loaded(connection, rows.notes)
        return store

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
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
        before = dict(self.trials), dict(self.notes), dict(self._runs)
        with database_failures(self.path):
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                self.trials, self.notes, self._runs = before
                self._written.clear()
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
        if self._written:
            written = [self.trials[number] for number in sorted(self._written)]
            self._written.clear()
            self._show(written)

    def header(self) -> dict[str, Any]:
        """What the study is: keys and JSON values."""
        with database_failures(self.path):
            return loaded(self._connection, rows.header)

    def set_header(self, key: str, value: Any) -> None:
        """Store a JSON value under a key, in the place of an earlier one.

        Raises:
            ValueError: A number in the value is not finite.
        """
        with self.transaction() as connection:
            rows.HEADER.put(connection, {"key": key, "value": rows.to_json(value)})

    @property
    def running(self) -> list[TrialRecord]:
        """Trials that were begun and have not ended, by number."""
        return [record for record in self.trials.values() if record.state == "running"]

    def add_trial(self, record: TrialRecord, *, taken: Sequence[Taken] | None = None) -> None:
        """Store a trial that is not there yet, with its curve, verdicts and trainings.

        ``taken`` are its measurements in the order taken, by default its latency, if it has one.

        Raises:
            StorageError: The number is taken.
        """
        number = record.number
        with self.transaction() as connection:
            if number in self.trials:
                raise StorageError(
                    f"trial {number} is already there", help="resume the study to go on with it"
                )
            self._put(record)
            if taken is None and record.latency:
                taken = [Taken(kind="search", measurement=record.latency)]
            self._place_measurements(connection, number, taken or ())
            self._tell_latencies([number] if number in self._runs else ())

    def add_measurement(
        self, number: int, kind: Literal["search", "again", "confirm"], measurement: Measurement
    ) -> None:
        """Store a timing of a trial; all its timings together give its latency.

        A further one of a trial says something of all others, too: how far runs differ.
        """
        with self.transaction() as connection:
            self._require(number)
            taken = Taken(kind=kind, measurement=measurement)
            self._place_measurements(connection, number, [taken])
            is_further = len(self._runs[number]) > 1
            self._tell_latencies(self._runs if is_further else [number])

    def _place_measurements(
        self, connection: sqlite3.Connection, number: int, taken: Iterable[Taken]
    ) -> None:
        for entry in (replace(one, trial=number) for one in taken):
            rows.put_measurement(connection, entry)
            for found in runs_of([entry]).values():
                self._runs[number] = (*self._runs.get(number, ()), *found)

    def _tell_latencies(self, numbers: Iterable[int]) -> None:
        """Gives trials the latency that the timings say now."""
        between = run_to_run(self._runs.values())
        for number in numbers:
            record, latency = self.trials[number], latency_of(self._runs[number], between)
            if record.latency is None or record.latency.value != latency.value:
                self._written.add(number)
            self.trials[number] = replace(record, latency=latency)

    def add_point(self, number: int, point: CurvePoint) -> bool:
        """Store a point of a curve in the place of one of its seed and epoch; whether it is new.

        Store the point before its checkpoint: a training that is resumed from the checkpoint
        does not give the point again. With a point of a further training of a complete trial, its
        accuracy becomes the mean over the trainings that got to the last rung.
        """
        with self.transaction():
            if point in self._require(number).curve:
                return False
            self._renew_accuracy(self._place(number, "curve", point))
        return True

    def add_quantised(self, number: int, found: QuantisedAccuracy) -> None:
        """Store what a further training of a complete trial in int8 reached, see ``add_point``."""
        with self.transaction():
            self._renew_accuracy(self._place(number, "quantised", found))

    def _renew_accuracy(self, record: TrialRecord) -> None:
        if record.state == "complete":
            mean = statistics.fmean(final_accuracies(record).values())
            self.update(record.number, proxy_accuracy=mean)

    def add_verdict(self, number: int, verdict: RungVerdict) -> None:
        """Store what a rule said of a trial at a rung, before anybody acts on it."""
        self._place(number, "verdicts", verdict)

    def set_training(self, number: int, training: TrainingRecord) -> None:
        """Store how a planned training of a trial stands, in the place of that of its seed."""
        self._place(number, "trainings", training)

    def set_notes(self, number: int, notes: dict[str, Any]) -> None:
        """Store what a sampler noted of a trial, JSON values, in the place of earlier notes."""
        with self.transaction() as connection:
            self._require(number)
            rows.NOTE.put(connection, {"trial": number, "notes": json.dumps(notes)})
            self.notes[number] = notes
            self._written.add(number)

    def set_checkpoint(self, number: int, point: CurvePoint, *, path: Path, sha256: str) -> None:
        """Store which file is the last checkpoint of a training, durable since a point."""
        stored = f"{path.parent.name}/{path.name}"  # in the study's folder, which can move
        cells = {"trial": number, "path": stored, "sha256": sha256, **vars(point)}
        with self.transaction() as connection:
            self._require(number)
            rows.CHECKPOINT.put(connection, cells)

    def checkpoint(self, number: int, seed: int) -> str | None:
        """The sha256 of the last checkpoint of one training, or None."""
        with database_failures(self.path):
            where = "trial = ? AND seed = ?"
            found = rows.CHECKPOINT.rows(self._connection, where, (number, seed))
            return next((row["sha256"] for row in found), None)

    def finish(self, number: int, *, seconds: float, **ended: Any) -> TrialRecord:
        """Store how a running trial ended, and give its record.

        Given are the fields of the record that tell it: ``state``, any but ``running``, and as it
        is ``proxy_accuracy``, ``reason`` or ``failure``. The seconds are those since it was added
        or resumed; earlier attempts are added.

        Raises:
            StorageError: It is not running: another end was stored before.
        """
        with self.transaction():
            record = self._require(number)
            if record.state != "running":
                raise StorageError(f"trial {number} has already ended as {record.state}")
            return self.update(number, seconds=record.seconds + seconds, **ended)

    def update(self, number: int, **changes: Any) -> TrialRecord:
        """Store other values of some fields of a trial, as ``test_accuracy``, and give it."""
        with self.transaction():
            return self._put(replace(self._require(number), **changes))

    def add_reference(self, name: str, measurement: Measurement, params: int, macs: int) -> None:
        """Store a published network measured beside the study; a later one of its name counts."""
        taken = Taken(reference=name, kind="reference", measurement=measurement)
        with self.transaction() as connection:
            rows.REFERENCE.put(connection, {"name": name, "params": params, "macs": macs})
            rows.put_measurement(connection, taken)

    def snapshot(self) -> Snapshot:
        """Everything, as it stands now."""
        with database_failures(self.path):
            return content(self._connection)

    def back_up(self) -> Path:
        """Write a copy beside the file, atomically; errors about damage name it then.

        Raises:
            StorageError: It cannot be written, or the study is damaged; an earlier copy is as
                before.
        """
        target = backup_path(self.path)
        partial = target.with_name(f".{target.name}.{uuid4().hex[:8]}.partial")
        try:
            with database_failures(target), closing(sqlite3.connect(partial)) as copy:
                self._connection.backup(copy)
                copy.execute("PRAGMA journal_mode = DELETE")  # so that no log lies beside it
                with database_failures(self.path):
                    content(copy)
            with database_failures(target):
                os.replace(partial, target)
                sync_folder(target.parent)
        finally:
            partial.unlink(missing_ok=True)
        return target

    @property
    def num_changes(self) -> int:
        """How many rows were written since it was opened."""
        return self._connection.total_changes

    def _show(self, records: Sequence[TrialRecord]) -> None:
        """Told which trials were written, once they are on the disk."""

    def _put(self, record: TrialRecord) -> TrialRecord:
        before = self.trials.get(record.number)
        if rows.put_trial(self._connection, record, before=before):
            self._written.add(record.number)
        self.trials[record.number] = record
        return record

    def _place(self, number: int, part: str, entry: Any) -> TrialRecord:
        """Store an entry of a part of a trial, in the place of that with its key."""

        def key(one: Any) -> list[Any]:
            return [getattr(one, column) for column in rows.PARTS[part][0].keys[1:]]

        with self.transaction():
            kept = [one for one in getattr(self._require(number), part) if key(one) != key(entry)]
            return self.update(number, **{part: tuple(sorted([*kept, entry], key=key))})

    def _require(self, number: int) -> TrialRecord:
        if number not in self.trials:
            raise StorageError(f"there is no trial {number}", help="add the trial first")
        return self.trials[number]

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
    """Bring the tables to this version; those of earlier ones only lack some."""
    for table in rows.TABLES:
        connection.execute(table.create)
    begin_counting(connection, rows.TABLES)
    for key, value in {**header, "schema": rows.VERSION}.items():
        rows.HEADER.put(connection, {"key": key, "value": rows.to_json(value)})
