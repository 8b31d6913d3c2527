"""Tables and streams as a person and a terminal meet them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archbench.cli import console
from archbench.report.text import clean, table


def test_a_table_is_aligned_and_ruled() -> None:
    text = table({"name": "l", "MACs": "r"}, [("a", "1"), ("bcdef", "10000")])
    assert text == "name    MACs\n-----  -----\na          1\nbcdef  10000"


@given(st.text())
def test_nothing_printed_can_steer_the_terminal(text: str) -> None:
    assert not any(sign < " " and sign not in "\n\t" for sign in clean(text))
    assert "\x7f" not in clean(text)


def test_a_cell_stays_on_its_line() -> None:
    assert len(table({"a": "l"}, [("x\ny",)]).split("\n")) == 3


def test_a_document_refuses_what_is_not_json() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        console.document({"value": float("nan")})
