"""Known networks stand beside the candidates: chosen or named, trained alike, gone on with."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from archbench.analysis.study import StudyReader, open_study
from archbench.errors import ParkedError, SpaceError, UsageError
from archbench.models import count
from archbench.report.findings import front
from archbench.report.study_page import study_page
from archbench.report.summary import Summary
from archbench.search import baselines, events, search
from archbench.space import SearchSpace
from tests.search import tiny

NAMED = "[mobilenetv3_small_050, timm:mobilenetv4_conv_small_050, levit_128s@32]"


def space_file(folder: Path, data: str, *, named: str | None, **options: Any) -> Path:
    """The tiny space with these known networks, or a word that they are to be chosen."""
    file = tiny.write_space(folder, data, **{"trials": 3, **options})
    wanted = "" if named is None else f"baselines: {named}"
    file.write_text(file.read_text().replace("baselines: []", wanted))
    return file


@pytest.fixture(scope="module")
def study(
    tmp_path_factory: pytest.TempPathFactory, data: str, heard: list[events.Event]
) -> StudyReader:
    folder = tmp_path_factory.mktemp("beside")
    file = space_file(folder, data, named=NAMED)
    found = search(file, results=folder / "results", workers=1, on_event=heard.append)
    assert found is not None
    return found


def said(heard: Sequence[events.Event]) -> list[str]:
    """What was said in words."""
    return [e.text for e in heard if isinstance(e, events.StageChanged | events.Warned)]


def test_named_networks_are_trained_by_the_proxy_of_the_candidates(study: StudyReader) -> None:
    names = ["mobilenetv3_small_050", "timm:mobilenetv4_conv_small_050", "levit_128s@32"]
    assert [one.name for one in study.baselines] == names
    for one in study.baselines:
        assert one.trial is None
        assert one.record.state == "complete"
        assert [point.epoch for point in one.record.curve] == [1, 2]
        assert one.record.proxy_accuracy == one.record.curve[-1].accuracy
    assert [one.record.spec["resolution"] for one in study.baselines] == [16, 16, 32]
    assert all(one.record.spec["num_classes"] == 3 for one in study.baselines)
    assert len(study.trials()) == 3
    assert not list((study.path / "checkpoints").glob("baseline*"))


def test_they_stand_in_table_document_text_and_page(study: StudyReader) -> None:
    table = study.tables()["baselines"]
    assert list(table["baseline"]) == [one.name for one in study.baselines]
    assert table["trial"].isna().all()
    assert (study.path / "baselines.csv").is_file()
    document = study.document()["baselines"]
    assert [one["seeds"] for one in document] == [1, 1, 1]
    assert document[0]["proxy_accuracy"] == study.baselines[0].record.proxy_accuracy
    text = "\n".join(front.baselines_table(Summary(study)).text().split("\n"))
    assert "mobilenetv3_small_050" in text
    page = str(study_page(Summary(study)))
    assert "Known networks beside them" in page
    assert "known network (3)" in page


def test_what_will_be_trained_is_said_first(heard: list[events.Event]) -> None:
    prepared = next(event for event in heard if isinstance(event, events.Prepared))
    assert prepared.baselines is not None
    assert prepared.baselines[2] == "levit_128s@32"
    assert prepared.baseline_seconds == pytest.approx(3 * prepared.trial_seconds)
    first = next(event for event in heard if isinstance(event, events.TrialStarted))
    assert "training levit_128s@32, a known network" in said(heard[: heard.index(first)])


def test_a_space_that_names_others_when_resumed_says_so(
    study: StudyReader, tmp_path: Path, data: str
) -> None:
    file = space_file(tmp_path, data, named="[levit_128s@32, mobilenetv3_small_075]")
    heard: list[events.Event] = []
    where: dict[str, Any] = {"name": study.name, "results": study.path.parent}
    found = search(file, resume=True, workers=1, on_event=heard.append, **where)
    assert found is not None
    told = said(heard)
    assert "baselines that are new: mobilenetv3_small_075" in told
    gone = "mobilenetv3_small_050, timm:mobilenetv4_conv_small_050"
    assert f"baselines that the space names no more stay: {gone}" in told
    assert [one.name for one in found.baselines][3:] == ["mobilenetv3_small_075"]
    assert [text for text in told if text.startswith("training")] == [
        "training mobilenetv3_small_075, a known network"
    ]


def test_one_that_was_begun_goes_on(tmp_path: Path, data: str) -> None:
    file = space_file(tmp_path, data, named="[mobilenetv3_small_050]", trials=1)
    where: dict[str, Any] = {"results": tmp_path, "workers": 1}
    kept = baselines.Baselines._keep

    def stop(self: baselines.Baselines, number: int, **changes: Any) -> None:
        kept(self, number, **changes)
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(baselines.Baselines, "_keep", stop)
        with pytest.raises(ParkedError):
            search(file, **where)
    (begun,) = open_study(tmp_path / "toy").baselines
    assert begun.record.state == "running"
    assert [point.epoch for point in begun.record.curve] == [1]
    found = search(file, resume=True, **where)
    assert found is not None
    (ended,) = found.baselines
    assert ended.record.state == "complete"
    assert ended.record.curve[:1] == begun.record.curve
    assert [point.epoch for point in ended.record.curve] == [1, 2]
    assert not list((found.path / "checkpoints").glob("baseline*"))


@pytest.mark.slow
def test_one_of_another_library_is_built_for_the_classes_and_trained(
    tmp_path: Path, data: str
) -> None:
    pytest.importorskip("timm")
    file = space_file(tmp_path, data, named="[timm:test_resnet, timm:test_resnet@32]", trials=1)
    file.write_text(file.read_text().replace("macs: min", "latency_ms: min"))
    found = search(file, results=tmp_path, workers=1)
    assert found is not None
    small, large = (one.record for one in found.baselines)
    assert small.state == large.state == "complete"
    assert small.spec == {"network": "timm:test_resnet", "resolution": 16, "num_classes": 3}
    assert small.params == large.params
    assert small.macs < large.macs
    assert small.latency is not None
    assert small.latency.conditions.resolution == (16, 16)
    assert [one.name for one in found.references()] == ["timm:test_resnet", "timm:test_resnet@32"]


@pytest.mark.slow
def test_one_that_a_library_lacks_ends_the_search_before_its_trials(
    tmp_path: Path, data: str
) -> None:
    pytest.importorskip("timm")
    file = space_file(tmp_path, data, named="[timm:resnet10x]", trials=1)
    with pytest.raises(UsageError, match="timm has no network 'resnet10x'"):
        search(file, results=tmp_path, workers=1)


def test_a_network_of_the_space_is_its_first_trial(tmp_path: Path, data: str) -> None:
    text = f"""\
