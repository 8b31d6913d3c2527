import copy
import math
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from archbench.data import Split, normalise
from archbench.errors import UsageError
from archbench.train.recipe import Recipe
from archbench.train.step import (
    Feed,
    FlatParameters,
    batch_bounds,
    class_weights,
    decayed_and_others,
    derived_seed,
    rate_share,
)
from tests.train.tiny import RESOLUTION, WIDTH, tiny_batch, tiny_dataset, tiny_network, tiny_trainer

CPU = torch.device("cpu")


def test_steps_are_adamw_on_the_mean_loss_of_all_logits() -> None:
    recipe = Recipe(clip=0.1)
    network, expected = tiny_network(dropout=0.0), tiny_network(dropout=0.0)
    trainer = tiny_trainer(network, recipe=recipe)
    decayed, others = decayed_and_others(expected)
    groups = [{"params": decayed, "weight_decay": 0.05}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups)
    for size, share in ((8, 0.5), (4, 1.0), (6, 0.3)):
        images, labels = tiny_batch(size)
        loss, norm = trainer.step(images, labels, share=share)
        losses = [F.cross_entropy(o, labels, label_smoothing=0.05) for o in expected(images)]
        optimizer.zero_grad()
        reference = (losses[0] + losses[1]) / 2
        reference.backward()
        reference_norm = nn.utils.clip_grad_norm_(expected.parameters(), 0.1)
        for group in optimizer.param_groups:
            group["lr"] = share * recipe.learning_rate(WIDTH)
        optimizer.step()
        assert float(loss) == pytest.approx(reference.item())
        assert float(norm) == pytest.approx(float(reference_norm))
        assert norm > 0.1  # or nothing was clipped
    for name, parameter in expected.named_parameters():
        torch.testing.assert_close(network.get_parameter(name), parameter, msg=name)


def test_other_number_of_logits_than_classes_is_refused() -> None:
    images, labels = tiny_batch()
    with pytest.raises(UsageError, match="network: 4 logits for 10 classes; build it with"):
        tiny_trainer(tiny_network(), num_classes=10).step(images, labels, share=1.0)


def _gradients(network: nn.Module) -> dict[str, Tensor]:
    images = torch.randn(4, 3, RESOLUTION, RESOLUTION, generator=torch.Generator().manual_seed(1))
    network.eval()
    network(images).square().sum().backward()
    found = {name: p.grad for name, p in network.named_parameters()}
    return {name: gradient.clone() for name, gradient in found.items() if gradient is not None}


def test_only_weights_of_linears_and_convolutions_decay() -> None:
    network = tiny_network()
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    decayed, others = decayed_and_others(network)
    weights = {f"{layer}.weight" for layer in ("stem", "qkv", "heads.0", "heads.1")}
    assert {names[id(p)] for p in decayed} == weights
    assert len(decayed) + len(others) == len(names)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_network_computes_and_learns_as_before(memory_format: torch.memory_format) -> None:
    expected = tiny_network().to(memory_format=memory_format)
    network = copy.deepcopy(expected)
    flat = FlatParameters(network)
    for (name, one), other in zip(network.named_parameters(), expected.parameters(), strict=True):
        assert torch.equal(one, other), name
        assert one.stride() == other.stride(), name
        assert one.data_ptr() % 64 == 0, name
    mine, theirs = _gradients(network), _gradients(expected)
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    squares = sum(float(gradient.double().square().sum()) for gradient in theirs.values())
    assert float(flat.gradient.norm()) == pytest.approx(squares**0.5)


def test_clipping_scales_a_long_gradient_and_leaves_a_short_one() -> None:
    flat = FlatParameters(nn.Linear(2, 1, bias=False))
    flat.gradient[:2] = torch.tensor([3.0, 4.0])
    assert float(flat.clip(10.0)) == 5.0
    assert flat.gradient[:2].tolist() == [3.0, 4.0]
    assert float(flat.clip(0.5)) == 5.0
    assert flat.gradient[:2].tolist() == pytest.approx([0.3, 0.4])


def test_parameters_that_are_not_trained_stay_where_they_are() -> None:
    network = nn.Linear(2, 3)
    network.bias.requires_grad_(False)
    place = network.bias.data_ptr()
    FlatParameters(network)
    assert network.bias.data_ptr() == place
    assert network.bias.grad is None


@pytest.mark.parametrize("types", [(), (torch.float32, torch.float64)])
def test_parameters_of_no_type_or_of_two_are_refused(types: tuple[torch.dtype, ...]) -> None:
    network = nn.Sequential(*(nn.Linear(2, 2, dtype=dtype) for dtype in types))
    with pytest.raises(UsageError, match=f"parameters of {len(types)} types and devices"):
        FlatParameters(network)


def _epoch(epoch: int, *, seed: int = 0, recipe: Recipe | None = None) -> Tensor:
    feed = Feed(tiny_dataset(), recipe=recipe or Recipe(batch=8), seed=seed, device=CPU)
    return torch.cat([images for images, _ in feed.epoch(epoch)])


