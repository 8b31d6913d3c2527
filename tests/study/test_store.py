"""What goes into the store comes out of it, whole or not at all."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from archbench.errors import StorageError
from archbench.study import rows
from archbench.study.connection import read
from archbench.study.database import Store
from archbench.study.measurement import Measurement
from archbench.study.runs import RunToRun, latency_of
from archbench.study.trial import Failure, Reference, TrainingRecord, TrialRecord
from tests.study import example


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.create(tmp_path / "study.db", example.header()) as store:
        yield store


def reread(store: Store) -> Store:
    """The same study through the file, as another process would see it."""
    store.close()
    return Store.open(store.path)


def timing_of(value: float) -> Measurement:
    """A latency by the rules of now."""
    return example.latency(value, protocol=2)


def kept(store: Store) -> list[TrialRecord]:
    """The trials of a store, which are those of its file."""
    assert store.snapshot().trials == tuple(store.trials.values())
    return list(store.trials.values())


def test_header_comes_back_with_the_version_of_the_tables(store: Store) -> None:
    assert store.snapshot().kind == "search"
    store.set_header("seconds", 12.5)
    store.set_header("seconds", 13.5)
    with reread(store) as again:
        assert again.header() == {**example.header(), "seconds": 13.5, "schema": rows.VERSION}


def test_life_of_a_trial(store: Store, tmp_path: Path) -> None:
    store.add_trial(example.trial(0, state="running", seconds=0.0))
    store.add_measurement(0, "search", example.latency(0.4))
    store.add_point(0, example.point(4, 0.3))
    store.set_checkpoint(0, example.point(4, 0.3), path=tmp_path / "0.pt", sha256="ab" * 32)
    store.add_point(0, example.point(8, 0.6))
    store.finish(0, state="complete", proxy_accuracy=0.6, seconds=2.5)
    store.update(0, test_accuracy=0.55)
    (record,) = kept(reread(store))
    assert record == example.trial(
        0,
        accuracy=0.6,
        latency_ms=0.4,
        curve=(example.point(4, 0.3), example.point(8, 0.6)),
        test_accuracy=0.55,
        seconds=2.5,
    )


def test_trainings_of_a_certificate_come_back_as_they_stand(tmp_path: Path) -> None:
    ended = TrainingRecord(seed=0, epochs=8, epoch=8, accuracy=0.6)
    failed = TrainingRecord(
        seed=1, epochs=24, epoch=4, failure=Failure(kind="nan", message="the loss is not finite")
    )
    planned = TrainingRecord(seed=2, epochs=24)
    header = {**example.header(), "kind": "certificate"}
    with Store.create(tmp_path / "study.db", header) as store:
        store.add_trial(example.trial(0, state="running", trainings=(planned,)))
        for training in (replace(failed, failure=None), failed, ended):
            store.set_training(0, training)
        snapshot = reread(store).snapshot()
    assert snapshot.kind == "certificate"
    assert snapshot.trials[0].trainings == (ended, failed, planned)


def test_all_timings_of_a_trial_give_its_latency_and_how_far_runs_differ(store: Store) -> None:
    for number, latency in enumerate(map(timing_of, (0.4, 0.8))):
        store.add_trial(example.trial(number, latency=latency))
    store.add_measurement(0, "confirm", example.latency(None, verdict="incomplete"))
    assert kept(store)[0].latency == latency_of([timing_of(0.4)], RunToRun())
    narrow = store.trials[1].latency
    store.add_measurement(0, "again", timing_of(0.9))
    store.add_measurement(0, "confirm", example.latency(0.6, verdict="disturbed", protocol=2))
    first, second = kept(store)
    assert first.latency.value == pytest.approx(0.6)  # the mean of 0.4 and 0.9, the stable ones
    assert second.latency.value == narrow.value
    assert second.latency.high - second.latency.low > 2 * (narrow.high - narrow.low)
    values = [taken.measurement.value for taken in store.snapshot().measurements]
    assert values == [0.4, 0.8, None, 0.9, 0.6]


def test_curve_is_ordered_by_seed_and_epoch_and_keeps_the_last_point_of_each(store: Store) -> None:
    store.add_trial(example.trial(0, state="running"))
    points = [example.point(epoch, 0.5, seed=seed) for seed in (0, 1) for epoch in (4, 8)]
    for given in (example.point(4, 0.3), *reversed(points)):
        assert store.add_point(0, given)
    assert not store.add_point(0, points[0])
    assert kept(store)[0].curve == tuple(points)


def test_last_reference_of_a_name_counts(store: Store) -> None:
    store.add_reference("levit_128s", example.latency(3.0), 7, 8)
    store.add_reference("cvt_13", example.latency(9.0), 1, 2)
    store.add_reference("levit_128s", example.latency(2.0), 7, 8)
    assert list(store.snapshot().references) == [
        Reference(name="cvt_13", latency=example.latency(9.0), params=1, macs=2),
        Reference(name="levit_128s", latency=example.latency(2.0), params=7, macs=8),
    ]


def test_last_checkpoint_of_a_training_is_known(store: Store, tmp_path: Path) -> None:
    store.add_trial(example.trial(0, state="running"))
    for epoch, sha256 in ((4, "ab" * 32), (8, "cd" * 32)):
        at = example.point(epoch, 0.5, seed=1)
        store.set_checkpoint(0, at, path=tmp_path / "checkpoints" / "0-1.pt", sha256=sha256)
    with reread(store) as again:
        assert again.checkpoint(0, 1) == "cd" * 32
        assert again.checkpoint(0, 0) is None


def test_trial_is_there_once_and_ends_once(store: Store) -> None:
    store.add_trial(example.trial(3, state="running"))
    store.finish(3, state="pruned", reason="behind", seconds=1.0)
    with pytest.raises(StorageError, match=r"study\.db: trial 3 has already ended as pruned"):
        store.finish(3, state="complete", proxy_accuracy=0.5, seconds=1.0)
    with pytest.raises(StorageError, match="trial 3 is already there"):
        store.add_trial(example.trial(3))
    with pytest.raises(StorageError, match="there is no trial 9"):
        store.add_measurement(9, "search", example.latency(1.0))
    assert store.snapshot().measurements == ()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_number_that_is_not_finite_is_refused_and_nothing_is_written(
    store: Store, value: float
) -> None:
    store.add_trial(example.trial(0, state="running"))
    with pytest.raises(ValueError, match="proxy_accuracy must be finite"):
        store.finish(0, state="complete", proxy_accuracy=value, seconds=1.0)
    with pytest.raises(ValueError, match="samples must be finite"):
        store.add_measurement(0, "search", example.latency(value))
    with pytest.raises(ValueError, match="JSON compliant"):
        store.set_header("seconds", value)
    bad = example.point(8, value)
    with pytest.raises(ValueError, match="accuracy must be finite"):  # in the middle of a write
        store.add_trial(example.trial(1, latency_ms=0.4, curve=(example.point(4, 0.3), bad)))
    assert store.snapshot().measurements == ()
    assert kept(store) == [example.trial(0, state="running")]


def test_folder_file_or_place_that_cannot_be_taken_is_named(store: Store, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="a study is already there; go on with --resume"):
        Store.create(store.path, example.header())
    with pytest.raises(StorageError, match="the folder of the database does not exist"):
        Store.create(tmp_path / "none" / "study.db", example.header())
    with pytest.raises(StorageError, match=r"none\.db: there is no study database"):
        Store.open(tmp_path / "none.db")


def test_header_that_has_no_json_form_leaves_no_study(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        Store.create(tmp_path / "study.db", {"bad": object()})
    with Store.create(tmp_path / "study.db", example.header()) as store:
        assert kept(store) == []


@pytest.mark.parametrize("enter", [Store.open, read])
def test_newer_version_is_refused(store: Store, enter: Callable[[Path], object]) -> None:
    write_version(store, rows.VERSION + 1)
    with pytest.raises(StorageError, match=r"study\.db: a newer archbench wrote it .* update: pip"):
        enter(store.path)


def test_older_study_is_read_as_it_is_and_lifted_when_opened_for_writing(store: Store) -> None:
    """Version 1 had a checksum in each row, and at first no verdicts."""
    store.add_trial(example.trial(0))
    for table in ("archbench_trial", "archbench_header"):
        store._connection.execute(f"ALTER TABLE {table} ADD COLUMN checksum INTEGER")
    for table in ("archbench_verdict", "archbench_training"):
        store._connection.execute(f"DROP TABLE {table}")
    write_version(store, 1)
    before = store.path.read_bytes()
    assert read(store.path).trials == (example.trial(0),)
    assert store.path.read_bytes() == before
    with Store.open(store.path) as lifted:
        lifted.add_trial(example.trial(1))
        assert lifted.header()["schema"] == rows.VERSION
        assert kept(lifted) == [example.trial(0), example.trial(1)]


def test_full_disk_is_said_plainly_and_the_store_goes_on(store: Store) -> None:
    connection = store._connection
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}")

    def fill() -> None:
        for number in range(100):
            store.add_trial(example.trial(number, latency_ms=1.0))

    with pytest.raises(StorageError, match=r"study\.db: the disk is full; nothing of the last"):
        fill()
    before = kept(store)
    connection.execute("PRAGMA max_page_count = 100000")
    store.add_trial(example.trial(len(before)))
    assert [record.number for record in kept(store)] == list(range(len(before) + 1))


def test_file_that_vanished_is_not_written_into_the_void(store: Store, tmp_path: Path) -> None:
    store.path.rename(tmp_path / "moved.db")
    with pytest.raises(StorageError, match="was moved, deleted or replaced while the study"):
        store.add_trial(example.trial(0))


def test_commits_are_on_the_disk_and_readers_are_let_in(store: Store) -> None:
    modes = {
        name: store._connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("journal_mode", "synchronous", "busy_timeout")
    }
    assert modes == {"journal_mode": "wal", "synchronous": 2, "busy_timeout": 60_000}


WRITER = """
import sys
from archbench.study.database import Store
from tests.study import example
with Store.create(sys.argv[1], example.header()) as store:
    for number in range(100_000):
        store.add_trial(example.trial(number, state="running", latency_ms=1.0 + number))
        store.finish(number, state="complete", proxy_accuracy=0.5, seconds=1.0)
        print(number, flush=True)
"""


def test_kill_in_the_middle_loses_nothing_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    ) as writer:
        assert writer.stdout
        acknowledged = -1
        for line in writer.stdout:
            acknowledged = int(line)
            if acknowledged == 25:
                writer.send_signal(signal.SIGKILL)
    with Store.open(path) as store:
        complete = [record for record in kept(store) if record.state == "complete"]
    assert [record.number for record in complete] == list(range(len(complete)))
    assert len(complete) in {acknowledged + 1, acknowledged + 2}
    assert all(r.latency is not None and r.latency.value == 1.0 + r.number for r in complete)


def write_version(store: Store, version: int) -> None:
    """Give a store another version of its tables, and close it."""
    with store.transaction() as connection:
        rows.HEADER.put(connection, {"key": "schema", "value": version})
    store.close()
