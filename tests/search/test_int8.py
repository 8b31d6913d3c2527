"""A search in which int8 is a choice, with an accuracy and a latency of its own."""

import shutil
import statistics
from pathlib import Path

import optuna
import pandas as pd
import pytest

from archbench.analysis.pick import pick
from archbench.analysis.study import StudyReader, open_study
from archbench.analysis.verdict import int8_in_words
from archbench.analysis.wish import Wish
from archbench.errors import MissingError, UsageError
from archbench.evaluate.remeasure import measure_elsewhere
from archbench.measure.backend import absence
from archbench.report.findings.front import front_table
from archbench.report.summary import Summary
from archbench.search import search
from archbench.search.confirmation import confirm
from archbench.search.jobs import weights_path
from archbench.study.trial import PRECISION, TrialRecord, final_accuracies, trained_accuracies
from tests.search import tiny

NEEDED = absence("onnxruntime", device="cpu")


def _space(folder: Path, data: str, precision: str, *, backend: str = "onnxruntime") -> Path:
    text = tiny.space_text(data, objectives="{accuracy: max, latency_ms: min}", trials=3)
    text += f"target: {{backend: {backend}, precision: {precision}}}\n"
    text = text.replace("rungs: [1, 2]", "rungs: [4, 12]")  # then it beats chance
    file = folder / "toy.yaml"
    file.write_text(text.replace("seed: 3}", "seed: 3, confirm: false, workers: 1}"))
    return file


def _search(folder: Path, data: str, precision: str) -> StudyReader:
    found = search(_space(folder, data, precision), results=folder / "results")
    assert found is not None
    return found


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory, data: str) -> StudyReader:
    return _search(tmp_path_factory.mktemp("both"), data, "[fp32, int8]")


def _pairs(study: StudyReader) -> list[tuple[TrialRecord, TrialRecord]]:
    trials = study.trials()
    return [(trials[one.design], one) for one in trials if one.design is not None]


def test_each_design_is_trained_once_and_has_a_row_in_each_precision(both: StudyReader) -> None:
    assert len(both.trials()) == 6
    pairs = _pairs(both)
    assert len(pairs) == 3
    for one, other in pairs:
        assert (one.state, other.state) == ("complete", "complete")
        assert (one.choices[PRECISION], other.choices[PRECISION]) == ("fp32", "int8")
        assert one.spec == other.spec
        assert (len(one.curve), len(other.curve)) == (2, 0)
        (found,) = other.quantised
        assert other.proxy_accuracy == found.accuracy
        assert 0 < found.seconds < other.seconds
        assert one.latency is not None
        assert other.latency is not None
        ran = (one.latency.conditions.precision, other.latency.conditions.precision)
        assert ran == ("fp32", "int8")
    assert len({record.digest for record in both.trials()}) == 3


def test_the_header_says_how_networks_are_quantised(both: StudyReader) -> None:
    assert both.header["precisions"] == ["fp32", "int8"]
    found = both.header["quantisation"]
    assert (found["backend"], found["seed"]) == ("onnxruntime", 0)
    assert found["images"] == min(256, both.header["proxy"]["num_train"])
    assert both.document()["quantisation"] == found


def test_members_in_int8_are_tested_in_int8_with_weights_of_their_own(both: StudyReader) -> None:
    members = both.front_records()
    assert members
    for record in members:
        assert weights_path(both.path / "checkpoints", record.number, seed=0).exists()
        assert record.test_accuracy is not None


def test_tables_the_front_and_the_verdict_show_the_precision(both: StudyReader) -> None:
    table = pd.read_csv(both.path / "trials.csv")
    assert list(table["precision"]) == [record.choices[PRECISION] for record in both.trials()]
    text = front_table(both.front_records(), summary=Summary(both)).text()
    assert "precision" in text
    assert "fp32 and int8" in text
    told = int8_in_words(both)
    ratios = [
        other.latency.value / one.latency.value
        for one, other in _pairs(both)
        if one.latency and other.latency and one.latency.value and other.latency.value
    ]
    ratio = statistics.median(ratios)
    assert f"{max(ratio, 1 / ratio):.2f} times as {'slow' if ratio >= 1 else 'fast'} here" in told
    assert told in both.verdict()


