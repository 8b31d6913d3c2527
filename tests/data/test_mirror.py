"""Mirrors that contradict labels are found, and no others."""

import numpy as np
import pytest
import torch

from archbench.data import DataSet
from archbench.data.dataset import Split
from archbench.data.mirror import mirrored_accuracy


def _data(dark: str, *, num: int = 60, seed: int = 0) -> DataSet:
    """Two classes of noise, of which one is darker on the side named: left or top."""
    rng = np.random.default_rng(seed)
    ramp = np.linspace(0.3, 1, 16)
    shade = np.tile(ramp, (16, 1)) if dark == "left" else np.tile(ramp[:, None], (1, 16))
    labels = np.arange(3 * num) % 2
    noise = rng.uniform(100, 255, (3 * num, 3, 16, 16))
    flipped = shade[:, ::-1] if dark == "left" else shade[::-1]
    images = noise * np.where(labels[:, None, None, None] == 0, shade, flipped)
    split = [
        Split(torch.from_numpy(images[part].astype(np.uint8)), torch.from_numpy(labels[part]))
        for part in (slice(0, num), slice(num, 2 * num), slice(2 * num, None))
    ]
    return DataSet(
        name="noise",
        resolution=16,
        class_names=("a", "b"),
        train=split[0],
        validation=split[1],
        test=split[2],
        description="noise",
        digest="0" * 16,
        flip=True,
    )


def test_classes_that_are_mirrors_of_each_other_are_found() -> None:
    assert mirrored_accuracy(_data("left")) == (1.0, 0.0)


@pytest.mark.parametrize("seed", range(3))
def test_classes_that_mirrors_keep_are_not(seed: int) -> None:
    assert mirrored_accuracy(_data("top", seed=seed)) is None
    assert mirrored_accuracy(_data("none", seed=seed)) is None
