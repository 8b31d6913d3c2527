"""A longer training goes on where it stood and leaves weights that say what they are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from safetensors import safe_open

from archbench.errors import UsageError, WeightsError
from archbench.evaluate.training import DOCUMENT, train_network
from archbench.models import build, load_weights
from archbench.study.trial import CurvePoint
from archbench.train.weights import Weights
from tests.evaluate.toy import SPEC


def _train(data: str, folder: Path, *, epochs: int = 3, stop_after: int = 99) -> Weights:
    def on_point(point: CurvePoint, path: Path | None, sha256: str | None) -> bool:
        return point.epoch < stop_after

    return train_network(SPEC, data=data, epochs=epochs, folder=folder, batch=16, on_point=on_point)


def test_it_goes_on_bit_for_bit(data: str, tmp_path: Path) -> None:
    whole = _train(data, tmp_path / "whole")
    plan = json.loads((tmp_path / "whole" / DOCUMENT).read_text())
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / DOCUMENT).write_text(json.dumps(plan))
    assert len(_train(data, tmp_path / "parts", stop_after=1).points) == 1
    parts = _train(data, tmp_path / "parts")
    assert [p.loss for p in parts.points] == [p.loss for p in whole.points]


def test_weights_hold_the_spec(data: str, tmp_path: Path) -> None:
    weights = _train(data, tmp_path, epochs=1)
    with safe_open(weights.last, framework="pt") as file:
        metadata = file.metadata()
    spec = json.loads(metadata["spec"])
    assert spec["num_classes"] == 3
    assert spec["stages"][0]["dim"] == 16
    assert len(metadata["digest"]) == 16


def test_weights_load_and_are_checked(data: str, tmp_path: Path) -> None:
    weights = _train(data, tmp_path, epochs=1)
    with safe_open(weights.best, framework="pt") as file:
        spec = json.loads(file.metadata()["spec"])
    loaded = load_weights(build(spec), weights.best)
    assert (loaded.layout, loaded.verified) == ("archbench", True)
    whole = weights.best.read_bytes()
    weights.best.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(WeightsError, match="damaged or changed"):
        load_weights(build(spec), weights.best)


def test_a_folder_with_another_training_is_refused(data: str, tmp_path: Path) -> None:
    _train(data, tmp_path, epochs=1)
    with pytest.raises(UsageError, match="holds another training: its recipe is different"):
        _train(data, tmp_path, epochs=2)