base: mobilenetv3_small_050
set: {{resolution: 16, num_classes: 3}}
axes:
  stages[3].depth: {{from: 1, to: 2}}
  stages[5].depth: {{from: 1, to: 2}}
objectives: {{accuracy: max, macs: min}}
proxy: {{data: "{data}", resolution: 16, stem: as_is, rungs: [1, 2], batch: 16}}
baselines: [mobilenetv3_small_050]
search: {{trials: 2, workers: 1, sampler: random, confirm: false}}
"""
    found = search(SearchSpace(text, source="mobile.yaml"), results=tmp_path)
    assert found is not None
    (one,) = found.baselines
    assert one.trial == 0
    assert one.record.state == "complete"
    assert found.trials()[0].digest == one.record.digest
    assert found.tables()["baselines"]["trial"].tolist() == [0]


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ("[mobilenetv3_smal_050]", "unknown network 'mobilenetv3_smal_050'"),
        ("[levit_128s@big]", "'big' is no side of images in pixels"),
        ("[other:levit_128s]", "unknown network 'other:levit_128s'"),
        ("levit_128s", "expected a list of known networks"),
    ],
)
def test_what_is_no_known_network_is_refused_in_its_place(named: str, message: str) -> None:
    text = tiny.space_text("unused").replace("baselines: []", f"baselines: {named}")
    with pytest.raises(SpaceError, match=message) as caught:
        SearchSpace(text, source="toy.yaml")
    assert str(caught.value.place).startswith("toy.yaml:19:")


def test_where_none_is_named_some_are_chosen_by_their_cost(tmp_path: Path, data: str) -> None:
    file = space_file(tmp_path, data, named=None, trials=2)
    file.write_text(file.read_text().replace("[8, 16, 24, 32]", "[64, 192, 512]"))
    heard: list[events.Event] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(baselines, "budget_seconds", lambda context: 60.0)
        found = search(file, results=tmp_path, workers=1, on_event=heard.append)
    assert found is not None
    names = [one.name for one in found.baselines]
    assert 1 <= len(names) <= 3
    told = next(text for text in said(heard) if text.startswith("known networks beside the"))
    assert sorted(told.partition(": ")[2].split(", ")) == sorted(names)
    assert all(one.record.state == "complete" for one in found.baselines)
    space = SearchSpace.load(file)
    counted = [count(space.decode(choices)).macs for choices in space.enumerate()]
    assert all(min(counted) <= one.record.macs <= max(counted) for one in found.baselines)


@pytest.mark.slow
def test_a_search_too_short_for_one_trains_none_and_says_so(tmp_path: Path, data: str) -> None:
    heard: list[events.Event] = []
    file = space_file(tmp_path, data, named=None, trials=2)
    found = search(file, results=tmp_path, workers=1, on_event=heard.append)
    assert found is not None
    assert found.baselines == []
    told = "no known network is trained: the search is too short for one beside it"
    assert told in said(heard)
