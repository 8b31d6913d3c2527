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
    ("minutes", "seeds", "epochs"), [(21, 5, 10), (20, 4, 10), (14, 3, 10), (10, 3, 7), (3.5, 3, 2)]
)
def test_seeds_go_first_and_then_epochs(minutes: float, seeds: int, epochs: int) -> None:
    found = within(WORK, max_seconds=60 * minutes)
    assert (found.seeds, found.epochs) == (seeds, epochs)
    assert found.seconds <= 60 * minutes


def test_third_seed_goes_last() -> None:
    found = within(WORK, max_seconds=170)
    assert (found.seeds, found.epochs) == (2, 2)


def test_too_little_time_is_refused_with_what_it_takes() -> None:
    with pytest.raises(UsageError, match="2 minutes are too few: 2 seeds of 2 epochs take about 3"):
        within(WORK, max_seconds=120)


def test_fewer_than_were_asked_for_are_never_made_more() -> None:
    work = replace(WORK, seeds=1, epochs=1)
    with pytest.raises(UsageError, match="1 seeds of 1 epochs"):
        within(work, max_seconds=1)
