"""A full step is made of timm's and PyTorch's parts, in the order of the released code."""

import copy
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from archbench.errors import MissingError, UsageError
from archbench.train.decay import decay_groups
from archbench.train.full_recipe import FullRecipe
from archbench.train.full_step import FullTrainer
from archbench.train.step import classification_loss, derived_seed
from tests.train.tiny import NUM_CLASSES, TinyHybrid, same, tiny_batch, tiny_network

timm_data = pytest.importorskip("timm.data")
timm_loss = pytest.importorskip("timm.loss")
timm_utils = pytest.importorskip("timm.utils")

PLAIN = FullRecipe(epochs=4, batch=8, rate=1e-2, rate_batch=8, weight_decay=0.1)
MIXED = replace(PLAIN, label_smoothing=0.1, mixup=0.8, cutmix=1.0, clip_mode="adaptive", clip=0.01)
RATE = 3e-3


def _trainer(network: nn.Module, recipe: FullRecipe, **changes: Any) -> FullTrainer:
    arguments: dict[str, Any] = {"num_classes": NUM_CLASSES, "seed": 5, **changes}
    return FullTrainer(network.train(), recipe=recipe, device=torch.device("cpu"), **arguments)


def _step(trainer: FullTrainer, *, number: int = 0, size: int = 8, parts: int = 1) -> float:
    images, labels = tiny_batch(size)
    each = size // parts
    batches = zip(images.split(each), labels.split(each), strict=True)
    return float(trainer.step(batches, number=number, parts=parts, rate=RATE))


def _mixed_by_timm(images: Tensor, labels: Tensor, *, number: int) -> tuple[Tensor, Tensor]:
    mixup = timm_data.Mixup(
        mixup_alpha=0.8, cutmix_alpha=1.0, label_smoothing=0.1, num_classes=NUM_CLASSES
    )
    state = np.random.get_state()
    np.random.seed(derived_seed("mixing", 5, number, 0, 0) % 2**32)
    mixed = mixup(images, labels)
    np.random.set_state(state)
    return mixed


@pytest.mark.parametrize("clip_mode", ["none", "norm", "adaptive"])
def test_a_step_is_that_of_the_parts_to_the_bit(clip_mode: str) -> None:
    recipe = replace(MIXED, clip_mode=clip_mode)
    network = tiny_network(dropout=0.0)
    expected = copy.deepcopy(network).train()
    decayed, others = decay_groups(expected, no_decay=recipe.no_decay)
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=RATE, fused=True)
    trainer = _trainer(network, recipe)
    for number in range(3):
        images, targets = _mixed_by_timm(*tiny_batch(), number=number)
        first, last = expected(images)
        loss = torch.stack([F.cross_entropy(one, targets) for one in (first, last)]).mean()
        optimizer.zero_grad()
        loss.backward()
        if clip_mode == "norm":
            nn.utils.clip_grad_norm_([*decayed, *others], 0.01)
        if clip_mode == "adaptive":
            timm_utils.adaptive_clip_grad(expected.parameters(), clip_factor=0.01)
        optimizer.step()
        assert _step(trainer, number=number) == float(loss.detach())
    assert same(network, expected)


def test_loss_of_mixed_images_is_timms() -> None:
    logits = tuple(torch.randn(2, 8, NUM_CLASSES, generator=torch.Generator().manual_seed(0)))
    _, targets = _mixed_by_timm(*tiny_batch(), number=0)
    theirs = timm_loss.SoftTargetCrossEntropy()
    how: dict[str, Any] = {"num_classes": NUM_CLASSES, "smoothing": 0.0, "teacher_share": 0.5}
    alone = classification_loss(logits[0], targets, taught=None, **how)
    torch.testing.assert_close(alone, theirs(logits[0], targets))
    both = classification_loss(logits, targets, taught=None, **how)
    torch.testing.assert_close(both, (theirs(logits[0], targets) + theirs(logits[1], targets)) / 2)
    taught = torch.arange(8) % 3
    distilled = classification_loss(logits, targets, taught=taught, **how)
    expected = 0.5 * theirs(logits[0], targets) + 0.5 * F.cross_entropy(logits[1], taught)
    torch.testing.assert_close(distilled, expected)
    single = classification_loss(logits[0], targets, taught=taught, **how)
    expected = 0.5 * theirs(logits[0], targets) + 0.5 * F.cross_entropy(logits[0], taught)
    torch.testing.assert_close(single, expected)


@pytest.mark.parametrize("heads", [1, 2])
def test_teacher_sees_the_mixed_images(heads: int) -> None:
    seen: list[Tensor] = []

    def answers(images: Tensor) -> Tensor:
        seen.append(images.clone())
        return torch.zeros(len(images), dtype=torch.int64)

    network = tiny_network(dropout=0.0)
    network.heads = network.heads[:heads]
    before = copy.deepcopy(network).train()
    loss = _step(_trainer(network, MIXED, answers=answers))
    images, targets = _mixed_by_timm(*tiny_batch(), number=0)
    assert torch.equal(seen[0], images)
    logits = before(images)
    own = timm_loss.SoftTargetCrossEntropy()(logits[0], targets)
    learnt = F.cross_entropy(logits[-1], torch.zeros(8, dtype=torch.int64))
    assert loss == pytest.approx(float((0.5 * own + 0.5 * learnt).detach()))


def test_without_mixing_labels_are_smoothed() -> None:
    network = tiny_network(dropout=0.0)
    images, labels = tiny_batch()
    expected = [
        timm_loss.LabelSmoothingCrossEntropy(0.1)(one, labels)
        for one in copy.deepcopy(network).train()(images)
    ]
    loss = _step(_trainer(network, replace(PLAIN, label_smoothing=0.1)))
    assert loss == pytest.approx(float(sum(expected).detach() / 2))


