"""A study from the first event to the last file, and after being killed in the middle."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from archbench.errors import StorageError, UsageError
from archbench.records.study import StudyReader, open_study
from archbench.search import event, search
from archbench.space import SearchSpace
from tests.search import tiny
from tests.search.owner_process import Owner


def _space(folder: Path, data: str, **options: Any) -> Path:
    file = folder / "toy.yaml"
    file.write_text(tiny.space_text(data, **options))
    return file


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
        )
        for record in study.trials()
    ]


@pytest.fixture(scope="module")
def heard() -> list[event.Event]:
    return []


@pytest.fixture(scope="module")
def study(
    tmp_path_factory: pytest.TempPathFactory, data: str, heard: list[event.Event]
) -> StudyReader:
    """A whole study with latencies, of which one candidate in a few is over the limit."""
    folder = tmp_path_factory.mktemp("study")
    space = _space(
        folder,
        data,
        objectives="{accuracy: max, latency_ms: min}\nlimits: {latency_ms: 30}",
        trials=4,
    )
    found = search(space, results=folder / "results", on_event=heard.append)
    assert found is not None
    return found


def test_all_trials_are_there_with_their_values(study: StudyReader) -> None:
    trials = study.trials()
    assert [record.number for record in trials] == [0, 1, 2, 3]
    assert {record.state for record in trials} == {"complete"}
    assert all(record.latency and record.latency.value for record in trials)
    assert [len(record.curve) for record in trials] == [2] * 4
    assert all(record.seconds > 0 for record in trials)


def test_events_tell_the_story_in_order(heard: list[event.Event], study: StudyReader) -> None:
    names = [type(happened).__name__ for happened in heard]
    assert names[0] == "StageChanged"
    assert names[-1] == "Finished"
    assert names.count("TrialStarted") == names.count("TrialFinished") == 4
    assert names.count("LatencyMeasured") == 4
    assert names.count("RungFinished") == 8
    prepared = next(h for h in heard if isinstance(h, event.Prepared))
    assert (prepared.size, prepared.feasible_share, prepared.trials) == (216, 1.0, 4)
    assert prepared.trial_seconds > 0
    assert names.index("Prepared") < names.index("TrialStarted")


def test_tables_stand_beside_the_database(study: StudyReader) -> None:
    written = pd.read_parquet(study.path / "trials.parquet")
    assert list(written["trial"]) == [0, 1, 2, 3]
    for name in ("measurements.parquet", "curves.parquet", "front.parquet", "trials.csv"):
        assert (study.path / name).stat().st_size > 0
    assert not list(study.path.glob("study.db-*"))


def test_the_front_is_confirmed_beside_published_networks(study: StudyReader) -> None:
    kinds = [taken.kind for taken in study.taken()]
    assert kinds.count("search") == 4
    assert kinds.count("confirm") >= len(study.front_records())
    assert {reference.name for reference in study.references()} <= {
        "levit_128s",
        "levit_256",
        "cvt_13",
    }


def test_weights_are_kept_for_the_front_only(study: StudyReader) -> None:
    kept = {int(f.name.split("-")[1]) for f in (study.path / "checkpoints").iterdir()}
    members = {record.number for record in study.front_records()}
    assert members <= kept
    assert not list((study.path / "checkpoints").glob("*.checkpoint.*"))
    assert all(record.test_accuracy is not None for record in study.front_records())


def test_an_existing_study_is_refused(study: StudyReader) -> None:
    space = study.path.parents[1] / "toy.yaml"
    with pytest.raises(StorageError, match="exists already"):
        search(space, results=study.path.parent)


@pytest.mark.parametrize(
    ("options", "what"),
    [({"seed": 9}, "seed 3, not 9"), ({"sampler": "random"}, "sampler tpe, not random")],
)
def test_resuming_otherwise_than_begun_is_refused(
    study: StudyReader, options: dict[str, Any], what: str
) -> None:
    with pytest.raises(UsageError, match=what):
        search(
            study.path / "space.yaml",
            name=study.name,
            results=study.path.parent,
            resume=True,
            **options,
        )


def test_a_dry_run_stores_nothing(tmp_path: Path, data: str) -> None:
    heard: list[event.Event] = []
    space = SearchSpace.load(_space(tmp_path, data))
    assert search(space, results=tmp_path / "results", dry_run=True, on_event=heard.append) is None
    assert isinstance(heard[-1], event.Prepared)
    assert not (tmp_path / "results").exists()


def test_a_killed_search_goes_on_as_if_nothing_had_been(tmp_path: Path, data: str) -> None:
    """Kill -9 of the owner in the middle of a training; then the same proposals and losses."""
    space = _space(tmp_path, data, trials=14)
    whole = search(space, results=tmp_path / "whole", workers=1)
    assert whole is not None
    owner = Owner(space, tmp_path / "parts", workers=1)
    owner.wait_for("RungFinished", times=23)
    workers = owner.workers()
    owner.signal(signal.SIGKILL)
    owner.end()
    _assert_gone(workers)
    acknowledged = [line for line in owner.events if line.startswith("TrialFinished")]
    study = open_study(tmp_path / "parts" / "toy")
    assert study.counts()["complete"] == len(acknowledged) == 11
    resumed = search(space, results=tmp_path / "parts", workers=1, resume=True)
    assert resumed is not None
    assert _what_counts(resumed) == _what_counts(whole)


def _assert_gone(workers: list[int]) -> None:
    assert workers
    until = time.monotonic() + 5
    while any(Path(f"/proc/{pid}").exists() for pid in workers):
        assert time.monotonic() < until, "an orphan lives"
        time.sleep(0.01)
