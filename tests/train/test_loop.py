import functools
import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from archbench.data import Split
from archbench.errors import NEGATIVE_RESULT, UsageError
from archbench.study.trial import CurvePoint
from archbench.train.checkpoint import within_path
from archbench.train.loop import accuracy
from archbench.train.recipe import Plan, Recipe
from archbench.train.resumable import NonFiniteLossError
from tests.train.tiny import (
    TinyHybrid,
    kill_again_and_again,
    same,
    tiny_dataset,
    tiny_network,
    tiny_training,
)

RECIPE = Recipe(rungs=(2, 4), batch=8)


class _Killed(BaseException):
    pass


_train = functools.partial(tiny_training, recipe=RECIPE)


def _values(points: tuple[CurvePoint, ...]) -> list[tuple[float, ...]]:
    return [(point.epoch, point.step, point.loss, point.accuracy) for point in points]


def _straight(**changes: Any) -> tuple[tuple[CurvePoint, ...], TinyHybrid]:
    network = tiny_network()
    return _train(network, **changes), network


def _check_going_on(path: Path, *, seed: int = 9, **changes: Any) -> None:
    """A training that goes on from a checkpoint ends as the straight one, bit for bit."""
    told = {"on_note": changes.pop("on_note", None)}
    points, straight = _straight(**changes)
    network = tiny_network(seed=seed)
    assert _values(_train(network, checkpoint=path, **changes, **told)) == _values(points)
    assert same(network, straight)


def test_training_learns_what_can_be_learnt() -> None:
    points = _train(tiny_network(), recipe=Recipe(rungs=(4, 12), batch=8, peak_rate=1e-2))
    assert [(point.epoch, point.step) for point in points] == [(4, 24), (12, 72)]
    assert points[-1].accuracy > 0.9
    assert 1.0 < points[0].loss < 1.6  # guessing one of four costs 1.39
    assert points[-1].loss < points[0].loss


def test_a_seed_gives_its_own_curve_whatever_the_random_state_of_the_process() -> None:
    first, weights = _straight()
    torch.rand(3)
    state = torch.get_rng_state()
    second, others = _straight()
    assert _values(first) == _values(second)
    assert same(weights, others)
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.are_deterministic_algorithms_enabled()
    assert _values(first) != _values(_straight(seed=1)[0])