def test_optuna_opens_the_study_with_both_as_trials(both: StudyReader) -> None:
    storage = optuna.storages.RDBStorage(f"sqlite:///{both.path / 'study.db'}")
    shown = optuna.load_study(study_name=both.name, storage=storage).trials
    assert [trial.user_attrs["precision"] for trial in shown] == list(
        pd.read_csv(both.path / "trials.csv")["precision"]
    )
    assert all(shown[a.number].params == shown[b.number].params for a, b in _pairs(both))


def test_a_design_is_picked_in_the_precision_wanted(both: StudyReader) -> None:
    for precision in ("fp32", "int8"):
        answer = pick(both, Wish(limits={"latency_ms": 100.0}, sure=0.5, precision=precision))
        assert answer.chosen.record.choices[PRECISION] == precision
    eligible = sum(map(both.rule.is_eligible, both.trials()))
    assert pick(both, Wish(limits={"latency_ms": 100.0}, sure=0.5)).admitted == eligible
    with pytest.raises(UsageError, match="no designs in bf16"):
        pick(both, Wish(limits={"latency_ms": 100.0}, precision="bf16"))


@pytest.mark.slow
def test_a_further_training_counts_in_both_precisions(both: StudyReader, tmp_path: Path) -> None:
    path = shutil.copytree(both.path, tmp_path / both.name)
    study = confirm(path, budget="120s", workers=1)
    again = [pair for pair in _pairs(study) if len(final_accuracies(pair[0])) > 1]
    assert again
    for one, other in again:
        assert final_accuracies(one).keys() == final_accuracies(other).keys()
        assert other.proxy_accuracy == statistics.fmean(final_accuracies(other).values())


@pytest.mark.slow
def test_a_study_in_both_precisions_takes_both_over(both: StudyReader, tmp_path: Path) -> None:
    found = search(
        both.path / "space.yaml", results=tmp_path, name="b", trials=4, start_from=[both.path]
    )
    assert found is not None
    trials = found.trials()
    assert [record.origin for record in trials[:6]] == [f"toy:{number}" for number in range(6)]
    assert [record.design for record in trials[:6]] == [r.design for r in both.trials()]
    assert (trials[7].design, len(trials)) == (6, 8)
    again = search(both.path / "space.yaml", results=tmp_path, name="b", trials=4, resume=True)
    assert again is not None
    assert len(again.trials()) == 8


@pytest.mark.slow
def test_networks_are_timed_again_each_in_its_precision(both: StudyReader, tmp_path: Path) -> None:
    path = shutil.copytree(both.path, tmp_path / both.name)
    document, _ = measure_elsewhere(path, trials="all", budget_s=0.5)
    assert [one["accuracy_in"] for one in document["trials"]] == ["fp32", "int8"] * 3
    _, front = measure_elsewhere(path, trials="all", budget_s=0.5, precision="int8")
    assert {record.choices[PRECISION] for record in front} == {"int8"}


@pytest.mark.slow
def test_int8_alone_gives_each_design_its_accuracy_in_int8(data: str, tmp_path: Path) -> None:
    study = _search(tmp_path, data, "int8")
    assert [record.design for record in study.trials()] == [None] * 3
    for record in study.trials():
        assert record.is_int8
        assert record.proxy_accuracy == record.quantised[0].accuracy
        assert trained_accuracies(record)[0] == record.curve[-1].accuracy
        assert record.latency is not None
        assert record.latency.conditions.precision == "int8"
    assert "precisions" not in study.header
    assert study.header["conditions"]["precision"] == "int8"
    assert "than as trained" in int8_in_words(open_study(study.path))


@pytest.mark.parametrize("precision", ["int8", "[fp32, int8]"])
def test_a_backend_without_int8_is_refused_with_those_that_have_it(
    data: str, tmp_path: Path, precision: str
) -> None:
    told = r"backend eager: it does not compute int8 on cpu"
    with pytest.raises(UsageError, match=told) as caught:
        search(_space(tmp_path, data, precision, backend="eager"), results=tmp_path / "results")
    assert caught.value.help is not None
    assert "int8 on cpu: onnxruntime, openvino" in caught.value.help


@pytest.mark.skipif(NEEDED is None, reason="ONNX Runtime is installed")
def test_a_backend_that_is_not_there_is_named_with_its_extra(data: str, tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="onnxruntime is not installed"):
        search(_space(tmp_path, data, "int8"), results=tmp_path / "results")
