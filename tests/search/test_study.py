"""A study from the first event to the last file, and after being killed in the middle."""

import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import archbench
from archbench.analysis.study import StudyReader
from archbench.analysis.study_header import chance_in_words
from archbench.errors import MissingError, UsageError
from archbench.report.study_page import study_page
from archbench.report.summary import Summary
from archbench.search import events, search
from archbench.study.objective import OBJECTIVES
from tests.search import tiny


@pytest.fixture(scope="module")
def study(
    tmp_path_factory: pytest.TempPathFactory, data: str, heard: list[events.Event]
) -> StudyReader:
    """A whole study with latencies, of which one candidate in a few is over the limit."""
    folder = tmp_path_factory.mktemp("study")
    space = tiny.write_space(
        folder,
        data,
        objectives="{accuracy: max, latency_ms: min}\nlimits: {latency_ms: 30}\n"
        "target: {backend: eager}",
        trials=4,
    )
    found = archbench.search(space, results=folder / "results", on_event=heard.append)
    assert found is not None
    return found


def test_all_trials_are_there_with_their_values(study: StudyReader) -> None:
    trials = study.trials()
    assert [record.number for record in trials] == [0, 1, 2, 3]
    assert {record.state for record in trials} == {"complete"}
    assert all(record.latency and record.latency.value for record in trials)
    assert [len(record.curve) for record in trials] == [2] * 4
    assert all(record.seconds > 0 for record in trials)


def test_events_tell_the_story_in_order(heard: list[events.Event], study: StudyReader) -> None:
    names = [type(happened).__name__ for happened in heard]
    assert names[0] == "StageChanged"
    assert names[-1] == "Finished"
    assert names.count("TrialStarted") == names.count("TrialFinished") == 4
    timed = [h.latency for h in heard if isinstance(h, events.LatencyMeasured)]
    assert len(timed) == 4
    assert all("run_to_run" in latency.details for latency in timed), "the study's interval"
    assert names.count("RungFinished") == 8
    prepared = next(h for h in heard if isinstance(h, events.Prepared))
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


def test_data_that_were_moved_are_known_by_their_content(
    study: StudyReader, data: str, tmp_path: Path
) -> None:
    moved = shutil.copytree(data.removeprefix("folder:"), tmp_path / "moved")
    again: dict[str, Any] = {"name": study.name, "results": study.path.parent, "resume": True}
    told: list[events.Event] = []
    where = {"data": f"folder:{moved}/", "trials": 1, "on_event": told.append}
    found = archbench.search(study.path / "space.yaml", **again, **where)
    assert found is not None
    (warned,) = (event.text for event in told if isinstance(event, events.Warned))
    assert warned == "the study has 4 trials already: with 1 none is added"
    assert found.header["trials"] == 4
    assert found.header["proxy"] == {**study.header["proxy"], "data": f"folder:{moved}/"}
    shutil.rmtree(moved)
    with pytest.raises(MissingError, match="say where they are now: --data folder:PLACE"):
        archbench.search(study.path / "space.yaml", **again)


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


def test_every_number_of_a_timing_is_an_objective_a_limit_a_column_and_an_axis(
    tmp_path: Path, data: str
) -> None:
    objectives = "{accuracy: max, peak_memory_mb: min, images_per_s: max}"
    more = "limits: {p99_ms: 1000}\ntarget: {batch: [1, 16]}"
    space = tiny.write_space(tmp_path, data, objectives=f"{objectives}\n{more}", trials=2)
    found = search(space, results=tmp_path / "results")
    assert found is not None
    for record in found.trials():
        assert record.state == "complete"
        latency = record.latency
        assert latency is not None
        assert latency.value is not None
        rate, p99, memory = (
            OBJECTIVES[name].value(record) for name in ("images_per_s", "p99_ms", "peak_memory_mb")
        )
        assert latency.conditions.batch == 1
        best = 16 / float(latency.details["batch_16_times"])
        assert best > 1, "of 16 images each takes less time than one alone"
        assert rate == pytest.approx(best * 1000 / latency.value)
        assert p99 is not None
        assert p99 >= latency.value
        assert memory == latency.details["peak_memory_bytes"] / 1e6  # type: ignore[operator]
    written = pd.read_parquet(found.path / "trials.parquet")
    assert {"images_per_s", "ms_per_image", "p99_ms", "peak_memory_mb"} <= set(written.columns)
    assert written["best_batch"].tolist() == [16, 16]
    assert written["peak_memory_mb"].notna().all()
    assert Summary(found).cost.label == "peak memory"


@pytest.mark.slow
def test_what_a_sampler_leaves_to_chance_is_said_once_and_on_the_page(
    tmp_path: Path, data: str
) -> None:
    space = tiny.write_space(tmp_path, data, sampler='"optuna:QMCSampler"', trials=6)
    text = space.read_text()
    axis = "stages[0].position: [bias, absolute, none]"
    assert axis in text
    branch = "{values: [bias, absolute, none], when: 'stages[0].dim >= 24'}"
    space.write_text(text.replace(axis, f"stages[0].position: {branch}"))
    said: list[events.Event] = []
    found = search(space, results=tmp_path / "results", on_event=said.append)
    assert found is not None
    told = [each.text for each in said if isinstance(each, events.Warned)]
    left = chance_in_words(found.header)
    assert left
    assert "in part (stages[0].position)" in left
    assert [text for text in told if "left to chance" in text] == [
        f"optuna:QMCSampler left to chance {left}; "
        "cost_aware and tpe model axes that only some candidates have"
    ]
    assert left in study_page(Summary(found))
