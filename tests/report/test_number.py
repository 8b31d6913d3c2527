"""Numbers are printed with their unit and no digit more than is known."""

from __future__ import annotations

import pytest

from archbench.report.number import duration, percent, short, with_interval


@pytest.mark.parametrize(
    ("value", "low", "high", "text"),
    [
        (4.2134, 4.18, 4.2987, "4.21 (4.18–4.30)"),
        (0.51234, 0.51199, 0.5127, "0.5123 (0.5120–0.5127)"),
        (312.4, 290.0, 330.0, "312 (290–330)"),
        (1.0, 1.0, 1.0, "1.000 (1.000–1.000)"),
        (4.2134, None, None, "4.21"),
        (4.2134, 4.1, None, "4.21"),
    ],
)
def test_an_interval_says_how_many_digits(
    value: float, low: float | None, high: float | None, text: str
) -> None:
    assert with_interval(value, low, high) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1.00 k"),
        (68_870, "68.9 k"),
        (304_660_832, "305 M"),
        (999_999, "1.00 M"),
        (4_566_089_216, "4.57 G"),
        (3.5e12, "3.50 T"),
        (0.25, "0.25"),
    ],
)
def test_a_count_is_shortened_to_three_digits(value: float, text: str) -> None:
    assert short(value) == text


def test_a_share_is_a_percentage_with_its_error() -> None:
    assert percent(0.8125, 0.0123) == "81.2 ± 1.2 %"
    assert percent(0.5) == "50.0 %"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.42, "0.4 s"), (42, "42 s"), (247, "4 min 7 s"), (3600, "1 h 0 min"), (59.7, "1 min 0 s")],
)
def test_a_duration_has_its_two_largest_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text
