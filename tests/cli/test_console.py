"""Numbers and tables as a person reads them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archbench.cli import console


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (999, "999"),
        (1536, "1.54 k"),
        (7_777_058, "7.78 M"),
        (19_997_480, "20.00 M"),
        (304_660_832, "304.7 M"),
        (4_566_089_216, "4.57 G"),
        (999_960, "1.00 M"),
        (999_996_000, "1.00 G"),
        (2e15, "2000.0 T"),
    ],
)
def test_quantities_carry_the_unit_that_reads_best(value: float, text: str) -> None:
    assert console.quantity(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ((4.2134, 4.18, 4.2999), "4.21 ms (4.18-4.30)"),
        ((0.5512, 0.549, 0.5533), "0.551 ms (0.549-0.553)"),
        ((306.4, 301.2, 311.9), "306 ms (301-312)"),
        ((41.26, 40.0, 42.0), "41.3 ms (40.0-42.0)"),
    ],
)
def test_a_number_and_its_interval_share_their_decimals(
    value: tuple[float, float, float], text: str
) -> None:
    assert console.with_interval(*value, unit="ms") == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59.6, "1 min 00 s"), (200, "3 min 20 s"), (7500, "2 h 05 min")],
)
def test_durations_are_said_in_the_two_largest_units(seconds: float, text: str) -> None:
    assert console.duration(seconds) == text


def test_a_table_is_aligned_and_ruled() -> None:
    text = console.table(("name", "MACs"), [("a", "1"), ("bcdef", "10000")], align="lr")
    assert text == "name    MACs\n-----  -----\na          1\nbcdef  10000"


@given(st.text())
def test_nothing_printed_can_steer_the_terminal(text: str) -> None:
    assert not any(sign < " " and sign not in "\n\t" for sign in console.clean(text))
    assert "\x7f" not in console.clean(text)


def test_a_cell_stays_on_its_line() -> None:
    assert len(console.table(("a",), [("x\ny",)], align="l").split("\n")) == 3


def test_a_document_refuses_what_is_not_json() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        console.document({"value": float("nan")})
