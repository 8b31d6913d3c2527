"""Where does the time of a network go: stage by stage and block by block, and its plot."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archbench.command_line import command_line, study_argument
from archbench.errors import StorageError, UsageError
from archbench.report import number
from archbench.report.element import Code, Lines, Part, ReportTable, fold, one_after_another, plot
from archbench.report.figure import PALETTE, axes_in_inches, drawable, png_bytes, style, svg_text
from archbench.report.finding import Finding
from archbench.report.html import Markup, html
from archbench.report.summary import Summary
from archbench.study.atomic_file import write_atomically
from archbench.study.study_folder import read_where

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SUFFIXES = (".png", ".svg")

_ROW, _TOP, _BOTTOM, _LEFT, _RIGHT = 0.22, 0.45, 0.55, 1.9, 0.8  # inches
_CAPTION = (
    "Every part of the deployed network, in the order it runs: what it takes, and in blue what the "
    "machine's compute or memory asks for at least (its measured roofline). The rest is what could "
    "be won; beside each bar stands what bounds it."
)


def finding(document: Mapping[str, Any], *, next_step: str) -> Finding:
    """A document of the schema ``archbench.where/1``."""
    return Finding(document, [one_after_another(map(parts_of, document["networks"]))], next_step)


def parts_of(found: Mapping[str, Any]) -> list[Part]:
    """One network of such a document."""
    conditions = found["conditions"]
    limits, off_cpu = found["limits"], found["off_cpu_share"] or 0
    legend = [
        f"{found['rounds']} passes; timing the parts made the network take "
        f"{found['watched_ms']:.2f} ms instead of {found['whole_ms']:.2f}.",
        "MB: each operator reads its inputs, weights among them, and writes its outputs once.",
        "roofline: the least time that this machine needs, as a share of the measured time, at "
        f"{limits['gflops']:.0f} GFLOP/s, {limits['memory_gbs']:.0f} GB/s from memory for weights, "
        f"{limits['cache_gbs']:.0f} GB/s from the cache for the rest.",
        "bound by: which of them alone would take longest: compute, memory, or the start of so "
        f"many operators at {limits['operator_us']:.1f} µs each.",
        f"Other work held the core for {off_cpu:.0%} of the time." if off_cpu > 0.05 else "",
    ]
    under = (
        f"{number.side(conditions['resolution'])} px, batch {conditions['batch']}, "
        f"{number.runs_text(conditions)}, deployed form"
    )
    return [_answer(found), _table(found), Lines([under, *legend], rest="")]


def _answer(found: Mapping[str, Any]) -> str:
    """The stage and the part that take most of the time, and what bounds that part."""
    stage, share = _slowest_stage(found)
    part = max(found["parts"], key=lambda part: float(part["ms"]))
    bound = {"overhead": f"the overhead of {part['operators']} operators"}
    by = part.get("bound_by", "")
    where = "" if part["stage"] is None else f" of stage {part['stage']}"
    bounded = f", bound by {bound.get(by, by)}" if by else ""
    return (
        f"{found['name']}: {stage} takes {share} of {found['whole_ms']:.2f} ms; its slowest part "
        f"is {_name(part)}{where}{bounded}."
    )


def _slowest_stage(found: Mapping[str, Any]) -> tuple[str, str]:
    """The stage that takes most of the time, and its share."""
    stages: Counter[Any] = Counter()
    for part in found["parts"]:
        stages[part["stage"]] += part["ms"]
    most = max(stages, key=lambda stage: stages[stage])
    share = number.percent(stages[most] / found["whole_ms"]) if found["whole_ms"] else "most"
    return "the head" if most is None else f"stage {most}", share


def _table(found: Mapping[str, Any]) -> ReportTable:
    """Stages with their parts, what lies between them, and the whole."""
    whole, between = found["whole_ms"], found["between_ms"]

    def row(name: str, part: Mapping[str, Any], *, share: bool = True) -> dict[str, str]:
        ms = part["ms"]
        rate = 2 * part["macs"] / ms / 1e6 if ms else 0.0
        moved = (part["weight_bytes"] + part["activation_bytes"]) / 1e6
        bound = part.get("bound_by", "")
        return {
            "part": name,
            "ms": f"{ms:.2f}",
            "share": number.percent(ms / whole) if share and whole else "",
            "MACs": number.short(part["macs"]),
            "MB": f"{moved:.1f}",
            "GFLOP/s": f"{rate:.0f}",
            "roofline": f"{100 * part['roof_share']:.0f} %" if "roof_share" in part else "",
            "bound by": f"{part['operators']} operators" if bound == "overhead" else bound,
        }

    rows = []
    for stage, group in groupby(found["parts"], key=lambda part: part["stage"]):
        parts = list(group)
        if stage is not None:
            rows.append(row(f"stage {stage}", _sum(parts)))
        indent = "" if stage is None else "  "
        rows += [row(f"{indent}{_name(part)}", part) for part in parts]
    last = row("whole", {**_sum(found["parts"]), "ms": whole}, share=False)
    share = number.percent(between / whole) if whole else ""
    nothing = dict.fromkeys(last, "")
    rows += [{**nothing, "part": "between", "ms": f"{between:.2f}", "share": share}, last]
    return ReportTable(rows, align="lrrrrrrl")


def _sum(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    keys = ("ms", "macs", "weight_bytes", "activation_bytes")
    return {key: sum(part[key] for part in parts) for key in keys}


def _name(part: Mapping[str, Any]) -> str:
    if part["stage"] is None:
        return "head"
    layer = part["place"].rpartition("[")[2].rstrip("]")
    return part["kind"] if part["place"].endswith("embed") else f"{layer} {part['kind']}"


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
            blocks.append(_member(record.number, found))
    if lacking:
        others = "the other members" if blocks else "the members of the front"
        blocks += [
            f"To see where the time of {others} goes, block by block, then write this report anew:",
            Code(command_line("archbench", "profile", *lacking, "--where")),
        ]
    return blocks


def _member(trial: int, found: Mapping[str, Any]) -> Markup:
    """A member of the front, under a title that names the stage that takes most."""
    title = f"Trial {trial}: {found['whole_ms']:.2f} ms"
    slowest, share = _slowest_stage(found)
    drawn = plot(
        lambda width: where_figure(found, width_inches=width, is_titled=False),
        title=f"{title}, part by part",
        caption=_CAPTION,
        prefix=f"where-{trial}-",
    )
    told = html("<b>{}</b> <span>{} takes {}</span>", title, slowest, share)
    return fold(told, [drawn, _table(found)], name=f"where-{trial}")


def where_figure(
    found: Mapping[str, Any], *, width_inches: float = 8.0, is_titled: bool = True
) -> Figure:
    """The parts of one network of an ``archbench.where/1`` document, from its first to its last."""
    from matplotlib.figure import Figure

    bars = [*found["parts"], {"place": "between", "ms": max(0.0, found["between_ms"])}]
    rows = range(len(bars))
    with style():
        figure = Figure(figsize=(width_inches, _TOP + _ROW * len(bars) + _BOTTOM))
        width = width_inches - _LEFT - _RIGHT
        axes = axes_in_inches(figure, _LEFT, _BOTTOM, width, _ROW * len(bars))
        taken = [bar["ms"] for bar in bars]
        needed = [bar["ms"] * min(1.0, bar.get("roof_share", 0.0)) for bar in bars]
        axes.barh(rows, taken, color=PALETTE["rule"], height=0.72, label="measured")
        axes.barh(
            rows, needed, color=PALETTE["front"], height=0.72, label="needed at least (roofline)"
        )
        for row, bar in enumerate(bars):
            note = drawable(f"{bar['ms']:.2f}  {bar.get('bound_by', '')}")
            axes.annotate(
                note, (bar["ms"], row), xytext=(3, 0), textcoords="offset points", va="center",
                fontsize=7.5, color=PALETTE["muted"], parse_math=False,
            )  # fmt: skip
        axes.set_yticks(list(rows), [drawable(_label(bar)) for bar in bars], parse_math=False)
        axes.set_ylim(len(bars) - 0.4, -0.6)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("milliseconds")
        if is_titled:
            title = drawable(f"{found['name']}: {found['whole_ms']:.2f} ms")
            axes.set_title(title, fontsize=10, loc="left", parse_math=False)
        axes.legend(loc="lower right")
    return figure


def save_where(found: Mapping[str, Any], path: Path) -> None:
    """Writes the plot as SVG or PNG, as the file's name says.

    Raises:
        UsageError: The name ends otherwise.
        StorageError: It cannot be written.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise UsageError(
            f"{suffix or 'no suffix'!r} is not a format of a plot",
            place=str(path),
            help=f"end the name with {' or '.join(SUFFIXES)}",
        )
    if not path.parent.is_dir():
        raise StorageError(
            "its folder is not there", place=str(path), help=f"make {path.parent} first"
        )
    figure = where_figure(found)
    write_atomically(path, png_bytes(figure) if suffix == ".png" else svg_text(figure).encode())


def _label(bar: Mapping[str, Any]) -> str:
    if "kind" not in bar or bar["kind"] == bar["place"]:
        return str(bar["place"])
    layer = str(bar["place"]).partition(".blocks[")[2].rstrip("]")
    return f"{bar['stage']}{'.' if layer else ''}{layer} {bar['kind']}"
