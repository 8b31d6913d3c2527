"""Numbers are printed with their unit and no digit more than is known."""

from collections.abc import Callable

import pytest

from archbench.report.number import duration, percent, short, with_interval


@pytest.mark.parametrize(
    ("told", "numbers", "text"),
    [
        (with_interval, (0.51234, 0.51199, 0.5127), "0.5123 (0.5120–0.5127)"),
        (with_interval, (312.4, 290.0, 330.0), "312 (290–330)"),
        (with_interval, (1.0, 1.0, 1.0), "1.000 (1.000–1.000)"),
        (with_interval, (4.2134, None, None), "4.21"),
        (with_interval, (4.2134, 4.1, None), "4.21"),
        (with_interval, (None, None, None), "none"),
        (short, (0,), "0"),
        (short, (999,), "999"),
        (short, (1000,), "1.00 k"),
        (short, (68_870,), "68.9 k"),
        (short, (999_999,), "1.00 M"),
        (short, (4_566_089_216,), "4.57 G"),
        (short, (3.5e12,), "3.50 T"),
        (short, (0.25,), "0.25"),
        (percent, (0.5,), "50.0 %"),
        (duration, (0.42,), "0.4 s"),
        (duration, (42,), "42 s"),
        (duration, (3600,), "1 h 0 min"),
        (duration, (59.7,), "1 min 0 s"),
    ],
)
def test_a_number_has_its_unit_and_the_digits_that_are_known(
    told: Callable[..., str], numbers: tuple[float, ...], text: str
) -> None:
    assert told(*numbers) == text
