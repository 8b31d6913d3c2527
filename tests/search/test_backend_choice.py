"""A study settles the runtime that its space leaves open, once."""

import shutil
from pathlib import Path

import pytest

from archbench import errors
from archbench.analysis.other_runtimes import in_other_runtimes
from archbench.analysis.study import StudyReader
from archbench.analysis.study_header import backend_in_words
from archbench.errors import UsageError
from archbench.evaluate.runtime_choice import serving_backends
from archbench.report.findings.front import finding
from archbench.search import events, other_runtimes, search
from archbench.search.backend_choice import choose_backend
from archbench.search.confirmation import confirm
from archbench.search.context import StudyContext
from archbench.search.growth import as_begun
from archbench.search.settings import settings_of
from archbench.space import SearchSpace
from archbench.study.measurement import Conditions
from tests.search import tiny
from tests.search.jobs import idle_context

TIMED = "{accuracy: max, latency_ms: min}"


def context_of(objectives: str, *, target: str = "", folder: Path) -> StudyContext:
    text = tiny.space_text("unused", objectives=objectives) + target
    space = SearchSpace(text, source="toy.yaml")
    return idle_context(settings_of(space, {}, name=None, results=folder), [])


@pytest.mark.parametrize(
    ("objectives", "target", "backend", "told"),
    [
        (TIMED, "target: {backend: openvino}", "openvino", ""),
        ("{accuracy: max, macs: min}", "", "eager", ""),
        ("{accuracy: max, peak_memory_mb: min}", "", "eager", "no other backend tells the peak"),
        (TIMED, "", "eager", "no other runtime that networks ship in is installed"),
    ],
)
def test_nothing_is_timed_where_there_is_nothing_to_choose(
    objectives: str,
    target: str,
    backend: str,
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(errors.importlib.util, "find_spec", lambda name: None)
    context = context_of(objectives, target=target, folder=tmp_path)
    choose_backend(context, [])
    found = context.settings.backends
    assert context.settings.space.target.backend == backend
    assert told in backend_in_words({"backends": found})
    assert bool(found) == bool(told)


def test_a_backend_that_is_none_is_refused_before_anything_is_done(tmp_path: Path) -> None:
    text = tiny.space_text("folder:nowhere", objectives=TIMED) + "target: {backend: egaer}"
    with pytest.raises(UsageError, match="unknown backend 'egaer'; did you mean eager") as raised:
        search(SearchSpace(text, source="toy.yaml"), results=tmp_path)
    assert raised.value.place == "toy.yaml:21:19"


def test_a_study_goes_on_in_the_backend_that_it_settled_on(tmp_path: Path) -> None:
    text = tiny.space_text("unused", objectives=TIMED)
    begun = {
        "space_text": text,
        "space_name": "toy",
        "proxy": {"data": "unused"},
        "seed": 3,
        "sampler": "tpe",
        "pruner": "none",
        "trials": 6,
        "objectives": {"proxy_accuracy": "max", "latency_ms": "min"},
        "conditions": {"backend": "onnxruntime"},
    }

    def goes_on(target: str) -> str:
        space = SearchSpace(text + target, source="toy.yaml")
        found = as_begun(settings_of(space, {}, name=None, results=tmp_path), begun)
        return found.space.target.backend

    assert goes_on("") == goes_on("target: {backend: onnxruntime}") == "onnxruntime"
    with pytest.raises(UsageError, match="begun with onnxruntime, not openvino"):
        goes_on("target: {backend: openvino}")


@pytest.fixture(scope="module")
def study(
    tmp_path_factory: pytest.TempPathFactory, data: str, heard: list[events.Event]
) -> StudyReader:
    """Of a space that names no backend, with one trial."""
    text = tiny.space_text(f"{data},flip=no", objectives=TIMED, trials=1)
    text = text.replace("seed: 3}", "seed: 3, confirm: false, certify: never, workers: 1}")
    text = text.replace("rungs: [1, 2]", "rungs: [4, 16]")  # it beats chance
    file = tmp_path_factory.mktemp("auto") / "toy.yaml"
    file.write_text(text)
    found = search(file, results=file.parent, on_event=heard.append)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def heard() -> list[events.Event]:
    return []


def test_the_fastest_is_found_said_and_kept(study: StudyReader, heard: list[events.Event]) -> None:
    found, backend = study.header["backends"], study.header["conditions"]["backend"]
    assert {"eager", "onnxruntime"} <= {one["backend"] for one in found}
    assert found[0]["backend"] == backend
    assert found[0]["latency_ms"] == min(one["latency_ms"] for one in found)
    (told,) = (one.backend for one in heard if isinstance(one, events.Prepared))
    assert told.startswith(f"timed in {backend}, where the base network takes ")
    assert "backend" not in (study.path / "space.yaml").read_text()


def test_another_study_of_it_takes_its_backend(study: StudyReader, tmp_path: Path) -> None:
    space, backend = study.path / "space.yaml", study.header["conditions"]["backend"]
    after = search(space, name="after", results=tmp_path, start_from=[study.path], trials=1)
    assert after is not None
    told = {"backend": backend, "latency_ms": None, "reason": "as toy was"}
    assert after.header["backends"] == [told]
    assert [record.origin for record in after.trials()] == ["toy:0"]


@pytest.mark.slow
def test_the_front_is_timed_in_the_other_runtimes(
    study: StudyReader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = shutil.copytree(study.path, tmp_path / "toy")
    assert "other_runtimes" not in confirm(path, budget="0").header  # the search was short
    monkeypatch.setattr(other_runtimes, "_SHARE", 100.0)
    monkeypatch.setattr(other_runtimes, "RUNTIMES", {})
    found = confirm(path, budget="0")
    entries = in_other_runtimes(found.header, found.front_records())
    names = serving_backends(Conditions(), precisions=["fp32"])
    names.remove(study.header["conditions"]["backend"])
    assert [one.backend for one in entries] == names
    assert all(set(one.latencies_ms) == {0} for one in entries)
    told = finding(found).text()
    assert "in other runtimes\n" in told
    assert found.document()["other_runtimes"] == found.header["other_runtimes"]
