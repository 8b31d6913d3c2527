"""Trainings begin from an ancestor's weights, and the ancestor itself is tried first."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from archbench.analysis.study import StudyReader
from archbench.analysis.verdict import ancestor_in_words
from archbench.errors import MissingError, StorageError, UsageError
from archbench.evaluate.ancestor import find_ancestor, nearest_published
from archbench.evaluate.proxy import Proxy
from archbench.evaluate.training import train_network
from archbench.models import ArchSpec, as_spec, build, save_weights
from archbench.report.study_page import study_page
from archbench.report.summary import Summary
from archbench.search import events, search
from archbench.search.earlier import differences
from archbench.space import SearchSpace
from tests.search import tiny


def ancestor_spec(data: str, **choices: int) -> ArchSpec:
    """A network of the tiny space; a choice that is none of its values makes it another one."""
    space = SearchSpace(tiny.space_text(data), source="toy.yaml")
    document: dict[str, Any] = {**space.base, "name": "elder"}
    stage = {**document["stages"][0], **choices}
    return as_spec({**document, "stages": [stage]})


def searched(
    folder: Path, data: str, heard: list[events.Event], **choices: int
) -> tuple[StudyReader, Path]:
    """A study of three trials that begin from weights of such a network, which was trained."""
    spec = ancestor_spec(data, **choices)
    file = train_network(spec, data=data, epochs=3, folder=folder / "elder", batch=16).last
    space = SearchSpace.load(
        tiny.write_space(folder, data, trials=3), overrides=[f"proxy.weights={file}"]
    )
    found = search(space, results=folder / "results", workers=1, on_event=heard.append)
    assert found is not None
    return found, file


@pytest.fixture(scope="module")
def study(
    tmp_path_factory: pytest.TempPathFactory, data: str, heard: list[events.Event]
) -> StudyReader:
    return searched(tmp_path_factory.mktemp("inherits"), data, heard, depth=3, dim=32)[0]


def test_the_ancestor_is_the_first_candidate_and_inherits_all(study: StudyReader) -> None:
    first, *others = study.trials()
    assert first.choices["stages[0].depth"] == 3
    assert first.choices["stages[0].dim"] == 32
    assert first.weights_inherited == 1
    assert all(0 < (record.weights_inherited or 0) <= 1 for record in others)


def test_the_verdict_and_the_page_say_what_it_reaches_itself(study: StudyReader) -> None:
    first = study.trials()[0]
    told = ancestor_in_words(study)
    assert told.startswith("All trainings began from the weights of elder@16, which itself stands")
    assert told.endswith(f" at {100 * (first.proxy_accuracy or 0):.1f} % (trial 0).")
    assert "weights inherited" in str(study_page(Summary(study)))


def test_the_header_names_the_weights(study: StudyReader) -> None:
    kept = study.header["proxy"]["weights"]
    assert kept["name"] == "elder@16"
    assert Path(kept["file"]).name == "last.safetensors"
    proxy = Proxy.from_document(
        study.header["proxy"], plan=study.header["plan"], num_seeds=study.header["proxy"]["seeds"]
    )
    assert proxy.weights is not None
    assert proxy.weights.document() == kept


def test_the_end_of_a_trial_tells_the_share(heard: list[events.Event], study: StudyReader) -> None:
    from archbench.cli.progress import SearchProgress

    ended = [event for event in heard if isinstance(event, events.TrialFinished)]
    assert SearchProgress().update(ended[0]).endswith("MACs, 100.0 % inherited")


def test_an_accuracy_from_other_weights_is_none_of_a_new_study(study: StudyReader) -> None:
    proxy = dict(study.header["proxy"])
    del proxy["weights"]
    other: Mapping[str, Any] = {**study.header, "proxy": proxy}
    told = differences(study.header, other)["accuracy"]
    assert [text.partition(" was ")[0] for text in told] == ["proxy.weights"]
    assert differences(study.header, study.header)["accuracy"] == []


def test_an_ancestor_that_is_no_candidate_is_trained_beside_them(tmp_path: Path, data: str) -> None:
    study, file = searched(tmp_path, data, [], dim=40)
    assert study.header["ancestor"]["digest"] is None
    (elder,) = study.baselines
    assert elder.name == "elder@16"
    assert 0 < (elder.record.proxy_accuracy or 0) <= 1
    assert all(record.choices["stages[0].dim"] != 40 for record in study.trials())
    told = f"elder@16, which itself reaches {100 * (elder.record.proxy_accuracy or 0):.1f} %."
    assert ancestor_in_words(study).endswith(told)
    assert not list((study.path / "checkpoints").glob("baseline*"))
    save_weights(build(ancestor_spec(data, dim=40), seed=8), file)
    with pytest.raises(StorageError, match="not those that the trainings began with"):
        search(
            study.path / "space.yaml",
            name=study.name,
            results=study.path.parent,
            resume=True,
            trials=4,
            workers=1,
        )


def test_published_weights_that_are_not_here_are_said_how_to_get(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARCHBENCH_CACHE", str(tmp_path))
    base = as_spec("levit_128s", resolution=64)
    with pytest.raises(MissingError, match="published weights of levit_128s are not") as caught:
        find_ancestor("published", base=base, download=False)
    assert "archbench weights fetch levit_128s" in (caught.value.help or "")


def test_published_weights_that_were_fetched_are_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARCHBENCH_CACHE", str(tmp_path))
    (tmp_path / "weights").mkdir()
    file = tmp_path / "weights" / "levit_128s.safetensors"
    save_weights(build("levit_128s", seed=0), file)
    base = as_spec("levit_128s", resolution=64, num_classes=10)
    found = find_ancestor("published", base=base, download=False)
    assert (found.name, found.file) == ("levit_128s", str(file))
    network = build(base, seed=1)
    share = found.given_to(network)
    classifiers = sum(p.numel() for c in network.head.classifiers for p in c.linear.parameters())
    whole = sum(p.numel() for p in network.parameters())
    assert share == pytest.approx(1 - classifiers / whole)


def test_the_nearest_published_network_is_like_the_base_and_of_its_size() -> None:
    base = as_spec("levit_192")
    wider = [replace(stage, dim=stage.dim + 8) for stage in base.stages]
    assert nearest_published(replace(base, stages=tuple(wider))) == "levit_192"
    assert nearest_published(as_spec("deit_small", resolution=64)) == "deit_small"
    with pytest.raises(UsageError, match="no published network with released weights"):
        nearest_published(replace(base, stages=base.stages[:2]))
