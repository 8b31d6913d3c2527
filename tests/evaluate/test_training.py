"""A longer training goes on where it stood and leaves weights that say what they are."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from archbench.errors import StorageError, UsageError, WeightsError
from archbench.evaluate.kept_training import DOCUMENT, Kept, train_to_end
from archbench.evaluate.proxy import open_data
from archbench.evaluate.training import Weights, train_network
from archbench.evaluate.training_request import TrainingRequest
from archbench.models import as_spec, build, load_weights, save_weights
from archbench.study.trial import CurvePoint
from archbench.train.loop import accuracy, train
from archbench.train.recipe import Plan, Recipe
from archbench.train.resumable import OnPoint
from tests.evaluate.toy import SPEC
from tests.train.tiny import WIDTH, TinyHybrid, tiny_dataset, tiny_network


def _trained(data: str, folder: Path, *, epochs: int = 3, stop_after: int = 99) -> Weights:
    def on_point(point: CurvePoint, path: Path | None, sha256: str | None) -> bool:
        return point.epoch < stop_after

    return train_network(SPEC, data=data, epochs=epochs, folder=folder, batch=16, on_point=on_point)


def test_it_goes_on_bit_for_bit(data: str, tmp_path: Path) -> None:
    whole = _trained(data, tmp_path / "whole")
    plan = json.loads((tmp_path / "whole" / DOCUMENT).read_text())
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / DOCUMENT).write_text(json.dumps(plan))
    assert len(_trained(data, tmp_path / "parts", stop_after=1).points) == 1
    parts = _trained(data, tmp_path / "parts")
    assert [p.loss for p in parts.points] == [p.loss for p in whole.points]


def test_weights_hold_the_spec_load_and_are_checked(data: str, tmp_path: Path) -> None:
    weights = _trained(data, tmp_path, epochs=1)
    metadata = _metadata(weights.best)
    spec = json.loads(metadata["spec"])
    assert (spec["num_classes"], spec["stages"][0]["dim"], len(metadata["digest"])) == (3, 16, 16)
    loaded = load_weights(build(spec), weights.best)
    assert (loaded.layout, loaded.verified) == ("archbench", True)
    whole = weights.best.read_bytes()
    weights.best.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(WeightsError, match="damaged or changed"):
        load_weights(build(spec), weights.best)


def test_a_folder_with_another_training_is_refused(data: str, tmp_path: Path) -> None:
    _trained(data, tmp_path, epochs=1)
    with pytest.raises(UsageError, match="holds another training: its recipe is different"):
        _trained(data, tmp_path, epochs=2)


def test_the_best_weights_are_tested_at_the_end_and_those_of_a_stopped_one_are_not(
    data: str, tmp_path: Path
) -> None:
    weights = _trained(data, tmp_path)
    best = build(weights.facts["spec"])
    load_weights(best, weights.best)
    dataset = open_data(data, resolution=16)
    found = weights.document()["test"]
    assert found["accuracy"] == accuracy(best, dataset.test)
    assert (found["images"], found["epoch"]) == (len(dataset.test), weights.best_epoch)
    again = _trained(data, tmp_path / "stopped", stop_after=1)
    assert again.tested is None
    assert again.document()["test"] is None


def test_weights_tell_how_images_are_given_to_them(data: str, tmp_path: Path) -> None:
    metadata = _metadata(_trained(data, tmp_path, epochs=1).best)
    assert json.loads(metadata["images"]) == {
        "class_names": ["left", "right", "top"],
        "resolution": 16,
        "resize": 16,
        "mean": [0.5] * 3,
        "std": [0.25] * 3,
    }
    assert metadata["data"].startswith(f"{data} ")


@pytest.mark.parametrize(("num_classes", "resolution"), [(3, 16), (7, 32)])
def test_a_training_begins_with_given_weights(
    tmp_path: Path, num_classes: int, resolution: int
) -> None:
    given = build({**SPEC, "num_classes": num_classes, "resolution": resolution}, seed=9)
    file, notes = tmp_path / "given.safetensors", list[str]()
    sha256 = save_weights(given, file)
    request = TrainingRequest(
        target=as_spec(SPEC), data="", folder=tmp_path, weights=file, on_note=notes.append
    )
    network, facts = request.network(num_classes=3)
    assert facts["weights"] == {"file": "given.safetensors", "sha256": sha256}
    theirs = given.state_dict()
    kept = {name for name, mine in network.state_dict().items() if mine.equal(theirs[name])}
    other = network.state_dict().keys() - kept
    if (num_classes, resolution) == (3, 16):
        assert (other, notes) == (set(), [])
        return
    assert {name.split(".")[0] for name in other} == {"head", "stages"}
    assert [name for name in other if name.startswith("stages.")] == [
        "stages.0.blocks.0.attention.bias.values"
    ]
    assert notes == [
        "given.safetensors: 1 table of positions is interpolated to 16x16",
        "given.safetensors is for another number of classes than the 3 of the data: "
        "the classifier begins anew",
    ]


def test_weights_of_another_network_are_inherited_as_far_as_they_fit(tmp_path: Path) -> None:
    file, notes = tmp_path / "given.safetensors", list[str]()
    given = build(SPEC, seed=7)
    save_weights(given, file)
    deeper = {**SPEC, "stages": [*SPEC["stages"][:-1], {**SPEC["stages"][-1], "depth": 3}]}
    request = TrainingRequest(
        target=as_spec(deeper), data="", folder=tmp_path, weights=file, on_note=notes.append
    )
    network, _ = request.network(num_classes=given.spec.num_classes)
    ours, theirs = network.stages[-1].blocks, given.stages[-1].blocks
    for key, value in theirs[0].state_dict().items():
        assert ours[0].state_dict()[key].equal(value)
    assert len(notes) == 1
    assert "given.safetensors is of another network" in notes[0]
    assert notes[0].endswith(" % of the parameters are inherited, the rest begin anew")


def test_other_weights_to_begin_with_are_another_training(data: str, tmp_path: Path) -> None:
    file, out = tmp_path / "given.safetensors", tmp_path / "out"
    save_weights(build(SPEC, seed=8), file)
    train_network(SPEC, data=data, epochs=1, folder=out, weights=file)
    save_weights(build(SPEC, seed=9), file)
    with pytest.raises(UsageError, match="its weights is different"):
        train_network(SPEC, data=data, epochs=1, folder=out, weights=file)


RECIPE = Recipe(rungs=(1, 2, 3, 4, 5, 6), batch=8, peak_rate=2e-2, shift=0.0)


class _Killed(BaseException):
    pass


def _train(network: TinyHybrid, folder: Path, **changes: Any) -> Kept:
    usual: dict[str, Any] = {"recipe": RECIPE, "plan": Plan(), "width": WIDTH, "seed": 0}
    kept = {name: changes.pop(name) for name in ("on_point", "on_note") if name in changes}
    texts = changes.pop("texts", {})
    how = {**usual, **changes}

    def loop(checkpoint: Path, on_point: OnPoint) -> tuple[CurvePoint, ...]:
        note = kept.get("on_note")
        return train(
            network, tiny_dataset(), checkpoint=checkpoint, on_point=on_point, on_note=note, **how
        )

    return train_to_end(network, loop, folder=folder, texts=texts, **kept)


def _metadata(path: Path) -> dict[str, str]:
    with safe_open(path, framework="pt") as file:
        return dict(file.metadata())


def test_best_and_last_weights_are_there_at_the_end(tmp_path: Path) -> None:
    network = tiny_network()
    weights = _train(network, tmp_path / "new" / "run", texts={"name": "tiny"})
    best = max(weights.points, key=lambda point: point.accuracy)
    assert best != weights.points[-1]  # or the test shows nothing
    assert _metadata(weights.best) == {
        "name": "tiny",
        "epoch": str(best.epoch),
        "accuracy": str(best.accuracy),
    }
    last = load_file(weights.last)
    assert all(torch.equal(last[name], value) for name, value in network.state_dict().items())
    loaded = tiny_network(seed=5)
    loaded.load_state_dict(load_file(weights.best))
    assert accuracy(loaded, tiny_dataset().validation) == best.accuracy


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    return _train(tiny_network(), tmp_path_factory.mktemp("straight"))


@pytest.mark.parametrize("epoch", range(1, 7))
def test_interrupted_training_keeps_its_best_weights(
    tmp_path: Path, straight: Kept, epoch: int
) -> None:
    def killed(point: CurvePoint, path: Path | None, sha256: str | None) -> None:
        if point.epoch == epoch:
            raise _Killed

    with pytest.raises(_Killed):
        _train(tiny_network(), tmp_path / "resumed", on_point=killed)
    resumed = _train(tiny_network(seed=4), tmp_path / "resumed")
    for mine, theirs in ((straight.best, resumed.best), (straight.last, resumed.last)):
        assert _metadata(mine) == _metadata(theirs)
        pairs = zip(load_file(mine).items(), load_file(theirs).items(), strict=True)
        assert all(a == b and torch.equal(x, y) for (a, x), (b, y) in pairs)


def test_first_of_equally_good_weights_is_kept(tmp_path: Path) -> None:
    idle = Recipe(rungs=(1, 2, 3, 4, 5, 6), batch=8, peak_rate=1e-12)
    weights = _train(tiny_network(), tmp_path, recipe=idle)
    highest = max(point.accuracy for point in weights.points)
    epochs = [point.epoch for point in weights.points if point.accuracy == highest]
    assert len(epochs) > 1  # or the test shows nothing
    assert _metadata(weights.best)["epoch"] == str(epochs[0])


def test_best_weights_that_are_lost_are_told(tmp_path: Path) -> None:
    notes: list[str] = []
    weights = _train(tiny_network(), tmp_path)
    best = max(weights.points, key=lambda point: point.accuracy)
    weights.best.unlink()
    _train(tiny_network(), tmp_path, on_note=notes.append)
    assert notes == [f"the best weights, of epoch {best.epoch}, are lost; kept: epoch 6"]


def test_weights_of_an_older_training_do_not_count(tmp_path: Path) -> None:
    weights = _train(tiny_network(), tmp_path)
    (tmp_path / "checkpoint.safetensors").unlink()
    (tmp_path / "checkpoint.safetensors.previous").unlink()
    again = _train(tiny_network(), tmp_path, seed=1, recipe=Recipe(rungs=(1,), batch=8))
    assert _metadata(again.best)["epoch"] == "1"
    assert weights.best == again.best


def test_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="file/run: cannot make the folder: Not a directory"):
        _train(tiny_network(), tmp_path / "file" / "run")


def test_what_cannot_be_trained_on_or_into_is_refused(data: str, tmp_path: Path) -> None:
    asked: dict[str, Any] = {"data": data, "epochs": 1, "folder": tmp_path, "resolution": 16}
    for changes, told in (
        ({"data": 5}, "data: got an int"),
        ({"folder": 5}, "folder: got an int"),
    ):
        with pytest.raises(UsageError, match=told):
            train_network(SPEC, **{**asked, **changes})
    with pytest.raises(UsageError, match=r"begins with fresh weights.* network.spec"):
        train_network(build(SPEC), **asked)