@pytest.mark.parametrize("memory_format", ["contiguous", "channels_last"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_resumed_training_equals_the_straight_one_bit_for_bit(
    tmp_path: Path, precision: Any, memory_format: Any
) -> None:
    plan = Plan(precision=precision, memory_format=memory_format)
    path = tmp_path / "checkpoint"
    _train(tiny_network(), plan=plan, checkpoint=path, on_point=lambda *_: False)
    _check_going_on(path, plan=plan)


@pytest.mark.parametrize("step", [1, 11, 12, 13, 24])
def test_training_killed_at_any_step_ends_the_same(tmp_path: Path, step: int) -> None:
    path = tmp_path / "checkpoint"

    def killed(done: int, total: int) -> None:
        assert total == 24
        if done == step:
            raise _Killed

    with pytest.raises(_Killed):
        _train(tiny_network(), checkpoint=path, on_progress=killed)
    _check_going_on(path, seed=9 if path.exists() else 0)


def test_point_is_told_when_its_checkpoint_is_durable(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    told: list[tuple[int, bool]] = []

    def on_point(point: CurvePoint, file: Path | None, sha256: str | None) -> None:
        network = tiny_network(seed=9)
        resumed = _train(network, checkpoint=file, sha256=sha256, on_point=lambda *_: False)
        told.append((point.epoch, resumed[-1] == point))

    _train(tiny_network(), checkpoint=path, on_point=on_point)
    assert told == [(2, True), (4, True)]
    files: list[Path | str | None] = []
    _train(tiny_network(), on_point=lambda point, *file: files.extend(file))
    assert files == [None] * 4


def test_last_point_is_told_again_on_going_on(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    seen: list[tuple[int, str | None]] = []

    def killed(point: CurvePoint, file: Path | None, sha256: str | None) -> None:
        raise _Killed

    with pytest.raises(_Killed):
        _train(tiny_network(), checkpoint=path, on_point=killed)
    _train(
        tiny_network(),
        checkpoint=path,
        on_point=lambda point, file, sha256: seen.append((point.epoch, sha256)),
    )
    assert [epoch for epoch, _ in seen] == [2, 4]
    assert len({sha256 for _, sha256 in seen}) == 2


def test_seconds_leave_out_interruptions(tmp_path: Path) -> None:
    path, now = tmp_path / "checkpoint", [0.0]

    def tick(done: int, total: int) -> None:
        now[0] += 0.5

    how: dict[str, Any] = {"checkpoint": path, "on_progress": tick, "clock": lambda: now[0]}
    first = _train(tiny_network(), on_point=lambda *_: False, **how)
    now[0] += 5000.0
    points = _train(tiny_network(), **how)
    assert first == points[:1]
    assert [point.seconds for point in points] == [6.0, 12.0]


_EACH_STEP: dict[str, Any] = {"checkpoint_every_s": 0.0, "clock": lambda: 0.0}


def _kill(path: Path, *, step: int, **how: Any) -> None:
    def killed(done: int, total: int) -> None:
        if done == step:
            raise _Killed

    with pytest.raises(_Killed):
        _train(tiny_network(), checkpoint=path, on_progress=killed, **how)


@pytest.mark.parametrize(("step", "first"), [(1, 2), (5, 6), (6, 6), (7, 8), (13, 14), (23, 24)])
def test_training_killed_within_a_rung_goes_on_with_the_next_step(
    tmp_path: Path, step: int, first: int
) -> None:
    path, steps = tmp_path / "checkpoint", []
    plan = Plan(precision="bf16", memory_format="channels_last") if step == 13 else Plan()
    _kill(path, step=step, plan=plan, **_EACH_STEP)
    assert within_path(path).exists()
    points, straight = _straight(plan=plan)
    network = tiny_network(seed=9)
    told = _train(
        network, checkpoint=path, plan=plan, on_progress=lambda done, total: steps.append(done)
    )
    assert steps == list(range(first, 25))
    assert _values(told) == _values(points)
    assert same(network, straight)
    assert not within_path(path).exists()


def test_training_killed_within_a_rung_again_and_again_ends_the_same(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    for step in (3, 4, 8, 9, 15, 20):
        _kill(path, step=step, **_EACH_STEP)
    _check_going_on(path)


def test_checkpoints_within_a_rung_are_far_apart(tmp_path: Path) -> None:
    path, now, at = tmp_path / "checkpoint", [0.0], []

    def tick(done: int, total: int) -> None:
        now[0] += 10.0
        if within_path(path).exists():
            within_path(path).unlink()
            at.append(done)

    recipe = Recipe(rungs=(20,), batch=8)
    _train(tiny_network(), recipe=recipe, checkpoint=path, on_progress=tick, clock=lambda: now[0])
    assert at == [13, 25, 37, 49, 61, 73, 85, 97, 109]


def test_a_damaged_checkpoint_within_a_rung_is_told_and_costs_only_time(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    _kill(path, step=20, **_EACH_STEP)
    file = within_path(path)
    file.write_bytes(file.read_bytes()[:-1])
    notes: list[str] = []
    _check_going_on(path, on_note=notes.append)
    assert notes == [f"{file}: not a whole safetensors file; going on from the last rung"]


def test_a_checkpoint_within_another_rung_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    _kill(path, step=8, **_EACH_STEP)
    kept = within_path(path).read_bytes()
    _train(tiny_network(), checkpoint=path, on_point=lambda *_: False)
    within_path(path).write_bytes(kept)
    _check_going_on(path)


def test_checkpoint_of_another_training_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    _train(tiny_network(), checkpoint=path)
    others: dict[str, dict[str, Any]] = {
        "recipe": {"recipe": replace(RECIPE, clip=2.0)},
        "seed": {"seed": 1},
        "width": {"width": 8},
        "plan": {"plan": Plan(memory_format="channels_last")},
        "data": {"dataset": replace(tiny_dataset(), digest="f" * 16)},
    }
    for key, change in others.items():
        with pytest.raises(UsageError, match=f"of another training: {key} was .*; delete it"):
            _train(tiny_network(), checkpoint=path, **change)
    with pytest.raises(UsageError, match="of another training: network was"):
        _train(nn.Sequential(nn.Flatten(), nn.Linear(768, 4)), checkpoint=path)


def test_first_loss_that_is_not_finite_ends_the_training() -> None:
    network, steps = tiny_network(), itertools.count(1)

    def diverge(module: nn.Module, images: object, outputs: tuple[Tensor, ...]) -> object:
        return tuple(logits * torch.nan for logits in outputs) if next(steps) == 9 else None

    network.register_forward_hook(diverge)
    with pytest.raises(
        NonFiniteLossError, match="step 9: the loss became nan in epoch 2; lower the"
    ) as raised:
        _train(network)
    assert raised.value.exit_code == NEGATIVE_RESULT
    assert next(steps) == 10


class _SteepAtZero(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(4))

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1)[:, :4] * self.scale.sqrt()


def test_gradient_that_is_not_finite_ends_the_training() -> None:
    with pytest.raises(NonFiniteLossError, match=r"step 1: the gradient became (inf|nan)"):
        _train(_SteepAtZero())


@pytest.mark.parametrize(("changes", "steps"), [({"num_train": 33}, 16), ({"flip": True}, 24)])
def test_mirrored_data_and_a_last_batch_of_one_image_are_trained_on(
    changes: dict[str, Any], steps: int
) -> None:
    assert _train(tiny_network(), dataset=tiny_dataset(**changes))[-1].step == steps


def test_memory_format_does_not_change_what_is_learnt() -> None:
    _, weights = _straight()
    _, others = _straight(plan=Plan(memory_format="channels_last"))
    torch.testing.assert_close(weights.state_dict(), others.state_dict(), rtol=1e-3, atol=1e-3)


def test_accuracy_is_the_share_classified_rightly() -> None:
    brightest_colour = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    labels = torch.arange(24) % 3
    images = torch.zeros(24, 3, 8, 8, dtype=torch.uint8)
    images[torch.arange(24), labels] = 200
    wrong = labels.clone()
    wrong[:6] = (wrong[:6] + 1) % 3
    assert accuracy(brightest_colour, Split(images, labels), batch=7) == 1.0
    assert accuracy(brightest_colour, Split(images, wrong), batch=7) == 0.75


def test_accuracy_ignores_batch_size_and_memory_format_and_leaves_the_network_as_it_came() -> None:
    split, network = tiny_dataset().validation, tiny_network().train()
    one = accuracy(network, split, batch=1)
    assert one == accuracy(network, split, batch=24, memory_format="channels_last")
    assert network.training
    assert same(network, tiny_network())


def test_empty_split_is_refused() -> None:
    split = tiny_dataset().validation
    with pytest.raises(UsageError, match="data: no images to take the accuracy on"):
        accuracy(tiny_network(), Split(split.images[:0], split.labels[:0]))


def killed_training(path: Path) -> None:
    """What the child below does until it is killed."""
    torch.set_num_threads(1)
    _train(tiny_network(), recipe=Recipe(rungs=tuple(range(1, 60)), batch=8), checkpoint=path)


@pytest.mark.slow
def test_training_survives_being_killed_for_good(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    kill_again_and_again(__name__, path, times=8)
    _check_going_on(path, recipe=Recipe(rungs=tuple(range(1, 60)), batch=8))
