from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from archbench.errors import StorageError
from archbench.study.trial import CurvePoint
from archbench.train.accuracy import accuracy
from archbench.train.plan import Plan
from archbench.train.recipe import Recipe
from archbench.train.weights import Weights, rungs_every, train_to_end
from tests.train.tiny import WIDTH, TinyHybrid, tiny_dataset, tiny_network

RECIPE = Recipe(rungs=(1, 2, 3, 4, 5, 6), batch=8, peak_rate=2e-2, shift=0.0)


class _Killed(BaseException):
    pass


def _train(network: TinyHybrid, folder: Path, **changes: Any) -> Weights:
    arguments: dict[str, Any] = {"recipe": RECIPE, "plan": Plan(), "width": WIDTH}
    return train_to_end(network, tiny_dataset(), folder=folder, **{**arguments, **changes})


def _metadata(path: Path) -> dict[str, str]:
    with safe_open(path, framework="pt") as file:
        return dict(file.metadata())


def test_best_and_last_weights_are_there_at_the_end(tmp_path: Path) -> None:
    network = tiny_network()
    weights = _train(network, tmp_path / "new" / "run", metadata={"name": "tiny"})
    best = max(weights.points, key=lambda point: point.accuracy)
    assert best != weights.points[-1]  # or the test shows nothing
    assert _metadata(weights.best) == {
        "name": "tiny",
        "data": "tiny 0123456789abcdef",
        "epoch": str(best.epoch),
        "accuracy": str(best.accuracy),
    }
    last = load_file(weights.last)
    assert all(torch.equal(last[name], value) for name, value in network.state_dict().items())
    loaded = tiny_network(seed=5)
    loaded.load_state_dict(load_file(weights.best))
    assert accuracy(loaded, tiny_dataset().validation) == best.accuracy


@pytest.mark.parametrize("epoch", range(1, 7))
def test_interrupted_training_keeps_its_best_weights(tmp_path: Path, epoch: int) -> None:
    straight = _train(tiny_network(), tmp_path / "straight")

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


def test_rungs_come_every_so_many_epochs_and_at_the_end() -> None:
    assert rungs_every(1, epochs=3) == (1, 2, 3)
    assert rungs_every(4, epochs=10) == (4, 8, 10)
    assert rungs_every(20, epochs=10) == (10,)


def test_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="file/run: cannot make the folder: Not a directory"):
        _train(tiny_network(), tmp_path / "file" / "run")
