"""Interruptions, kills and rivals: nothing acknowledged is lost, nothing runs twice."""

import os
import random
import shutil
import signal
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from archbench.analysis.pruning import stop_of
from archbench.analysis.study import StudyReader, open_study
from archbench.errors import StorageError
from archbench.search import search
from archbench.search.kept_weights import remove_strange_files, remove_useless_files
from tests.search import tiny
from tests.search.owner_process import Owner, assert_gone
from tests.study import example


def _space(
    folder: Path, data: str, *, trials: int, sampler: str = "random", pruner: str = "none"
) -> Path:
    file = folder / "toy.yaml"
    text = tiny.space_text(data, trials=trials, sampler=sampler, pruner=pruner)
    if pruner != "none":  # at chance nothing is stopped; what confirming trains depends on time
        text = text.replace("rungs: [1, 2]", "rungs: [4, 8]")
        text = text.replace(f"pruner: {pruner}", f"pruner: {pruner}, audit: 0.5, confirm: false")
    file.write_text(text)
    return file


@dataclass(frozen=True)
class Story:
    """A search whose worker is killed, that meets a rival, is interrupted, resumed and killed.

    Attributes:
        whole: The same search without all that.
        parked: What stood there after the interruption.
        parts: What stands there at the end.
        rival: What the rival was told.
        code: How the interrupted search ended.
        said: What it said then.
        warned: Its warnings.
        pid: Its process.
        acknowledged: Trials that were told as finished before the last kill.
        killed: What stood there after it.
        copy: A copy of the folder as it was then.
    """

    whole: StudyReader
    parked: StudyReader
    parts: StudyReader
    rival: str
    code: int
    said: str
    warned: list[str]
    pid: int
    acknowledged: set[str]
    killed: StudyReader
    copy: Path


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory, data: str) -> Story:
    folder = tmp_path_factory.mktemp("faults")
    space = _space(folder, data, trials=14, sampler="tpe", pruner="promotion")
    options: dict[str, Any] = {"workers": 1, "trials": 14, "resume": True}
    search(space, results=folder / "whole", trials=1)
    shutil.copytree(folder / "whole", folder / "parts")  # so that both have one plan
    whole = search(space, results=folder / "whole", **options)
    first = Owner(space, folder / "parts", **options)
    first.wait_for("TrialStarted", times=2)
    (worker,) = first.workers()
    os.kill(worker, signal.SIGKILL)
    first.wait_for("Warned")
    with pytest.raises(StorageError) as rival:
        search(space, results=folder / "parts", resume=True)
    first.wait_for("RungFinished", times=2)
    first.signal(signal.SIGINT)
    code, said = first.end()
    parked = open_study(folder / "parts" / "toy")
    second = Owner(space, folder / "parts", **options)
    second.wait_for("RungFinished", times=11)
    workers = second.workers()
    second.signal(signal.SIGKILL)
    second.end()
    assert_gone(*workers)
    killed = open_study(folder / "parts" / "toy")
    shutil.copytree(folder / "parts" / "toy", folder / "copy" / "toy")
    parts = search(space, results=folder / "parts", **options)
    assert whole is not None
    assert parts is not None
    heard = first.events + second.events
    return Story(
        whole=whole,
        parked=parked,
        parts=parts,
        rival=str(rival.value),
        code=code,
        said=said,
        warned=[line for line in heard if line.startswith("Warned")],
        pid=first.process.pid,
        acknowledged={line for line in heard if line.startswith("TrialFinished")},
        killed=killed,
        copy=folder / "copy" / "toy",
    )


def test_a_trial_of_a_killed_worker_goes_on(story: Story) -> None:
    (warned,) = story.warned
    assert "killed from outside" in warned
    assert story.parts.counts()["failed"] == 0


def test_a_rival_owner_is_refused_by_name(story: Story) -> None:
    assert f"the study is owned by process {story.pid} on " in story.rival
    assert " since 20" in story.rival


def test_ctrl_c_parks_the_search_and_says_how_to_go_on(story: Story) -> None:
    assert story.code == 130
    assert "the search is parked" in story.said
    assert "archbench search" in story.said
    assert "--resume" in story.said
    assert "Traceback" not in story.said
    _assert_sound(story.parked)


def test_a_killed_owner_leaves_all_that_it_acknowledged(story: Story) -> None:
    counts = story.killed.counts()
    assert counts["complete"] + counts["pruned"] >= 1 + len(story.acknowledged)
    _assert_sound(story.killed)


def test_kills_and_interruptions_change_no_proposal_and_no_loss(story: Story) -> None:
    counts = story.parts.counts()
    assert counts["complete"] + counts["pruned"] == 14
    assert _what_counts(story.parts) == _what_counts(story.whole)


def test_some_trials_are_stopped_and_some_audited_all_the_same(story: Story) -> None:
    """What the other tests of the story say must hold for both."""
    stops = [stop for record in story.parts.trials() if (stop := stop_of(record))]
    assert {stop.is_audited for stop in stops} == {True, False}
    assert story.parts.counts()["pruned"] == sum(not stop.is_audited for stop in stops)


