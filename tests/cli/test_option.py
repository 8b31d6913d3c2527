"""What the options take, and how they refuse."""

import click
import pytest

from archbench.cli import option


@pytest.mark.parametrize(("text", "value"), [("1", (1,)), ("1,16", (1, 16)), ("8, 2", (8, 2))])
def test_wholes_are_separated_by_commas(text: str, value: tuple[int, ...]) -> None:
    assert option.batches(text) == value


@pytest.mark.parametrize("text", ["", "0", "-1", "1.5", "1,,2", "1;2", "x", "²", "9" * 5000])
def test_what_is_no_whole_number_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is not a whole number from 1 to 65,536"):
        option.batches(text)


@pytest.mark.parametrize(("text", "value"), [("224", (224, 224)), ("160x224", (160, 224))])
def test_a_resolution_is_a_side_or_height_and_width(text: str, value: tuple[int, int]) -> None:
    assert option.pixels(text) == value


@pytest.mark.parametrize(("text", "value"), [("5", 5.0), ("0.5ms", 0.5), ("0.1 s", 100.0)])
def test_a_latency_is_in_milliseconds_unless_it_says_seconds(text: str, value: float) -> None:
    assert option.milliseconds(text) == value


@pytest.mark.parametrize("text", ["", "0", "ms", "-1", "5m", "5 us", "1e3"])
def test_what_is_no_latency_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is not a latency such as 5 or 5ms"):
        option.milliseconds(text)
