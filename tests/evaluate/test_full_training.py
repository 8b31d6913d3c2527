"""A full training from the images of a folder to its test, stopped and gone on with."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from archbench.data.augmentation import Augmentation
from archbench.data.stream import open_stream
from archbench.errors import UsageError
from archbench.evaluate.full_training import full_recipe
from archbench.evaluate.given_teacher import Translated, given_teacher
from archbench.evaluate.training import Weights, train_network
from archbench.models import build, save_weights
from archbench.study.trial import CurvePoint
from tests.evaluate.toy import SPEC

SETTINGS = (
    *("recipe.rate_batch=16", "recipe.rate=2e-3", "recipe.warmup_epochs=1", "recipe.ema=0.5"),
    *("recipe.augmentation.rand_augment=''", "recipe.patience=0", "recipe.evaluate=ema"),
)


def _trained(data: str, folder: Path, *, stop_after: int = 99, **changes: Any) -> Weights:
    def on_point(point: CurvePoint, path: Path | None, sha256: str | None) -> bool:
        return point.epoch < stop_after

    usual: dict[str, Any] = {"recipe": "finetune", "settings": SETTINGS, "epochs": 2, "batch": 16}
    how = {**usual, "workers": 0, "on_point": on_point, **changes}
    return train_network(SPEC, data=data, folder=folder, **how)


def test_it_is_tested_and_tells_what_it_was(data: str, tmp_path: Path) -> None:
    weights = _trained(data, tmp_path)
    found = weights.document()
    kept = json.loads((tmp_path / "training.json").read_text())
    recipe = full_recipe("finetune", settings=SETTINGS, epochs=2, batch=16).document()
    assert kept["recipe"] == json.loads(json.dumps(recipe))
    assert found["training"]["recipe"] == kept["recipe"]
    assert [point["epoch"] for point in found["curve"]] == [1, 2]
    assert found["test"]["images"] == kept["data"]["num_test"]
    worst = found["test"]["worst"][0]
    assert Path(worst["file"]).is_file()
    assert Path(worst["file"]).parent.name == worst["class"]


def test_a_training_that_was_stopped_goes_on_bit_for_bit(data: str, tmp_path: Path) -> None:
    whole = _trained(data, tmp_path / "whole")
    stopped = _trained(data, tmp_path / "parts", stop_after=1)
    assert (len(stopped.points), stopped.tested) == (1, None)
    parts = _trained(data, tmp_path / "parts")
    assert [point.loss for point in parts.points] == [point.loss for point in whole.points]
    mine, theirs = load_file(parts.last), load_file(whole.last)
    assert all(mine[name].equal(theirs[name]) for name in theirs)
    with pytest.raises(UsageError, match="its recipe is different"):
        _trained(data, tmp_path / "parts", epochs=3)


def test_what_is_asked_beside_a_recipe_is_in_it_and_settings_come_last() -> None:
    found = full_recipe("levit", epochs=7, teacher="timm:x", settings=["recipe.epochs=9"])
    assert (found.epochs, found.teacher) == (9, "timm:x")


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ({"settings": ["recipe.peak_rat=1"]}, "did you mean peak_rate"),
        ({"settings": ["recipe.clip=much"]}, "recipe.clip: 'much' is no number"),
        ({"workers": 2}, "workers: the recipe short keeps its images in memory"),
    ],
)
def test_what_the_short_recipe_does_not_take_is_refused(
    data: str, tmp_path: Path, how: dict[str, Any], told: str
) -> None:
    with pytest.raises(UsageError, match=told):
        train_network(SPEC, data=data, folder=tmp_path, epochs=1, **how)


def test_a_teacher_sees_the_images_as_it_was_trained_on_them() -> None:
    class Mean(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            assert images.shape[-1] == 8
            return images.mean(dim=(2, 3))

    theirs, own = ((0.5,) * 3, (0.25,) * 3), ((0.4, 0.5, 0.6), (0.2, 0.2, 0.1))
    pixel = torch.tensor([0.3, 0.6, 0.9])
    image = ((pixel - 0.5) / 0.25).view(1, 3, 1, 1).expand(-1, -1, 16, 16)
    found = Translated(Mean(), side=8, theirs=theirs, own=own)(image)
    wanted = (pixel - torch.tensor(own[0])) / torch.tensor(own[1])
    assert torch.allclose(found[0], wanted, atol=1e-5)


def test_a_file_of_weights_teaches_and_others_are_refused(data: str, tmp_path: Path) -> None:
    file = _trained(data, tmp_path / "first", epochs=1).best
    taught = _trained(data, tmp_path / "second", epochs=1, teacher=str(file))
    assert taught.facts["teacher"]["kind"] == str(file)
    how = Augmentation()
    with open_stream(data, resolution=16, augmentation=how, batch=8, seed=0, workers=0) as stream:
        other = tmp_path / "other.safetensors"
        save_weights(build({**SPEC, "num_classes": 7}), other)
        with pytest.raises(UsageError, match="has 7 classes, and the data have 3"):
            given_teacher(str(other), stream=stream, seen=how, device="cpu")
        with pytest.raises(UsageError, match="has 1,000 classes, and the data have 3"):
            given_teacher("levit_384", stream=stream, seen=how, device="cpu")
        with pytest.raises(UsageError, match="no teacher is called 'anybody'"):
            given_teacher("anybody", stream=stream, seen=how, device="cpu")
