"""A full training goes on bit for bit, ends by its rules, and is shared out over processes."""

import functools
import itertools
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from archbench.data.stream import open_stream
from archbench.errors import NEGATIVE_RESULT, UsageError
from archbench.study.trial import CurvePoint
from archbench.train.checkpoint import previous_path, within_path
from archbench.train.full_loop import train_fully
from archbench.train.full_recipe import FullRecipe
from archbench.train.resumable import NonFiniteLossError, share_right
from archbench.train.step import Teacher
from tests.data.conftest import write_classes
from tests.train.memory_stream import MemoryStream
from tests.train.tiny import TinyHybrid, kill_again_and_again, same, tiny_network

RECIPE = FullRecipe(
    epochs=4,
    batch=8,
    rate=1e-2,
    rate_batch=8,
    warmup_epochs=1,
    warmup_rate=1e-3,
    weight_decay=0.05,
    clip_mode="norm",
    clip=1.0,
)
MIXED = replace(
    RECIPE, ema=0.9, evaluate="ema", mixup=0.8, cutmix=1.0, label_smoothing=0.1, lag_epochs=1
)
_EACH_STEP: dict[str, Any] = {"checkpoint_every_s": 0.0, "clock": lambda: 0.0}


class _Killed(BaseException):
    pass


def _train(
    network: nn.Module, *, recipe: FullRecipe = RECIPE, **changes: Any
) -> tuple[CurvePoint, ...]:
    stream = changes.pop("stream", None) or MemoryStream(batch=recipe.step_batch())
    return train_fully(network, stream, recipe=recipe, **{"seed": 3, **changes})


def _values(points: tuple[CurvePoint, ...]) -> list[tuple[float, ...]]:
    return [(point.epoch, point.step, point.loss, point.accuracy) for point in points]


@functools.cache
def _straight(recipe: FullRecipe) -> tuple[tuple[CurvePoint, ...], TinyHybrid]:
    network = tiny_network()
    return _train(network, recipe=recipe), network


def _kill(path: Path, *, step: int, recipe: FullRecipe, **how: Any) -> None:
    def killed(done: int, total: int) -> None:
        if done == step:
            raise _Killed

    network = tiny_network(seed=9 if path.exists() else 0)
    with pytest.raises(_Killed):
        _train(network, recipe=recipe, checkpoint=path, on_progress=killed, **how)


def test_training_learns_what_can_be_learnt() -> None:
    stream = MemoryStream(num_train=192)
    points = _train(tiny_network(), recipe=replace(RECIPE, epochs=6), stream=stream)
    assert [(point.epoch, point.step) for point in points] == [(n, 24 * n) for n in range(1, 7)]
    assert points[-1].accuracy > 0.9
    assert points[-1].loss < points[0].loss < 1.6  # guessing one of four costs 1.39


RECIPES = {
    "raw": RECIPE,
    "mixed": MIXED,
    "parts": replace(MIXED, accumulate=2, batch=16),
    "fp16": replace(MIXED, precision="fp16"),
    "bf16": replace(RECIPE, precision="bf16", channels_last=True, ema=0.9),
}


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("every", [0.0, 1e9], ids=["each step", "each epoch"])
def test_killed_training_ends_the_same_bit_for_bit(tmp_path: Path, name: str, every: float) -> None:
    recipe, path = RECIPES[name], tmp_path / "checkpoint"
    points, straight = _straight(recipe)
    per_epoch = 48 // recipe.batch
    steps: list[int] = []
    how = {"checkpoint_every_s": every, "clock": lambda: 0.0}
    for step in (per_epoch + 1, per_epoch + 2, 2 * per_epoch + 2):
        _kill(path, step=step, recipe=recipe, **how)
    network = tiny_network(seed=9)
    resumed = _train(
        network,
        recipe=recipe,
        checkpoint=path,
        on_progress=lambda done, total: steps.append(done),
        **how,
    )
    # the step whose progress was being told is lost where it was not kept yet
    assert steps[0] == 2 * per_epoch + (1 if every else 3)
    assert _values(resumed) == _values(points)
    assert same(network, straight)
    assert not within_path(path).exists()


