import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from archbench.data.dataset import (
    MOST_HELD_OUT,
    PIXEL_MEAN,
    PIXEL_STD,
    augment,
    held_out_share,
    normalise,
    stratified_share,
)

LABELS = st.lists(st.integers(0, 5), max_size=80).map(lambda labels: np.array(labels, np.int64))


@given(LABELS, st.floats(0, 1), st.integers(0, 3))
def test_takes_of_each_class_and_leaves_of_each_class(
    labels: np.ndarray, share: float, seed: int
) -> None:
    taken = stratified_share(labels, share=share, rng=np.random.default_rng(seed))
    left = np.delete(np.arange(len(labels)), taken)
    assert np.array_equal(np.sort(np.concatenate([taken, left])), np.arange(len(labels)))
    for label in np.unique(labels):
        count = int((labels == label).sum())
        num_taken = int((labels[taken] == label).sum())
        assert (num_taken >= 1) == (count >= 2)
        assert num_taken < count
        assert abs(num_taken - share * count) <= 1


def test_large_sets_hold_out_no_more_than_helps() -> None:
    labels = np.arange(1_000_000) % 100
    assert len(held_out_share(labels, seed=0, number=0)) == MOST_HELD_OUT


def _images(count: int = 6, size: int = 8) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (count, 3, size, size), generator=generator, dtype=torch.uint8)


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_normalises_by_the_stated_rule() -> None:
    pixels = normalise(torch.tensor([0, 51, 255], dtype=torch.uint8))
    expected = (torch.tensor([0.0, 0.2, 1.0]) - PIXEL_MEAN) / PIXEL_STD
    assert torch.allclose(pixels, expected, atol=1e-6)
    assert pixels.dtype == torch.float32


def test_without_shift_and_flip_only_normalises_and_the_bytes_stay() -> None:
    images = _images()
    before = images.clone()
    same = augment(images, generator=_generator(), shift=0, flip=False)
    assert torch.equal(same, normalise(images))
    assert torch.equal(images, before)


@pytest.mark.parametrize("flip", [False, True])
def test_gives_each_image_moved_within_its_reflection(flip: bool) -> None:
    images, shift = _images(count=40), 2
    moved = augment(images, generator=_generator(), shift=shift, flip=flip)
    padded = F.pad(normalise(images), (shift,) * 4, mode="reflect")
    size = images.shape[-1]
    seen = set()
    for image, source in zip(moved, padded, strict=True):
        moves = [
            (down, right, mirrored)
            for down in range(2 * shift + 1)
            for right in range(2 * shift + 1)
            for mirrored in (False, True)
            for window in (source[:, down : down + size, right : right + size],)
            if torch.equal(image, window.flip(-1) if mirrored else window)
        ]
        assert len(moves) == 1
        seen.add(moves[0])
    assert {down for down, _, _ in seen} == {right for _, right, _ in seen} == set(range(5))
    assert {mirrored for _, _, mirrored in seen} == {False, flip}


def test_the_generator_decides() -> None:
    images = _images()
    first, same, other = (
        augment(images, generator=_generator(seed), shift=2, flip=True) for seed in (0, 0, 1)
    )
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_a_shift_beyond_the_image_keeps_reflecting() -> None:
    images = torch.arange(3, dtype=torch.uint8).repeat(50, 3, 3, 1)
    moved = augment(images, generator=_generator(), shift=20, flip=False)
    rows = {tuple(row) for row in moved[:, 0, 0].tolist()}
    waves = [0, 1, 2, 1] * 2
    expected = normalise(torch.tensor([waves[i : i + 3] for i in range(4)], dtype=torch.uint8))
    assert rows == {tuple(row) for row in expected.tolist()}


def test_maps_need_not_be_square_and_lie_in_channels_last_memory() -> None:
    moved = augment(_images()[:, :, :, :5], generator=_generator(), shift=3, flip=True)
    assert moved.shape == (6, 3, 8, 5)
    assert moved.is_contiguous(memory_format=torch.channels_last)
