"""What does not fit loses seeds first, then epochs, and is refused when nothing is left."""

from __future__ import annotations

from dataclasses import replace

import pytest

from archbench.errors import UsageError
from archbench.search.ablation.request import Workload, within

WORK = Workload(forms=8, seeds=5, epochs=10, epoch_seconds=6.0, workers=2, before_seconds=60)


def test_time_is_that_of_full_rounds() -> None:
    assert WORK.seconds == 60 + 20 * 60
    assert replace(WORK, forms=7, seeds=3).seconds == 60 + 11 * 60


def test_without_a_limit_nothing_is_left_out() -> None:
    assert within(WORK, max_seconds=None) is WORK
    assert within(WORK, max_seconds=WORK.seconds) == WORK


@pytest.mark.parametrize(
    ("seconds", "seeds", "epochs"),
    [(1260, 5, 10), (1200, 4, 10), (840, 3, 10), (600, 3, 7), (210, 3, 2), (170, 2, 2)],
)
def test_seeds_go_first_then_epochs_then_the_third_seed(
    seconds: float, seeds: int, epochs: int
) -> None:
    found = within(WORK, max_seconds=seconds)
    assert (found.seeds, found.epochs) == (seeds, epochs)
    assert found.seconds <= seconds


@pytest.mark.parametrize(
    ("work", "told"),
    [
        (WORK, "2 minutes are too few: 2 seeds of 2 epochs take about 3"),
        (replace(WORK, seeds=1, epochs=1, forms=99), "1 seeds of 1 epochs"),
    ],
    ids=["too little time", "no more than was asked for"],
)
def test_too_little_time_is_refused_with_what_it_takes(work: Workload, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        within(work, max_seconds=120)
