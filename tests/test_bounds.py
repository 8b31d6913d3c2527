"""Numbers out of bounds are refused in a sentence, wherever they come from."""

import math
from dataclasses import replace

import pytest

from archbench.analysis.pick import pick
from archbench.analysis.wish import Wish
from archbench.bounds import BOUNDS, is_finite, require_memory, require_within
from archbench.errors import UsageError
from archbench.space.sections import SearchSection, override


@pytest.mark.parametrize("name", sorted(BOUNDS))
def test_both_ends_are_allowed_and_nothing_beyond(name: str) -> None:
    for end, beyond in zip(BOUNDS[name], (-1, 1), strict=True):
        require_within(name, end, place="x")
        with pytest.raises(UsageError, match=r"x: -?[\d,]+ is not from"):
            require_within(name, end + beyond, place="x")


def test_numbers_that_nothing_can_be_computed_with_are_known() -> None:
    assert all(map(is_finite, (0, -1.5, 10**29, 1e30)))
    assert not any(map(is_finite, (math.inf, -math.inf, math.nan, 10**400)))


def test_images_that_fill_the_memory_are_refused() -> None:
    require_memory(64, 224, 224, has=2**30, place="batch")
    with pytest.raises(UsageError, match=r"1,000 images of 224x224 px fill 0.6 GiB of the 1.0 GiB"):
        require_memory(1000, 224, 224, has=2**30, place="batch")


@pytest.mark.parametrize("value", [math.inf, math.nan, 10**400])
def test_python_may_not_say_more_than_the_command_line(value: float) -> None:
    with pytest.raises(UsageError, match=r"--time: .* is not a number above 0"):
        override(SearchSection(), time_limit_s=value)
    with pytest.raises(UsageError, match="--trials"):
        override(SearchSection(), trials=value)
    with pytest.raises(UsageError, match=r"latency_ms: .* is not a finite number"):
        pick(None, replace(Wish(), limits={"latency_ms": value}))  # type: ignore[arg-type]
