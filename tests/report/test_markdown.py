"""The front pastes into Markdown as a table, whatever its texts hold."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from archbench.report.formats import markdown

from . import plausible
from .hostile import PAYLOADS


def test_without_a_front_it_says_why() -> None:
    study = plausible.study(records=[])
    text = markdown.content(study).decode()
    assert text == "# quickstart\n\nThere is no front: no design has been tried yet.\n"


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_payload_stays_text(payload: str) -> None:
    record = next(record for record in plausible.trials() if record.state == "complete")
    head = plausible.header(name=payload, space_name=payload, conditions={"device": payload})
    study = plausible.study(records=[replace(record, digest=payload)], head=head)
    text = markdown.content(study).decode()
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 3
    outside_code = re.sub(r"`[^`]*`", "", text.replace("\\`", ""))
    assert "<" not in outside_code
    for row in rows:
        assert len(re.findall(r"(?<!\\)\|", row)) == 11


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("a|b", "a\\|b"),
        ("*b* _i_", "\\*b\\* \\_i\\_"),
        ("[x](javascript:1)", "\\[x\\](javascript:1)"),
        ("<b>&amp;", "&lt;b&gt;&amp;amp;"),
        ("see https://example.org", "see https\\://example.org"),
        ("www.example.org", "www\\.example.org"),
        ("@someone #12", "\\@someone \\#12"),
        ("- item", "&#45; item"),
        ("12. item", "&#49;2. item"),
        ("=====", "&#61;===="),
        ("7 of 25: 0.62 ms, --data folder:PATH", "7 of 25: 0.62 ms, --data folder:PATH"),
        ("two\nlines", "two lines"),
    ],
)
def test_what_means_something_is_escaped_and_the_rest_is_left(text: str, written: str) -> None:
    assert markdown.escaped(text) == written


def test_code_may_hold_backticks() -> None:
    study = plausible.study(path=Path("results/a`b"))
    text = markdown.content(study).decode()
    assert "``" in text.splitlines()[-1]
