"""An exact count against what a paper prints of it."""

from __future__ import annotations

import pytest

from archbench.models.catalogue import difference


@pytest.mark.parametrize(
    ("exact", "printed", "kind"),
    [
        (7_777_058, "7.8 M", "rounded"),
        (304_660_832, "305 M", "rounded"),
        (4_500_000_000, "4.5 G", "rounded"),
        (19_997_480, "19.98 M", "differs"),
        (1_127_257_344, "1120 M", "differs"),
        (5_717_416, "5 M", "cut off"),
        (5_717_416, "6 M", "rounded"),
        (86_567_656, "86 M", "cut off"),
        (4_999_999, "6 M", "differs"),
        (6_000_000, "5 M", "differs"),
        (405_321_728, "406 M", "differs"),
    ],
)
def test_what_became_of_the_digits_is_told(exact: int, printed: str, kind: str) -> None:
    assert difference(exact, printed).kind == kind


def test_the_share_is_of_the_printed_number() -> None:
    assert difference(1_100_000, "1 M").share == pytest.approx(0.1)
    assert difference(900_000, "1 M").share == pytest.approx(-0.1)


@pytest.mark.parametrize("text", ["4.53", "4.53G", "x M", "", "4.5 m"])
def test_what_is_no_number_and_unit_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no number and unit"):
        difference(1, text)
