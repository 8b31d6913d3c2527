"""A finding is told from the same parts in a terminal, on a page and as files."""

import json
from pathlib import Path

from archbench.report.element import (
    Cell,
    Code,
    FactList,
    Lines,
    Part,
    ReportTable,
    fold,
    groups,
    joined,
    page_of,
    plot,
)
from archbench.report.finding import Finding, page
from archbench.report.html import html

from .browser import read
from .hostile import PAYLOADS


def test_a_table_is_the_same_in_a_terminal_and_on_a_page() -> None:
    shown = ReportTable(
        [
            {"network": "<a>", "latency, ms": Cell("4.21", small="(4.18–4.30)", value=4.2134)},
            {"network": "b", "latency, ms": Cell(value="")},
        ],
        align="nr",
        notes=["b was not timed"],
        is_sortable=True,
        ids=["first", "second"],
    )
    assert shown.text() == (
        "network       latency, ms\n"
        "-------  ----------------\n"
        "<a>      4.21 (4.18–4.30)\n"
        "b                       –\n"
        "b was not timed"
    )
    seen = read(shown.html())
    assert seen.within("td") == ["<a>", "4.21 ", "b", "–"]
    assert seen.within("small") == ["ms", "(4.18–4.30)"]
    assert seen.attributes("id") == ["first", "second"]
    assert seen.attributes("data-value") == ["4.2134", ""]


def test_a_terminal_has_headings_and_leaves_empty_columns_out_where_asked() -> None:
    rows: list[dict[str, object] | str] = ["a knob", {"change": 1, "time": ""}]
    assert ReportTable(rows, align="lr", leaves_out=True).text() == "change\n------\na knob\n1"
    assert ReportTable([], align="lr").text() == ReportTable([], align="lr").html() == ""


def test_parts_stand_apart_in_a_terminal_and_markup_is_for_pages_alone() -> None:
    parts: list[Part] = [
        "one sentence",
        html("<h3>{}</h3>", "for pages"),
        Lines(["one", "", "another"]),
        FactList({"name": "toy", "origin": ""}, left=6),
        Code("a: 1\n  b"),
        fold("folded", ["away"]),
        groups({"Machine": {"memory_bytes": 2**30, "cores": 2}, "Nothing": {}}),
        groups({"Plan": {"seconds": {"fp32": 0.021417, "bf16": 1}, "notes": ["a", "b"]}}),
    ]
    assert joined(parts) == "one sentence\n\none\nanother\n\nname  toy\n\na: 1\n  b"
    seen = read(page_of(parts))
    assert seen.within("p") == ["one sentence", "One.", "Another.", "away"]
    assert seen.within("h3") == ["for pages", "Machine", "Plan"]
    assert seen.within("dd") == ["toy", "1.0 GiB", "2", "fp32 0.02142, bf16 1", "a; b"]


def test_no_name_becomes_markup_whatever_part_it_stands_in() -> None:
    for payload in PAYLOADS:
        parts: list[Part] = [
            payload,
            Lines([payload]),
            FactList({payload: payload}),
            Code(payload),
            ReportTable([{payload: Cell(payload, small=payload, hint=payload)}], align="r"),
            fold(payload, [payload]),
            groups({payload: {payload: payload}}),
        ]
        tags = {tag for tag, _ in read(page_of(parts)).elements}
        assert tags <= {
            "p", "dl", "dt", "dd", "div", "pre", "table", "thead", "tbody", "tr", "th", "td",
            "small", "details", "summary", "h3", "code",  # the last between backticks
        }  # fmt: skip


def test_a_section_without_content_is_left_out_and_files_are_written(tmp_path: Path) -> None:
    nothing = plot(lambda width: None, title="", caption="")
    shown = page(
        "ablation",
        name="toy",
        badge="",
        question="",
        verdict="Nothing yet.",
        key_figures=[("trials", "3", "")],
        sections={"plot": ("Plot", [nothing]), "notes": ("Notes", ["one"])},
        begun="",
    )
    found = Finding({"schema": "archbench.ablation/1"}, ["one"], page=lambda: shown)
    files = found.write(tmp_path / "report")
    assert [file.name for file in files] == ["index.html", "ablation.json"]
    assert json.loads(files[1].read_text()) == {"schema": "archbench.ablation/1"}
    assert read(files[0].read_text()).within("h2") == ["Notes"]
    assert found.text() == "one"
