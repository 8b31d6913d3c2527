"""Interruptions, kills and rivals: nothing acknowledged is lost, nothing runs twice."""

from __future__ import annotations

import os
import random
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from archbench.errors import StorageError
from archbench.records.study import StudyReader, open_study
from archbench.search import search
from tests.search import tiny
from tests.search.owner_process import Owner


def _space(folder: Path, data: str, *, trials: int, sampler: str = "random") -> Path:
    file = folder / "toy.yaml"
    file.write_text(tiny.space_text(data, trials=trials, sampler=sampler))
    return file


@dataclass(frozen=True)
class Story:
    """A search whose worker is killed, that meets a rival, and is then interrupted."""

    owner: Owner
    rival: str
    code: int
    said: str
    results: Path
    space: Path


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory, data: str) -> Story:
    folder = tmp_path_factory.mktemp("faults")
    space = _space(folder, data, trials=500)
    owner = Owner(space, folder / "results", workers=1)
    owner.wait_for("TrialStarted", times=2)
    (worker,) = owner.workers()
    os.kill(worker, signal.SIGKILL)
    owner.wait_for("Warned")
    owner.wait_for("TrialFinished", times=2)
    with pytest.raises(StorageError) as rival:
        search(space, results=folder / "results", resume=True)
    owner.signal(signal.SIGINT)
    code, said = owner.end()
    return Story(owner, str(rival.value), code, said, folder / "results", space)


def test_a_trial_of_a_killed_worker_goes_on(story: Story) -> None:
    warned = next(line for line in story.owner.events if line.startswith("Warned"))
    assert "killed from outside" in warned
    study = open_study(story.results / "toy")
    assert study.trial(1).state == "complete"
    assert [point.epoch for point in study.trial(1).curve] == [1, 2]
    assert study.counts()["failed"] == 0


def test_a_rival_owner_is_refused_by_name(story: Story) -> None:
    assert f"the study is owned by process {story.owner.process.pid} on " in story.rival
    assert " since 20" in story.rival


def test_ctrl_c_parks_the_search_and_says_how_to_go_on(story: Story) -> None:
    assert story.code == 130
    assert "the search is parked" in story.said
    assert "archbench search" in story.said
    assert "--resume" in story.said
    assert "Traceback" not in story.said


def test_a_parked_study_loads_and_goes_on(story: Story) -> None:
    before = open_study(story.results / "toy")
    done = before.counts()["complete"]
    assert before.counts()["running"] == 1
    resumed = search(story.space, results=story.results, resume=True, workers=1, trials=done + 2)
    assert resumed is not None
    counts = resumed.counts()
    assert counts["complete"] == sum(counts.values()) == done + 2
    _assert_sound(resumed)


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
        time.sleep(rng.uniform(0, 3))
        workers = owner.workers()
        owner.signal(signal.SIGKILL)
        owner.end()
        acknowledged |= {e for e in owner.events if e.startswith("TrialFinished")}
        _assert_gone(workers)
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
    whole = search(space, results=tmp_path / "whole", workers=1, seed=seed)
    owner = Owner(space, tmp_path / "parts", workers=1, seed=seed)
    owner.wait_for("RungFinished", times=random.Random(seed).randint(15, 40))
    owner.signal(signal.SIGKILL)
    owner.end()
    parts = search(space, results=tmp_path / "parts", workers=1, resume=True)
    assert whole is not None
    assert parts is not None
    assert _losses(parts) == _losses(whole)


def _losses(study: StudyReader) -> list[tuple[str, list[float]]]:
    return [(record.digest, [point.loss for point in record.curve]) for record in study.trials()]


def _assert_sound(study: StudyReader) -> None:
    """No trial is missing, doubled, or acknowledged without its values."""
    trials = study.trials()
    assert [record.number for record in trials] == list(range(len(trials)))
    assert len({record.digest for record in trials}) == len(trials)
    for record in trials:
        epochs = [point.epoch for point in record.curve]
        assert epochs == sorted(set(epochs))
        if record.state == "complete":
            assert epochs == [1, 2]
            assert record.proxy_accuracy == record.curve[-1].accuracy


def _assert_gone(workers: list[int]) -> None:
    until = time.monotonic() + 5
    while any(Path(f"/proc/{pid}").exists() for pid in workers):
        assert time.monotonic() < until, "an orphan lives"
        time.sleep(0.01)
