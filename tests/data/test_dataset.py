from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from archbench.data.dataset import MOST_HELD_OUT, held_out_share, stratified_share

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
