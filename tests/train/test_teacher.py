"""A teacher is trained once, kept whole, and what it says is learnt as the paper has it."""

import fcntl
import functools
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from archbench.errors import UsageError
from archbench.space.sections import TEACHERS as TEACHERS_OF_A_SPACE
from archbench.train import teacher as module
from archbench.train.recipe import TEACHERS, Recipe
from archbench.train.teacher import ConvolutionalNetwork, Teacher, teacher_for
from tests.train.tiny import (
    NUM_CLASSES,
    same,
    tiny_batch,
    tiny_dataset,
    tiny_network,
    tiny_trainer,
    tiny_training,
)

RECIPE = Recipe(rungs=(1, 2), batch=8, teacher="convolutional")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("teachers")


def _made(folder: Path, **changes: Any) -> Teacher:
    found = teacher_for(tiny_dataset(), folder=folder, **{"recipe": RECIPE, **changes})
    assert found is not None
    return found


@pytest.fixture(scope="module")
def teacher(folder: Path) -> Teacher:
    return _made(folder)


def _answers(images: Tensor) -> Tensor:
    return images.mean(dim=(2, 3)).argmax(dim=1)


def _step_loss(network: nn.Module, *, share: float) -> float:
    recipe = replace(RECIPE, teacher_share=share, label_smoothing=0.1)
    trainer = tiny_trainer(network, recipe=recipe, answers=_answers)
    loss, _ = trainer.step(*tiny_batch(), share=1.0)
    return float(loss)


def test_first_classifier_learns_the_label_and_second_the_teacher_and_a_single_one_both() -> None:
    network = tiny_network(dropout=0.0)
    images, labels = tiny_batch()
    first, second = network(images)
    own = F.cross_entropy(first, labels, label_smoothing=0.1).item()
    taught = F.cross_entropy(second, _answers(images)).item()
    assert own != pytest.approx(taught, rel=1e-3)
    assert _step_loss(network, share=0.25) == pytest.approx(0.75 * own + 0.25 * taught)
    mean = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    single = nn.Sequential(mean, nn.Linear(3, NUM_CLASSES))
    logits = single(images)
    own = F.cross_entropy(logits, labels, label_smoothing=0.1).item()
    taught = F.cross_entropy(logits, _answers(images)).item()
    assert _step_loss(single, share=0.5) == pytest.approx((own + taught) / 2)


def test_teacher_is_trained_once_and_its_answers_are_its_own(
    teacher: Teacher, folder: Path
) -> None:
    told: list[str] = []
    again = _made(folder, on_progress=lambda *what: told.append(what[0]))
    assert told == []
    assert again.facts() == teacher.facts()
    assert teacher.agreement > 0.9
    images, _ = tiny_batch()
    assert torch.equal(again.answers(images), teacher.answers(images))
    assert not teacher.network.training


def test_who_waits_for_a_teacher_that_another_process_trains_says_so(
    teacher: Teacher, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("archbench.lock.TOLD_AFTER_S", 0.0)
    (path,) = folder.glob("*.lock")
    told: list[str] = []
    with path.open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)

        def tell(what: str, done: int, total: int) -> None:
            told.append(what)
            fcntl.flock(held, fcntl.LOCK_UN)

        assert _made(folder, on_progress=tell).sha256 == teacher.sha256
    (text,) = told
    assert re.fullmatch("waiting for .*process.*, which trains the same teacher", text)


def test_teacher_made_anew_is_the_same_bit_for_bit(teacher: Teacher, tmp_path: Path) -> None:
    torch.rand(3)
    assert _made(tmp_path).facts() == teacher.facts()


def test_interrupted_teacher_goes_on_and_is_the_same(teacher: Teacher, tmp_path: Path) -> None:
    class Killed(BaseException):
        pass

    def killed(what: str, done: int, total: int) -> None:
        if done == total:
            raise Killed

    with pytest.raises(Killed):
        _made(tmp_path, on_progress=killed)
    assert _made(tmp_path).sha256 == teacher.sha256
    assert [file.suffix for file in sorted(tmp_path.iterdir())] == [".lock", ".safetensors"]


def test_damaged_teacher_is_trained_again_and_told(teacher: Teacher, folder: Path) -> None:
    (file,) = folder.glob("*.safetensors")
    content = bytearray(file.read_bytes())
    content[-5] ^= 1
    file.write_bytes(content)
    notes: list[str] = []
    assert _made(folder, on_note=notes.append).sha256 == teacher.sha256
    assert notes == ["the teacher is trained again: " + notes[0].split(": ", 1)[1]]
    assert "damaged" in notes[0]


def test_other_data_and_other_seeds_have_teachers_of_their_own(
    teacher: Teacher, tmp_path: Path
) -> None:
    assert _made(tmp_path, recipe=replace(RECIPE, seed=1)).sha256 != teacher.sha256
    data = replace(tiny_dataset(), digest="f" * 16)
    teacher_for(data, recipe=replace(RECIPE, seed=1), folder=tmp_path)
    assert len(list(tmp_path.glob("*.safetensors"))) == 2


def test_recipe_without_a_teacher_needs_none(tmp_path: Path) -> None:
    assert teacher_for(tiny_dataset(), recipe=Recipe(), folder=tmp_path / "none") is None
    assert not (tmp_path / "none").exists()
    assert "teacher" not in " ".join(Recipe().document())


_train = functools.partial(tiny_training, recipe=RECIPE)


def test_resumed_distillation_equals_the_straight_one(teacher: Teacher, tmp_path: Path) -> None:
    straight = tiny_network()
    points = _train(straight, teacher=teacher)
    path = tmp_path / "checkpoint"
    _train(tiny_network(), teacher=teacher, checkpoint=path, on_point=lambda *_: False)
    resumed = tiny_network(seed=9)
    again = _train(resumed, teacher=teacher, checkpoint=path)
    assert [(p.loss, p.accuracy) for p in again] == [(p.loss, p.accuracy) for p in points]
    assert same(resumed, straight)


def test_resuming_with_another_teacher_is_refused(teacher: Teacher, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    _train(tiny_network(), teacher=teacher, checkpoint=path)
    with pytest.raises(UsageError, match="of another training: teacher was"):
        _train(tiny_network(), teacher=replace(teacher, sha256="0" * 64), checkpoint=path)


def test_teacher_that_the_recipe_does_not_name_is_refused(teacher: Teacher) -> None:
    with pytest.raises(UsageError, match="names the teacher none, and convolutional is there"):
        _train(tiny_network(), teacher=teacher, recipe=Recipe())
    with pytest.raises(UsageError, match="names the teacher convolutional, and none is there"):
        _train(tiny_network())


def test_space_and_recipe_know_the_same_teachers() -> None:
    assert TEACHERS_OF_A_SPACE == TEACHERS


@pytest.mark.parametrize("resolution", [8, 16, 30, 64, 224])
def test_network_fits_the_images(resolution: int) -> None:
    network = ConvolutionalNetwork(resolution=resolution, num_classes=5, seed=0)
    images = torch.zeros(2, 3, resolution, resolution)
    assert 4 <= network.stages(images).shape[-1] <= 8 or resolution == 8
    assert network(images).shape == (2, 5)
    assert network.widths == [32, 64, 128, 256, 256, 256][: len(network.stages)]


@pytest.mark.parametrize(("num_images", "epochs"), [(10, 60), (2048, 12), (50_000, 4)])
def test_few_images_are_seen_more_often(num_images: int, epochs: int) -> None:
    assert module._recipe(num_images, seed=0).epochs == epochs
