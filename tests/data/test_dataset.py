from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from archbench.data import DataError, DataSet, Split
from archbench.data.dataset import MOST_HELD_OUT, held_out_share, rest, stratified_share

LABELS = st.lists(st.integers(0, 5), max_size=80).map(lambda labels: np.array(labels, np.int64))


@given(LABELS, st.floats(0, 1), st.integers(0, 3))
def test_takes_of_each_class_and_leaves_of_each_class(
    labels: np.ndarray, share: float, seed: int
) -> None:
    taken = stratified_share(labels, share=share, rng=np.random.default_rng(seed))
    left = rest(len(labels), taken)
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


@pytest.mark.parametrize("label", [-1, 10])
def test_a_label_out_of_range_is_no_data_set(digits: DataSet, label: int) -> None:
    labels = digits.test.labels.clone()
    labels[5] = label
    with pytest.raises(DataError, match=f"test: label {label} is out of range; 10 classes take 0"):
        replace(digits, test=Split(digits.test.images, labels))


def test_images_and_labels_must_fit(digits: DataSet) -> None:
    short = Split(digits.train.images[:-1], digits.train.labels)
    with pytest.raises(DataError, match=r"train: images of shape \(2047, 3, 32, 32\) where"):
        replace(digits, train=short)


def test_a_share_moves_to_a_device(digits: DataSet) -> None:
    moved = digits.test.to(torch.device("meta"))
    assert moved.images.device.type == moved.labels.device.type == "meta"
    assert len(moved) == len(digits.test)