def test_average_follows_its_formula_from_the_first_weights_on() -> None:
    network = tiny_network()
    floats = {k: v.double() for k, v in network.state_dict().items() if v.is_floating_point()}
    trainer = _trainer(network, replace(PLAIN, ema=0.9, evaluate="ema"))
    for number in range(4):
        _step(trainer, number=number)
        state = network.state_dict()
        floats = {key: 0.9 * old + 0.1 * state[key].double() for key, old in floats.items()}
    raw = copy.deepcopy(network)
    with trainer.evaluated():
        evaluated = network.state_dict()
        for key, expected in floats.items():
            torch.testing.assert_close(evaluated[key].double(), expected, rtol=1e-6, atol=1e-7)
        assert not same(network, raw)
    assert same(network, raw)


def test_raw_weights_are_evaluated_where_the_recipe_says_so() -> None:
    network = tiny_network()
    trainer = _trainer(network, replace(PLAIN, ema=0.9))
    _step(trainer)
    raw = copy.deepcopy(network)
    with trainer.evaluated():
        assert same(network, raw)


def _without_norm() -> TinyHybrid:
    network = tiny_network(dropout=0.0)
    network.stem_norm = nn.Identity()  # batch norm sees each part alone
    return network


@pytest.mark.parametrize("parts", [4, 2])  # the last step of an epoch may have fewer
def test_a_step_in_parts_is_the_step_of_the_whole_batch(parts: int) -> None:
    whole, parted = _without_norm(), _without_norm()
    recipe = replace(PLAIN, eps=1.0)  # so large an eps leaves the step's size the gradient's
    at_once, in_parts = _trainer(whole, recipe), _trainer(parted, replace(recipe, accumulate=4))
    for number in range(3):
        loss = _step(at_once, number=number, size=2 * parts)
        again = _step(in_parts, number=number, size=2 * parts, parts=parts)
        assert again == pytest.approx(loss, rel=1e-6)
    torch.testing.assert_close(parted.state_dict(), whole.state_dict(), rtol=1e-5, atol=1e-7)


def test_chance_in_a_step_depends_on_its_number_alone() -> None:
    losses = []
    for state in (1, 2):
        torch.manual_seed(state)
        np.random.seed(state)
        before = np.random.get_state()[1].tolist()
        trainer = _trainer(tiny_network(dropout=0.5), MIXED)
        losses.append([_step(trainer, number=number) for number in (3, 4)])
        assert np.random.get_state()[1].tolist() == before
    assert losses[0] == losses[1]
    other = _trainer(tiny_network(dropout=0.5), MIXED)
    assert _step(other, number=5) != losses[0][0]


def test_a_gradient_too_large_for_fp16_is_passed_over_and_scaled_down() -> None:
    network = tiny_network()
    trainer = _trainer(network, replace(PLAIN, precision="fp16", clip_mode="norm", clip=1.0))
    handle = network.stem.weight.register_hook(lambda gradient: gradient * torch.inf)
    before = copy.deepcopy(network.qkv)
    _step(trainer)
    assert same(network.qkv, before)
    assert trainer.state()["scaler/scale"].item() == 32768.0
    handle.remove()
    _step(trainer, number=1)
    assert not same(network.qkv, before)


def test_fp16_clips_gradients_without_their_scale() -> None:
    moved = []
    for precision in ("fp32", "fp16"):
        network = tiny_network(dropout=0.0)
        before = network.stem.weight.detach().clone()
        recipe = replace(PLAIN, precision=precision, clip_mode="norm", clip=1.0, eps=1.0)
        _step(_trainer(network, recipe))  # so large an eps leaves the step's size the gradient's
        moved.append((network.stem.weight.detach() - before).norm())
    torch.testing.assert_close(*moved, rtol=2e-2, atol=0.0)


@pytest.mark.parametrize(
    "changes",
    [{"precision": "bf16"}, {"precision": "fp16"}, {"channels_last": True}],
    ids=["bf16", "fp16", "channels_last"],
)
def test_precision_and_layout_hardly_change_the_loss(changes: dict[str, Any]) -> None:
    plain = _trainer(tiny_network(), PLAIN)
    other = _trainer(tiny_network(), replace(PLAIN, **changes))
    for number in range(3):
        expected = _step(plain, number=number)
        assert _step(other, number=number) == pytest.approx(expected, rel=2e-2)


@pytest.mark.slow
def test_compiled_network_learns_the_same() -> None:
    plain = _trainer(tiny_network(dropout=0.0), PLAIN)
    compiled = _trainer(tiny_network(dropout=0.0), replace(PLAIN, compile=True))
    for number in range(2):
        expected = _step(plain, number=number)
        assert _step(compiled, number=number) == pytest.approx(expected, rel=1e-4)


def test_what_does_not_fit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="4 logits for 7 classes"):
        _step(_trainer(tiny_network(), PLAIN, num_classes=7))
    with pytest.raises(UsageError, match="parts of 3 images cannot be mixed in pairs"):
        _trainer(tiny_network(), replace(MIXED, batch=6, accumulate=2))
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MissingError, match=r"recipe, mixup or cutmix: timm .*archbench\[train\]"):
        _trainer(tiny_network(), MIXED)
    with pytest.raises(MissingError, match="recipe, clip_mode adaptive: timm is not installed"):
        _trainer(tiny_network(), replace(PLAIN, clip_mode="adaptive", clip=0.01))
