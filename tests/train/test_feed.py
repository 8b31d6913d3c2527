from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from archbench.data import Split, normalise
from archbench.errors import UsageError
from archbench.train.feed import Feed, batch_bounds, derived_seed, rate_share
from archbench.train.recipe import Recipe
from tests.train.tiny import tiny_dataset

CPU = torch.device("cpu")


def _epoch(epoch: int, *, seed: int = 0, recipe: Recipe | None = None) -> torch.Tensor:
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


@pytest.mark.parametrize("other", ["epoch", "seed", "recipe"])
def test_epochs_and_seeds_differ(other: str) -> None:
    changed = {
        "epoch": lambda: _epoch(4),
        "seed": lambda: _epoch(3, seed=1),
        "recipe": lambda: _epoch(3, recipe=Recipe(batch=8, seed=1)),
    }[other]()
    assert not torch.equal(_epoch(3), changed)


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


def test_rate_without_warmup_starts_at_the_peak() -> None:
    assert rate_share(0, num_steps=1, warmup=0.0) == 1.0


def test_seeds_of_purposes_and_numbers_differ() -> None:
    seeds = {derived_seed(purpose, a, b) for purpose in "xy" for a in range(9) for b in range(9)}
    assert len(seeds) == 2 * 81
    assert derived_seed("x", 1, 23) != derived_seed("x", 12, 3)
