"""A search whose candidates are of several resolutions: each is counted and trained at its own."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from archbench.analysis.study import StudyReader
from archbench.data.image_preparation import TEXT
from archbench.errors import ParkedError, UsageError
from archbench.models import as_spec, count
from archbench.models.weights.load import read_network
from archbench.report import write_report
from archbench.report.findings.front import front_table
from archbench.report.summary import Summary
from archbench.search import events, search
from archbench.search.earlier import differences, read_earlier
from archbench.search.growth import as_begun
from archbench.search.kept_weights import kept_weights
from archbench.search.settings import Settings, settings_of
from archbench.space import SearchSpace
from archbench.study.database import Store
from archbench.study.study_folder import DATABASE
from archbench.study.trial import TrialRecord
from archbench.train.checkpoint import read_tensors
from tests.search import tiny


def _written(folder: Path, data: str, **options: Any) -> Path:
    """The tiny space for images of 32 px, of which some candidates see smaller ones."""
    space = tiny.write_space(folder, data, sampler="random", trials=4, **options)
    text = space.read_text().replace("resolution: 16\nnum_classes", "resolution: 32\nnum_classes")
    text = text.replace("axes:\n", "axes:\n  resolution: [16, 24, 32]\n")
    space.write_text(text.replace("seed: 3", "seed: 3, confirm: false"))
    return space


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory, data: str) -> Path:
    return _written(tmp_path_factory.mktemp("space"), data)


@pytest.fixture(scope="module")
def study(
    tmp_path_factory: pytest.TempPathFactory, space: Path, heard: list[events.Event]
) -> StudyReader:
    results = tmp_path_factory.mktemp("results")
    found = search(space, results=results, workers=1, on_event=heard.append)
    assert found is not None
    return found


def test_each_candidate_is_counted_and_trained_at_its_own_resolution(study: StudyReader) -> None:
    trials = study.trials()
    assert len({record.choices["resolution"] for record in trials}) > 1
    for record in trials:
        spec = as_spec(record.spec)
        assert spec.resolution.height == record.choices["resolution"]
        assert (record.state, record.macs) == ("complete", count(spec).macs)
    for record in study.front_records():
        (weights,) = kept_weights(study.path, record, num_seeds=1).values()
        side = record.choices["resolution"] // 2
        assert read_network(weights).spec.resolution.height == side
        assert json.loads(read_tensors(weights)[1][TEXT])["resolution"] == side


def test_the_data_are_prepared_once_for_each_resolution(
    study: StudyReader, heard: list[events.Event]
) -> None:
    kept = study.header["proxy"]
    assert [entry["resolution"] for entry in kept["prepared"]] == [8, 12, 16]
    assert kept["sides"] == {"base": 32, "step": 2}
    assert len({entry["data_digest"] for entry in kept["prepared"]}) == 3
    assert kept["data_digest"] == kept["prepared"][-1]["data_digest"]
    told = [event.text for event in heard if isinstance(event, events.StageChanged)]
    assert "images are prepared at 8 px, 12 px, 16 px, as resolutions of training" in told


def test_tables_and_page_tell_the_resolution(study: StudyReader) -> None:
    table = pd.read_csv(study.path / "trials.csv")
    assert all('"resolution": ' in text for text in table["choices"])
    members = study.front_records()
    titles, _, first, *_ = front_table(members, summary=Summary(study)).text().split("\n")
    assert titles.split()[:2] == ["trial", "px"]
    assert first.split()[:2] == [str(members[0].number), str(members[0].choices["resolution"])]
    page = next(f for f in write_report(study, study.path / "report") if f.suffix == ".html")
    assert "at 8 to 16 px" in page.read_text()
    assert "at 8 to 16 px" in study.verdict()
    assert Summary(study).conditions_text.endswith("batch 1, each network's own resolution")


def test_a_search_that_was_killed_comes_to_the_same_bit_for_bit(
    study: StudyReader, space: Path, tmp_path: Path
) -> None:
    def before_any(event: events.Event) -> None:
        if isinstance(event, events.TrialStarted):
            raise KeyboardInterrupt

    def amid(event: events.Event) -> None:
        if isinstance(event, events.RungFinished) and event.number == 1:
            raise KeyboardInterrupt

    with pytest.raises(ParkedError):
        search(space, results=tmp_path, workers=1, on_event=before_any)
    with Store.open(tmp_path / "toy" / DATABASE) as begun:
        begun.set_header("plan", study.header["plan"])  # whatever trains faster by now
    with pytest.raises(ParkedError):
        search(space, results=tmp_path, workers=1, resume=True, on_event=amid)
    found = search(space, results=tmp_path, workers=1, resume=True)
    assert found is not None
    assert [_told(record) for record in found.trials()] == list(map(_told, study.trials()))
    assert found.header["proxy"] == study.header["proxy"]


def _told(record: TrialRecord) -> tuple[Any, ...]:
    curve = [(point.epoch, point.accuracy, point.loss) for point in record.curve]
    return record.digest, record.choices, record.proxy_accuracy, curve


def test_candidates_of_all_resolutions_are_priced(heard: list[events.Event]) -> None:
    (prepared,) = (event for event in heard if isinstance(event, events.Prepared))
    assert prepared.size == 3 * 216
    assert prepared.trial_seconds > 0
    assert "estimated from 3 sample candidates" in prepared.tried


def test_another_study_takes_what_was_trained_alike(
    study: StudyReader,
) -> None:
    text = study.header["space_text"]
    alike = SearchSpace(text.replace("[16, 24, 32]", "[16, 32]"), source="alike.yaml")
    matches = read_earlier(study.path, space=alike)
    own = {record.choices["resolution"] for record in study.trials()}
    assert {match.spec.resolution.height for match in matches} == own - {24}
    assert all(match.is_same for match in matches)
    header = {**study.header, "axes": {"resolution": [16, 32]}}
    assert differences(study.header, header)["accuracy"] == []
    one = {key: value for key, value in study.header["proxy"].items() if key != "sides"}
    assert differences({**study.header, "proxy": one}, header)["accuracy"] == []
    other = {**header, "proxy": {**one, "sides": {"base": 16, "step": 1}}}
    told = "the training of candidates of 32 px was at 16 px, their stem at 1/2 of its own and is"
    assert any(each.startswith(told) for each in differences(study.header, other)["accuracy"])


def test_a_study_may_gain_resolutions_and_none_is_trained_otherwise(
    study: StudyReader, space: Path
) -> None:
    text = space.read_text()

    def begun(before: str, after: str) -> Settings:
        assert before in text
        changed = SearchSpace(text.replace(before, after), source="toy.yaml", name="toy")
        asked = settings_of(changed, {}, name="toy", results=study.path.parent)
        return as_begun(asked, study.header)

    more = begun("[16, 24, 32]", "[16, 24, 32, 64]")
    assert more.space.trained_sides == {16: 8, 24: 12, 32: 16, 64: 32}
    with pytest.raises(UsageError, match="candidates of 16 px: the study was begun with 8, not 16"):
        begun("resolution: 32\nnum", "resolution: 16\nnum")


@pytest.mark.slow
def test_a_study_of_one_resolution_goes_on_with_more(data: str, tmp_path: Path) -> None:
    space = tiny.write_space(tmp_path, data, sampler="random", trials=2)
    search(space, results=tmp_path, name="grown", workers=1)
    more = space.read_text().replace("axes:\n", "axes:\n  resolution: [16, 32]\n")
    space.write_text(more.replace("trials: 2", "trials: 4"))
    found = search(space, results=tmp_path, name="grown", workers=1, resume=True)
    assert found is not None
    assert found.header["proxy"]["sides"] == {"base": 16, "step": 1}
    assert [entry["resolution"] for entry in found.header["proxy"]["prepared"]] == [16, 32]
    assert {record.choices["resolution"] for record in found.trials()[:2]} == {16}
    assert [record.state for record in found.trials()] == ["complete"] * 4