def test_epoch_shows_every_image_once_with_its_label() -> None:
    dataset = tiny_dataset()
    feed = Feed(dataset, recipe=Recipe(batch=8, shift=0.0), seed=0, device=CPU)
    batches = list(feed.epoch(0))
    assert len(batches) == feed.num_steps == 6
    images = torch.cat([images for images, _ in batches])
    labels = torch.cat([labels for _, labels in batches])
    distance = torch.cdist(images.flatten(1), normalise(dataset.train.images).flatten(1))
    found = distance.argmin(dim=1)
    assert sorted(found.tolist()) == list(range(48))
    assert float(distance.amin()) == 0.0
    assert torch.equal(dataset.train.labels[found], labels)


@pytest.mark.parametrize("other", [{"epoch": 4}, {"seed": 1}, {"recipe": Recipe(batch=8, seed=1)}])
def test_epochs_and_seeds_differ(other: dict[str, Any]) -> None:
    assert not torch.equal(_epoch(3), _epoch(**{"epoch": 3, **other}))


def test_epochs_of_fewer_images_walk_through_all_of_them() -> None:
    dataset = tiny_dataset()

    def seen(images: int | None, epochs: int) -> list[int]:
        recipe = Recipe(batch=8, shift=0.0, images=images)
        feed = Feed(dataset, recipe=recipe, seed=0, device=CPU)
        return [
            sum(image.flatten().tolist())
            for epoch in range(epochs)
            for batch, _ in feed.epoch(epoch)
            for image in batch
        ]

    assert seen(20, 12) == seen(None, 5), "240 images, in the same order"
    assert seen(500, 1) == seen(None, 1), "no epoch is more than all"


def test_rarer_classes_weigh_more_by_the_square_root() -> None:
    labels = torch.tensor([0] * 16 + [1] * 4 + [2])
    assert class_weights(labels, num_classes=4).tolist() == [0.25, 0.5, 1.0, 1.0]
    weights = class_weights(labels, num_classes=4)
    images, labels = tiny_batch()
    network = tiny_network(dropout=0.0)
    expected = [F.cross_entropy(o, labels, weights, label_smoothing=0.05) for o in network(images)]
    trainer = tiny_trainer(network, class_weights=weights)
    loss, _ = trainer.step(images, labels, share=1.0)
    assert float(loss) == pytest.approx((expected[0] + expected[1]).item() / 2)


def test_one_training_image_is_refused() -> None:
    dataset = tiny_dataset()
    single = Split(dataset.train.images[:1], dataset.train.labels[:1])
    with pytest.raises(UsageError, match="data: 1 training images are too few; use 2 or more"):
        Feed(replace(dataset, train=single), recipe=Recipe(), seed=0, device=CPU)


@given(st.integers(2, 400), st.integers(2, 50))
def test_every_image_is_in_one_batch_and_none_is_alone(num_images: int, batch: int) -> None:
    bounds = batch_bounds(num_images, batch=batch)
    assert [i for begin, end in bounds for i in range(begin, end)] == list(range(num_images))
    assert all(2 <= end - begin <= batch + 1 for begin, end in bounds)


def test_remainder_is_a_batch_unless_it_is_one_image() -> None:
    assert batch_bounds(9, batch=4) == [(0, 4), (4, 9)]
    assert batch_bounds(10, batch=4) == [(0, 4), (4, 8), (8, 10)]


def test_rate_rises_linearly_and_falls_as_a_cosine() -> None:
    shares = [rate_share(step, num_steps=100, warmup=0.1) for step in range(100)]
    assert shares[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert shares[10] == 1.0
    assert shares[55] == pytest.approx(0.5)
    assert shares[99] == pytest.approx(0.5 * (1 + math.cos(math.pi * 89 / 90)))
    assert shares[10:] == sorted(shares[10:], reverse=True)
    assert rate_share(0, num_steps=1, warmup=0.0) == 1.0


def test_seeds_of_purposes_and_numbers_differ() -> None:
    seeds = {derived_seed(purpose, a, b) for purpose in "xy" for a in range(9) for b in range(9)}
    assert len(seeds) == 2 * 81
    assert derived_seed("x", 1, 23) != derived_seed("x", 12, 3)


@pytest.mark.parametrize("flip", [True, False])
def test_images_are_mirrored_where_the_data_allow_it(flip: bool) -> None:
    dataset = tiny_dataset(flip=flip)
    recipe = Recipe(rungs=(1,), batch=8, shift=0)
    feed = Feed(dataset, recipe=recipe, seed=0, device=torch.device("cpu"))
    known = {image.numpy().tobytes() for image in normalise(dataset.train.images)}
    seen = [image.contiguous().numpy().tobytes() for images, _ in feed.epoch(0) for image in images]
    assert all(image in known for image in seen) is not flip
