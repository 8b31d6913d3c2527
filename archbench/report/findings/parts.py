"""Where does the time of a network go: stage by stage and block by block."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from archbench.command_line import command_line, study_argument
from archbench.errors import StorageError
from archbench.report import number
from archbench.report.element import Code, Fold, Lines, Part, Plot, ReportTable, one_after_another
from archbench.report.finding import Finding
from archbench.report.findings.measured_under import runs_text, side
from archbench.report.findings.parts_plot import where_figure
from archbench.report.html import html
from archbench.report.summary import Summary
from archbench.study.trial import TrialRecord
from archbench.study.where_file import read_where

_CAPTION = (
    "Every part of the deployed network, in the order it runs: what it takes, and in blue what the "
    "machine's compute or memory asks for at least (its measured roofline). The rest is what could "
    "be won; beside each bar stands what holds it up."
)


def finding(document: Mapping[str, Any], *, next_step: str) -> Finding:
    """A document of the schema ``archbench.where/1``."""
    told = one_after_another(map(parts_of, document["networks"]))
    return Finding(document=document, parts=[told], next_step=next_step)


def parts_of(found: Mapping[str, Any]) -> list[Part]:
    """One network of such a document."""
    conditions = found["conditions"]
    return [
        f"{found['name']}: {side(conditions['resolution'])} px, batch {conditions['batch']}, "
        f"{runs_text(conditions)}, deployed form",
        _table(found),
        Lines(_legend(found), rest=""),
    ]


def _table(found: Mapping[str, Any]) -> ReportTable:
    """Stages with their parts, what lies between them, and the whole."""
    whole, between = found["whole_ms"], found["between_ms"]
    rows: list[tuple[str, ...]] = []
    for stage, group in groupby(found["parts"], key=lambda part: part["stage"]):
        parts = list(group)
        if stage is not None:
            rows.append((*_cells(f"stage {stage}", _sum(parts), whole=whole), "", ""))
        indent = "" if stage is None else "  "
        rows += [
            (
                *_cells(f"{indent}{_name(part)}", part, whole=whole),
                f"{100 * part['roof_share']:.0f} %",
                _bound(part),
            )
            for part in parts
        ]
    share = number.percent(between / whole) if whole else ""
    rows += [
        ("between", f"{between:.2f}", share, "", "", "", "", ""),
        ("whole", f"{whole:.2f}", "", *_rates(_sum(found["parts"]), ms=whole), "", ""),
    ]
    titles = ("part", "ms", "share", "MACs", "MB", "GFLOP/s", "roof", "held up by")
    return ReportTable(titles=titles, rows=rows, align="lrrrrrrl")


def _cells(name: str, part: Mapping[str, Any], *, whole: float) -> tuple[str, ...]:
    ms = part["ms"]
    return name, f"{ms:.2f}", number.percent(ms / whole) if whole else "", *_rates(part, ms=ms)


def _rates(part: Mapping[str, Any], *, ms: float) -> tuple[str, ...]:
    rate = 2 * part["macs"] / ms / 1e6 if ms else 0.0
    moved = (part["weight_bytes"] + part["activation_bytes"]) / 1e6
    return number.short(part["macs"]), f"{moved:.1f}", f"{rate:.0f}"


def _sum(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    keys = ("ms", "macs", "weight_bytes", "activation_bytes")
    return {key: sum(part[key] for part in parts) for key in keys}


def _name(part: Mapping[str, Any]) -> str:
    if part["stage"] is None:
        return "head"
    layer = part["place"].rpartition("[")[2].rstrip("]")
    return part["kind"] if part["place"].endswith("embed") else f"{layer} {part['kind']}"


def _bound(part: Mapping[str, Any]) -> str:
    is_overhead = part["bound_by"] == "overhead"
    return f"{part['operators']} operators" if is_overhead else str(part["bound_by"])


def _legend(found: Mapping[str, Any]) -> list[str]:
    limits, off_cpu = found["limits"], found["off_cpu_share"] or 0
    return [
        f"{found['rounds']} passes; timing the parts made the network take "
        f"{found['watched_ms']:.2f} ms instead of {found['whole_ms']:.2f}.",
        "MB: each operator reads its inputs, weights among them, and writes its outputs once.",
        f"roof: the share of the time that this machine needs at least, at {limits['gflops']:.0f} "
        f"GFLOP/s, {limits['memory_gbs']:.0f} GB/s from memory for weights, "
        f"{limits['cache_gbs']:.0f} GB/s from the cache for the rest.",
        "held up by: which alone would take longest: compute, memory, or so many operators of "
        f"{limits['operator_us']:.1f} µs.",
        f"Other work held the core for {off_cpu:.0%} of the time." if off_cpu > 0.05 else "",
    ]


def where_time_goes(summary: Summary) -> list[Part]:
    """A plot and a table for each member of the front that was looked into; else how to."""
    blocks: list[Part] = []
    lacking = []
    for record in summary.front:
        try:
            found = read_where(summary.study.path, record.number, digest=record.digest)
        except StorageError as error:
            blocks.append(f"{error.place}: {error.message}")
            continue
        if found is None:
            lacking.append(f"{study_argument(summary.study.path)}:{record.number}")
        else:
            blocks.append(_member(record, found))
    if lacking:
        others = "the other members" if blocks else "the members of the front"
        blocks += [
            f"To see where the time of {others} goes, block by block, then write this report anew:",
            Code(command_line("archbench", "profile", *lacking, "--where")),
        ]
    return blocks


def _member(record: TrialRecord, found: Mapping[str, Any]) -> Fold:
    title = f"Trial {record.number}: {found['whole_ms']:.2f} ms"
    plot = Plot(
        draw=lambda width: where_figure(found, width_inches=width, is_titled=False),
        title=f"{title}, part by part",
        caption=_CAPTION,
        prefix=f"where-{record.number}-",
    )
    return Fold(
        name=f"where-{record.number}",
        title=html("<b>{}</b> <span>{}</span>", title, _slowest(found)),
        parts=[plot, _table(found)],
    )


def _slowest(found: Mapping[str, Any]) -> str:
    """The stage that takes most, in words."""
    stages: dict[Any, float] = {}
    for part in found["parts"]:
        stages[part["stage"]] = stages.get(part["stage"], 0.0) + part["ms"]
    most = max(stages, key=lambda stage: stages[stage])
    share = number.percent(stages[most] / found["whole_ms"])
    return f"{'the head' if most is None else f'stage {most}'} takes {share}"