def test_each_epoch_asks_for_its_own_images_from_the_step_to_go_on_with(tmp_path: Path) -> None:
    path, stream = tmp_path / "checkpoint", MemoryStream()
    _kill(path, step=8, recipe=RECIPE, **_EACH_STEP)
    _train(tiny_network(seed=9), checkpoint=path, stream=stream)
    assert stream.train.asked == [(1, 2), (2, 0), (3, 0)]


@pytest.mark.parametrize("lag", [0, 1])
def test_each_epoch_trains_at_its_own_rate(lag: int) -> None:
    network = tiny_network()
    weights = [network.qkv.weight.detach().clone()]
    _train(
        network,
        recipe=replace(RECIPE, warmup_rate=0.0, lag_epochs=lag),  # a rate of 0 changes nothing
        on_point=lambda *_: weights.append(network.qkv.weight.detach().clone()),
    )
    are_changed = [not torch.equal(*pair) for pair in itertools.pairwise(weights)]
    assert are_changed == [epoch > lag for epoch in range(4)]


def test_training_that_has_ended_ends_again_with_its_weights(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    points = _train(tiny_network(), recipe=MIXED, checkpoint=path)
    network = tiny_network(seed=9)
    told: list[int] = []
    again = _train(
        network, recipe=MIXED, checkpoint=path, on_point=lambda point, *_: told.append(point.epoch)
    )
    assert again == points
    assert told == [4]
    assert same(network, _straight(MIXED)[1])


def _accuracy(network: nn.Module) -> float:
    batches = ((images, labels) for images, labels, _ in MemoryStream().validation.batches())
    layout = torch.contiguous_format
    return share_right(network, batches, device="cpu", memory_format=layout)


@pytest.mark.parametrize("recipe", [MIXED, replace(MIXED, evaluate="raw")], ids=["ema", "raw"])
def test_network_has_the_evaluated_weights_when_a_point_is_told_and_at_the_end(
    recipe: FullRecipe,
) -> None:
    network, told = tiny_network(), list[tuple[float, float]]()
    points = _train(
        network,
        recipe=recipe,
        on_point=lambda point, *_: told.append((point.accuracy, _accuracy(network))),
    )
    assert all(accuracy == seen for accuracy, seen in told)
    assert points[-1].accuracy == _accuracy(network)
    assert len({accuracy for accuracy, _ in told}) > 1  # or the test shows nothing


def test_average_and_raw_weights_are_evaluated_differently() -> None:
    average, raw = _straight(MIXED), _straight(replace(MIXED, evaluate="raw"))
    assert [point.loss for point in average[0]] == [point.loss for point in raw[0]]
    assert not same(average[1], raw[1])


def test_training_without_a_rise_of_the_accuracy_ends(tmp_path: Path) -> None:
    path, notes = tmp_path / "checkpoint", list[str]()
    idle = replace(RECIPE, epochs=9, rate=1e-12, warmup_epochs=0, patience=2)
    how: dict[str, Any] = {"recipe": idle, "checkpoint": path, "on_note": notes.append}
    points = _train(tiny_network(dropout=0.0), **how)
    best = max(points, key=lambda point: point.accuracy).epoch
    assert len(points) == best + 2 < 9
    assert _train(tiny_network(seed=9), **how) == points
    told = f"ended after epoch {best + 2}: the accuracy has not risen since epoch {best}"
    assert notes == [told, told]
    assert len(_train(tiny_network(dropout=0.0), recipe=replace(idle, patience=0))) == 9


def test_caller_can_end_a_training() -> None:
    assert len(_train(tiny_network(), on_point=lambda point, *_: point.epoch < 2)) == 2


def test_first_loss_that_is_not_finite_ends_the_training_and_the_checkpoint_is_kept(
    tmp_path: Path,
) -> None:
    path, network, steps = tmp_path / "checkpoint", tiny_network(), iter(range(1, 99))

    def diverge(module: nn.Module, images: object, outputs: object) -> object:
        is_training = isinstance(outputs, tuple)
        if is_training and next(steps) == 9:
            return tuple(logits * torch.nan for logits in outputs)
        return None

    handle = network.register_forward_hook(diverge)
    recipe = replace(RECIPE, precision="bf16")
    told = (
        r"step 9: the loss became nan in epoch 2; lower recipe.rate, or set recipe.precision=fp32; "
        r"the checkpoint after step 6 is kept"
    )
    with pytest.raises(NonFiniteLossError, match=told) as raised:
        _train(network, recipe=recipe, checkpoint=path)
    assert raised.value.exit_code == NEGATIVE_RESULT
    handle.remove()
    resumed = _train(tiny_network(seed=9), recipe=recipe, checkpoint=path)
    assert _values(resumed) == _values(_train(tiny_network(), recipe=recipe))


def test_weights_that_are_not_finite_are_never_kept(tmp_path: Path) -> None:
    path, network, steps = tmp_path / "checkpoint", tiny_network(), iter(range(1, 99))

    def spoil(gradient: Tensor) -> Tensor:
        return gradient * torch.nan if next(steps) == 12 else gradient

    network.stem.weight.register_hook(spoil)
    with pytest.raises(NonFiniteLossError, match=r"step 12: network/\S+ is not finite in epoch 2"):
        _train(network, recipe=replace(RECIPE, clip_mode="none"), checkpoint=path)
    assert len(_train(tiny_network(), recipe=replace(RECIPE, clip_mode="none"), checkpoint=path))
    assert previous_path(path).exists()


def test_a_training_of_other_data_weights_or_rules_is_not_gone_on_with(tmp_path: Path) -> None:
    path, stream = tmp_path / "checkpoint", MemoryStream()
    _train(tiny_network(), checkpoint=path)
    stream.digest = "f" * 16
    others: dict[str, dict[str, Any]] = {
        "recipe": {"recipe": replace(RECIPE, clip=2.0)},
        "seed": {"seed": 1},
        "data": {"stream": stream},
    }
    for key, change in others.items():
        with pytest.raises(UsageError, match=f"of another training: {key} was .*; delete it"):
            _train(tiny_network(), checkpoint=path, **change)


def test_a_teacher_that_is_not_there_is_told() -> None:
    with pytest.raises(UsageError, match="the recipe names the teacher timm:x, and none is there"):
        _train(tiny_network(), recipe=replace(RECIPE, teacher="timm:x"))


class _Colour(nn.Module):
    """Knows the class of the tiny images by their brightest colour."""

    def forward(self, images: Tensor) -> Tensor:
        colours = images.mean(dim=(2, 3))
        return torch.cat([colours, colours.new_full((len(images), 1), -0.1)], dim=1)


def test_a_teacher_is_learnt_from_and_belongs_to_the_training(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    teacher = Teacher(kind="colour", network=_Colour(), sha256="a", accuracy=1.0, agreement=1.0)
    recipe = replace(RECIPE, teacher="colour")
    points = _train(tiny_network(), recipe=recipe, teacher=teacher, checkpoint=path)
    assert [point.loss for point in points] != [point.loss for point in _straight(RECIPE)[0]]
    other = replace(teacher, sha256="b")
    with pytest.raises(UsageError, match="another training: teacher was a, not b"):
        _train(tiny_network(), recipe=recipe, teacher=other, checkpoint=path)


def test_levits_recipe_trains_on_files_and_goes_on(tmp_path: Path) -> None:
    photos = write_classes(tmp_path / "photos", {"cat": 60, "dog": 80})
    settings = (
        "epochs=2",
        "warmup_epochs=1",
        "batch=16",
        "teacher=none",
        "evaluate=ema",
        "ema=0.9",
    )
    recipe = FullRecipe.load("levit", [f"recipe.{setting}" for setting in settings])

    def trained(network: TinyHybrid, **how: Any) -> tuple[CurvePoint, ...]:
        with open_stream(
            f"folder:{photos}",
            resolution=16,
            augmentation=recipe.augmentation,
            batch=recipe.step_batch(),
            seed=3,
            workers=0,
            cache=tmp_path / "cache",
        ) as stream:
            return _train(network, recipe=recipe, stream=stream, **how)

    def killed(done: int, total: int) -> None:
        if done == total - 2:
            raise _Killed

    path, straight = tmp_path / "checkpoint", tiny_network(num_classes=2)
    points = trained(straight)
    with pytest.raises(_Killed):
        trained(tiny_network(num_classes=2), checkpoint=path, on_progress=killed, **_EACH_STEP)
    network = tiny_network(seed=9, num_classes=2)
    assert _values(trained(network, checkpoint=path)) == _values(points)
    assert same(network, straight)


SHARED = replace(RECIPE, epochs=20, batch=16, rate=3e-3, ema=0.9, evaluate="ema")


def _normless() -> TinyHybrid:
    network = tiny_network(dropout=0.0)
    network.stem_norm = nn.GroupNorm(4, 16)  # batch norm would see other images in each process
    return network


def shared_training(rank: int, world: int, folder: Path, *, stop_after: int = 99) -> None:
    """What each of the processes below does."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=world
    )
    told: list[int] = []

    def on_point(point: CurvePoint, path: Path | None, sha256: str | None) -> bool:
        told.append(point.epoch)
        return point.epoch < stop_after

    stream = MemoryStream(batch=16 // world, num_train=16, rank=rank, world=world)
    network = _normless()
    points = train_fully(
        network,
        stream,
        recipe=SHARED,
        seed=0,
        checkpoint=folder / "checkpoint",
        on_point=on_point,
    )
    found = {"points": _values(points), "told": told}
    (folder / f"{rank}.json").write_text(json.dumps(found))
    torch.distributed.barrier()
    os._exit(0)  # threads of gloo were seen to abort the interpreter's orderly end


_CHILD = """
import sys
from pathlib import Path
from tests.train.test_full_loop import shared_training
rank, world, folder, stop_after = sys.argv[1:]
shared_training(int(rank), int(world), Path(folder), stop_after=int(stop_after))
"""


def _share_out(folder: Path, *, stop_after: int = 99) -> list[dict[str, Any]]:
    children = [
        subprocess.Popen(
            [sys.executable, "-c", _CHILD, str(rank), "2", str(folder), str(stop_after)],
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    errors = [child.communicate(timeout=120)[1] for child in children]
    assert [child.returncode for child in children] == [0, 0], errors
    (folder / "meeting").unlink(missing_ok=True)
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]


def test_two_processes_learn_as_one_does_on_the_same_batch(tmp_path: Path) -> None:
    alone = _values(_train(_normless(), recipe=SHARED, stream=MemoryStream(batch=16, num_train=16)))
    assert len(alone) == 20  # of one step each
    first, second = _share_out(tmp_path)
    assert [first["told"], second["told"]] == [list(range(1, 21)), []]
    assert first["points"] == second["points"]
    for (*_, loss, accuracy), (*_, expected, reached) in zip(first["points"], alone, strict=True):
        assert loss == pytest.approx(expected, abs=1e-5)
        assert accuracy == reached
    assert sorted(path.name for path in tmp_path.glob("checkpoint*")) == [
        "checkpoint",
        "checkpoint.previous",
    ]


@pytest.mark.slow
def test_two_processes_go_on_from_their_one_checkpoint(tmp_path: Path) -> None:
    for name in ("straight", "parted"):
        (tmp_path / name).mkdir()
    straight, _ = _share_out(tmp_path / "straight")
    first, second = _share_out(tmp_path / "parted", stop_after=12)
    assert [first["told"], second["told"]] == [list(range(1, 13)), []]
    first, second = _share_out(tmp_path / "parted")
    assert [first["told"], second["told"]] == [list(range(12, 21)), []]
    assert first["points"] == second["points"] == straight["points"]


LONG = replace(MIXED, epochs=60)


def killed_training(path: Path) -> None:
    """What the child below does until it is killed."""
    torch.set_num_threads(1)
    _train(tiny_network(), recipe=LONG, checkpoint=path, checkpoint_every_s=0.0)


@pytest.mark.slow
def test_training_survives_being_killed_for_good(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    kill_again_and_again(__name__, path, times=6)
    network = tiny_network(seed=9)
    resumed = _train(network, recipe=LONG, checkpoint=path)
    straight = tiny_network()
    assert _values(resumed) == _values(_train(straight, recipe=LONG))
    assert same(network, straight)
