"""A finding is told from the same parts in a terminal, on a page and as files."""

from __future__ import annotations

import json
from pathlib import Path

from archbench.report.element import (
    Cell,
    Code,
    FactList,
    Fold,
    Groups,
    Lines,
    Part,
    Plot,
    ReportTable,
    joined,
    page_of,
)
from archbench.report.finding import Finding, Page
from archbench.report.html import html

from .browser import read
from .hostile import PAYLOADS

TABLE = ReportTable(
    titles=("network", "latency, ms"),
    rows=[("<a>", Cell("4.21", small="(4.18–4.30)", value=4.2134)), ("b", Cell(value=""))],
    align="nr",
    notes=["b was not timed"],
    is_sortable=True,
    ids=["first", "second"],
)


def test_a_table_is_the_same_in_a_terminal_and_on_a_page() -> None:
    assert TABLE.text() == (
        "network       latency, ms\n"
        "-------  ----------------\n"
        "<a>      4.21 (4.18–4.30)\n"
        "b                       –\n"
        "b was not timed"
    )
    page = read(TABLE.html())
    assert page.within("td") == ["<a>", "4.21 ", "b", "–"]
    assert page.within("small") == ["ms", "(4.18–4.30)"]
    assert page.attributes("id") == ["first", "second"]
    assert page.attributes("data-value") == ["4.2134", ""]


def test_parts_stand_apart_in_a_terminal_and_markup_is_for_pages_alone() -> None:
    parts: list[Part] = [
        "one sentence",
        html("<h3>{}</h3>", "for pages"),
        Lines(["one", "", "another"]),
        FactList({"name": "toy", "origin": ""}, left=6),
        Code("a: 1\n  b"),
        Fold(title="folded", parts=["away"]),
        Groups({"Machine": {"memory_bytes": 2**30, "cores": 2}, "Nothing": {}}),
        Groups({"Plan": {"seconds": {"fp32": 0.021417, "bf16": 1}, "notes": ["a", "b"]}}),
    ]
    assert joined(parts) == "one sentence\n\none\nanother\n\nname  toy\n\na: 1\n  b"
    page = read(page_of(parts))
    assert page.within("p") == ["one sentence", "One.", "Another.", "away"]
    assert page.within("h3") == ["for pages", "Machine", "Plan"]
    assert page.within("dd") == ["toy", "1.0 GiB", "2", "fp32 0.02142, bf16 1", "a; b"]


def test_no_name_becomes_markup_whatever_part_it_stands_in() -> None:
    for payload in PAYLOADS:
        parts: list[Part] = [
            payload,
            Lines([payload]),
            FactList({payload: payload}),
            Code(payload),
            ReportTable(
                titles=[payload], rows=[[Cell(payload, small=payload, hint=payload)]], align="r"
            ),
            Fold(title=payload, parts=[payload]),
            Groups({payload: {payload: payload}}),
        ]
        tags = {tag for tag, _ in read(page_of(parts)).elements}
        assert tags <= {
            "p", "dl", "dt", "dd", "div", "pre", "table", "thead", "tbody", "tr", "th", "td",
            "small", "details", "summary", "h3",
        }  # fmt: skip


def test_a_section_without_content_is_left_out_and_files_are_written(tmp_path: Path) -> None:
    nothing = Plot(draw=lambda width: None, title="", caption="")
    page = Page(
        kind="ablation",
        name="toy",
        verdict="Nothing yet.",
        key_figures=[("trials", "3", "")],
        sections={"plot": ("Plot", [nothing]), "notes": ("Notes", ["one"])},
    )
    found = Finding(document={"schema": "x/1"}, parts=["one"], page=page)
    files = found.write(tmp_path / "report")
    assert [file.name for file in files] == ["index.html", "ablation.json"]
    assert json.loads(files[1].read_text()) == {"schema": "x/1"}
    assert read(files[0].read_text()).within("h2") == ["Notes"]
    assert found.text() == "one"