def test_a_damaged_study_goes_on_from_its_backup_as_told(story: Story, tmp_path: Path) -> None:
    path = tmp_path / "toy"
    shutil.copytree(story.copy, path)
    file, log = path / "study.db", path / "study.db-wal"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    damaged = bytearray(file.read_bytes())
    damaged[3 * 4096 : 12 * 4096] = bytes(9 * 4096)
    file.write_bytes(damaged)
    with pytest.raises(StorageError, match=r"then copy study\.db\.backup to study\.db$"):
        open_study(path)
    for moved in (file, log, path / "study.db-shm"):
        if moved.exists():
            moved.rename(tmp_path / moved.name)
    shutil.copy(path / "study.db.backup", file)
    left = len(open_study(path).trials())
    lost = path / "checkpoints" / f"trial-{left:05d}-seed-0.checkpoint.safetensors"
    assert lost.exists() or left < len(story.killed.trials())
    lost.write_bytes(b"of another network")
    space = path / "space.yaml"
    found = search(space, name="toy", results=tmp_path, resume=True, trials=left + 1)
    assert found is not None
    assert len(found.trials()) == left + 1
    assert found.counts()["failed"] == 0


def test_files_of_trials_that_are_not_there_are_removed_at_opening_alone(tmp_path: Path) -> None:
    strange = tmp_path / "trial-00007-seed-0.checkpoint.safetensors"
    for file in (strange, tmp_path / "trial-of-somebody-seed-0"):
        file.touch()
    remove_useless_files(tmp_path, rule=example.RULE, trials={0: example.trial(0)})
    assert strange.exists()
    remove_strange_files(tmp_path, known={0})
    assert [file.name for file in tmp_path.iterdir()] == ["trial-of-somebody-seed-0"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 143), (signal.SIGINT, 130)]
)
@pytest.mark.parametrize("again", [False, True])
def test_every_interruption_ends_orderly(
    tmp_path: Path, data: str, number: int, code: int, *, again: bool
) -> None:
    space = _space(tmp_path, data, trials=500)
    owner = Owner(space, tmp_path / "results", workers=2)
    owner.wait_for("RungFinished", times=random.Random(number).randint(1, 12))
    owner.signal(number)
    if again:
        owner.signal(number)
    ended, said = owner.end()
    assert ended == code or (again and ended in (-number, 1))
    assert again or "--resume" in said
    _assert_sound(open_study(tmp_path / "results" / "toy"))


@pytest.mark.slow
def test_twenty_kills_lose_and_double_nothing(tmp_path: Path, data: str) -> None:
    """The owner is killed at random moments until the study is done."""
    space = _space(tmp_path, data, trials=60, sampler="tpe")
    rng = random.Random(1)
    acknowledged: set[str] = set()
    for attempt in range(20):
        owner = Owner(space, tmp_path / "results", workers=2, resume=attempt > 0)
        owner.wait_for("TrialStarted")
        time.sleep(rng.uniform(0, 0.8))  # sixty trials outlast twenty of these
        workers = owner.workers()
        owner.signal(signal.SIGKILL)
        owner.end()
        acknowledged |= {e for e in owner.events if e.startswith("TrialFinished")}
        assert_gone(*workers)
        study = open_study(tmp_path / "results" / "toy")
        ended = sum(study.counts().values()) - study.counts()["running"]
        assert ended >= len(acknowledged)
        _assert_sound(study)
    done = search(space, results=tmp_path / "results", resume=True)
    assert done is not None
    assert done.counts()["complete"] == 60
    _assert_sound(done)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("sampler", ["tpe", "nsga2", "gp", "random"])
def test_half_killed_half_is_the_whole(tmp_path: Path, data: str, sampler: str, seed: int) -> None:
    space = _space(tmp_path, data, trials=24, sampler=sampler)
    search(space, results=tmp_path / "whole", trials=1, seed=seed)
    shutil.copytree(tmp_path / "whole", tmp_path / "parts")  # so that both have one plan
    whole = search(space, results=tmp_path / "whole", workers=1, trials=24, resume=True)
    owner = Owner(space, tmp_path / "parts", workers=1, trials=24, resume=True)
    owner.wait_for("RungFinished", times=random.Random(seed).randint(12, 38))
    owner.signal(signal.SIGKILL)
    owner.end()
    parts = search(space, results=tmp_path / "parts", workers=1, trials=24, resume=True)
    assert whole is not None
    assert parts is not None
    assert _what_counts(parts) == _what_counts(whole)


def _what_counts(study: StudyReader) -> list[tuple[Any, ...]]:
    """All of each trial that must not depend on an interruption."""
    return [
        (
            record.number,
            record.state,
            record.digest,
            dict(record.choices),
            [(point.seed, point.epoch, point.loss, point.accuracy) for point in record.curve],
            record.proxy_accuracy,
            record.verdicts,
        )
        for record in study.trials()
    ]


def _assert_sound(study: StudyReader) -> None:
    """No trial is missing, doubled, or acknowledged without its values."""
    trials = study.trials()
    assert [record.number for record in trials] == list(range(len(trials)))
    assert len({record.digest for record in trials}) == len(trials)
    rungs = study.header["proxy"]["rungs"]
    for record in trials:
        epochs = [point.epoch for point in record.curve]
        assert epochs == sorted(set(epochs))
        if record.state == "complete":
            assert epochs == rungs
            assert record.proxy_accuracy == record.curve[-1].accuracy
        if record.state == "pruned":
            assert epochs == rungs[:1]
            assert record.reason == record.verdicts[-1].reason
