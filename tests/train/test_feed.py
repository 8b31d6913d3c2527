from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from archbench.data import Split, normalise
from archbench.errors import UsageError
from archbench.train.feed import Feed
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


def test_order_of_the_images_changes_from_epoch_to_epoch() -> None:
    feed = Feed(tiny_dataset(), recipe=Recipe(batch=8), seed=0, device=CPU)
    labels = [torch.cat([labels for _, labels in feed.epoch(epoch)]) for epoch in (0, 1)]
    assert not torch.equal(*labels)


def test_one_training_image_is_refused() -> None:
    dataset = tiny_dataset()
    single = Split(dataset.train.images[:1], dataset.train.labels[:1])
    with pytest.raises(UsageError, match="data: 1 training images are too few; use 2 or more"):
        Feed(replace(dataset, train=single), recipe=Recipe(), seed=0, device=CPU)
