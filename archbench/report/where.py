"""Where does the time of the front's members go, where that was looked into?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from archbench.command_line import command_line
from archbench.errors import StorageError
from archbench.report.command import code, place_of
from archbench.report.figure import inline_svg
from archbench.report.html import Markup, html
from archbench.report.number import exact, percent, short
from archbench.report.summary import Summary
from archbench.report.where_plot import where_figure
from archbench.study.trial import TrialRecord
from archbench.study.where_file import read_where

_WIDE, _NARROW = 8.0, 3.9  # inches; the page shows the one that fits
_HEADINGS = ("part", "ms", "share", "MACs", "MB moved", "GFLOP/s", "roof", "held up by")
_TEXTS = ("part", "held up by")
_CAPTION = (
    "Every part of the deployed network, in the order it runs: what it takes, and in blue what the "
    "machine's compute or memory asks for at least (its measured roofline). The rest is what could "
    "be won; beside each bar stands what holds it up."
)


def where_time_goes(summary: Summary) -> Markup:
    """A plot and a table for each member of the front that was looked into; else how to."""
    if not summary.front:
        return Markup()
    blocks, lacking = [], []
    for record in summary.front:
        try:
            found = read_where(summary.study.path, record.number, digest=record.digest)
        except StorageError as error:
            blocks.append(html("<p>{}: {}</p>\n", error.place, error.message))
            continue
        if found is None:
            lacking.append(record)
        else:
            blocks.append(_member(record, found))
    return html("{}{}", blocks, _how_to(summary, lacking, any_there=bool(blocks)))


def _how_to(summary: Summary, lacking: Sequence[TrialRecord], *, any_there: bool) -> Markup:
    if not lacking:
        return Markup()
    names = [f"{place_of(summary)}:{record.number}" for record in lacking]
    others = "the other members" if any_there else "the members of the front"
    return html(
        "<p>To see where the time of {} goes, block by block, then write this report anew:</p>\n{}",
        others,
        code(command_line("archbench", "profile", *names, "--where")),
    )


def _member(record: TrialRecord, found: Mapping[str, Any]) -> Markup:
    title = f"Trial {record.number}: {found['whole_ms']:.2f} ms"
    drawn = [
        html(
            '<div class="{}">{}</div>',
            name,
            inline_svg(
                where_figure(found, width_inches=width, is_titled=False),
                prefix=f"where-{record.number}-{name}-",
                title=f"{title}, part by part",
            ),
        )
        for name, width in (("large", _WIDE), ("small", _NARROW))
    ]
    return html(
        '<details id="where-{}"><summary><b>{}</b> <span>{}</span></summary><div class="inner">\n'
        "<figure>{}<figcaption>{}</figcaption></figure>\n{}</div></details>\n",
        record.number,
        title,
        _slowest(found),
        drawn,
        _CAPTION,
        _table(found),
    )


def _slowest(found: Mapping[str, Any]) -> str:
    """The stage that takes most, in words."""
    stages: dict[Any, float] = {}
    for part in found["parts"]:
        stages[part["stage"]] = stages.get(part["stage"], 0.0) + part["ms"]
    most = max(stages, key=lambda stage: stages[stage])
    share = percent(stages[most] / found["whole_ms"])
    return f"{'the head' if most is None else f'stage {most}'} takes {share}"


def _table(found: Mapping[str, Any]) -> Markup:
    head = [
        html("<th>{}</th>" if text in _TEXTS else '<th class="number">{}</th>', text)
        for text in _HEADINGS
    ]
    return html(
        '<div class="scroll" tabindex="0"><table><thead><tr>{}</tr></thead><tbody>\n{}</tbody>'
        "</table></div>",
        head,
        [_row(part, whole=found["whole_ms"]) for part in found["parts"]],
    )


def _row(part: Mapping[str, Any], *, whole: float) -> Markup:
    moved = (part["weight_bytes"] + part["activation_bytes"]) / 1e6
    numbers = (
        f"{part['ms']:.2f}",
        percent(part["ms"] / whole) if whole else "",
        short(part["macs"]),
        f"{moved:.1f}",
        exact(round(part["gflops"])),
        percent(part["roof_share"]),
    )
    name = part["place"] if part["kind"] == part["place"] else f"{part['place']} {part['kind']}"
    return html(
        "<tr><td>{}</td>{}<td>{}</td></tr>\n",
        name,
        [html('<td class="number">{}</td>', text) for text in numbers],
        part["bound_by"],
    )
