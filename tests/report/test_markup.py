"""Data gets into a page as text, whatever it holds."""

from html import unescape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archbench.report.html import Markup, html, one_line, visible

from .hostile import PAYLOADS


@pytest.mark.parametrize("payload", PAYLOADS)
def test_no_character_with_a_meaning_survives(payload: str) -> None:
    written = html('<td class="{}">{}</td>', payload, payload)
    inside = written.removeprefix('<td class="').removesuffix("</td>").replace('">', "", 1)
    assert not set(inside) & set("<>\"'`")


@given(st.text())
def test_escaped_text_reads_as_it_was_if_all_of_it_is_visible(text: str) -> None:
    assert unescape(html("{}", text)) == visible(text)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (html("<b>{}</b>", "&"), "<b>&amp;</b>"),  # not escaped again
        ([html("<b>{}</b>", 1), "<"], "<b>1</b>&lt;"),
        ("{}{0}%s", "{}{0}%s"),
    ],
    ids=["markup", "sequence", "braces"],
)
def test_a_value_stands_in_its_place(value: object, written: str) -> None:
    shown = html("<p>{}</p>", value)
    assert isinstance(shown, Markup)
    assert shown == f"<p>{written}</p>"


def test_places_and_values_must_be_as_many() -> None:
    with pytest.raises(ValueError, match="1 values for 2 places"):
        html("{}{}", "only one")


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("plain", "plain"),
        ("two\nlines\tapart", "two\nlines\tapart"),
        ("naïve 網 ℝ", "naïve 網 ℝ"),
        ("\u202eevil", "\\u202eevil"),
        ("zero\u200bwidth", "zero\\u200bwidth"),
        ("\x00\x1b[31m", "\\u0000\\u001b[31m"),
        ("\ud800", "\\ud800"),
        ("\U000e0041", "\\U000e0041"),
    ],
)
def test_characters_that_hide_are_spelt_out(text: str, seen: str) -> None:
    assert visible(text) == seen


@given(st.text())
def test_visible_text_can_be_written_to_any_file(text: str) -> None:
    visible(text).encode()


def test_one_line_joins_white_space_and_cuts() -> None:
    assert one_line(" a\n\tb ") == "a b"
    assert one_line("x" * 400, length=10) == "x" * 9 + "…"
