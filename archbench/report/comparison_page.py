"""How do studies compare: their fronts in one plot and one box, and what differs between them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from archbench.analysis.study import StudyReader
from archbench.analysis.study_comparison import StudyComparison, compare_studies
from archbench.errors import UsageError
from archbench.report import marks
from archbench.report.document import facts_of
from archbench.report.element import Cell, Part, ReportTable, plot
from archbench.report.figure import PALETTE, axes_in_inches, drawable, style
from archbench.report.finding import page
from archbench.report.findings.front import latency_cell, share_cell
from archbench.report.html import Markup, html, one_line
from archbench.report.inventory import train_command
from archbench.report.number import plural, short
from archbench.report.summary import Point, Summary

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST = 5
"""Studies that one page can tell apart."""

_MARKS = (("front", "o"), ("limit", "D"), ("reference", "s"), ("ink", "^"), ("muted", "v"))
_SEARCH = ("space_name", "limits", "sampler", "seed", "trials")


def comparison_page(studies: Sequence[StudyReader]) -> Markup:
    """One page of two to five studies.

    Raises:
        IncomparableError: They were searched for other objectives.
        StorageError: A study's header lacks an entry.
        UsageError: They are fewer or more, or one is named twice.
    """
    if not 2 <= len(studies) <= MOST:
        raise UsageError(
            f"{plural(len(studies), 'study').replace('studys', 'studies')} cannot be compared",
            help=f"name 2 to {MOST}",
        )
    found, summaries = compare_studies(studies), [Summary(study) for study in studies]
    names = found.names
    drawn = plot(
        lambda width: fronts_figure(summaries, names, width_inches=width),
        title=f"Fronts of {', '.join(names)}",
        caption="Large and joined: the front of each study; small: its other trials.",
    )
    return page(
        "comparison",
        name=" and ".join(names),
        badge="",
        question="",
        verdict=_verdict(found),
        sections={
            "fronts": ("The fronts", [drawn, _table(summaries, names)]),
            "answers": ("What each study says", _answers(studies, names)),
            "differences": ("What differs", [_differences(studies, found)]),
        },
        begun=None,
    )


def fronts_figure(
    summaries: Sequence[Summary], names: Sequence[str], *, width_inches: float = 8.0
) -> Figure:
    """The fronts of several studies of the same objectives."""
    from matplotlib.figure import Figure

    with style():
        rows = math.ceil(len(names) / (3 if width_inches > 6 else 1))
        figure = Figure(figsize=(width_inches, 4.05 + 0.2 * rows))
        axes = axes_in_inches(figure, 0.8, 0.46, width_inches - 0.9, 3.5)
        points = {name: summary.points for name, summary in zip(names, summaries, strict=True)}
        trained = [p for found in points.values() for p in found if p.accuracy is not None]
        costs = [point.cost for point in trained]
        marks.show_costs(axes, marks.window_of(costs, width_points=72 * (width_inches - 0.9)))
        shares = [point.height for point in trained]
        chance = min(summary.chance for summary in summaries)
        marks.show_shares(axes, marks.share_window(shares, chance=chance), chance=chance)
        for (name, found), (colour, marker) in zip(points.items(), _MARKS, strict=False):
            _draw(axes, found, name, colour=PALETTE[colour], marker=marker)
        axes.set_xlabel(summaries[0].cost_title)
        figure.legend(loc="upper left", ncols=math.ceil(len(names) / rows))
    return figure


def _draw(axes: Any, points: Sequence[Point], name: str, *, colour: str, marker: str) -> None:
    front = sorted((p for p in points if p.kind == "front"), key=lambda point: point.cost)
    rest = [p for p in points if p.kind != "front" and p.accuracy is not None]
    axes.scatter(
        [p.cost for p in rest], [p.height for p in rest], s=8, marker=marker, color=colour,
        alpha=0.45, linewidths=0, zorder=3, rasterized=len(rest) > 400,
    )  # fmt: skip
    axes.plot(
        [p.cost for p in front], [p.height for p in front], color=colour, marker=marker, ms=6.5,
        lw=1.2, drawstyle="steps-post", zorder=5, label=f"{drawable(name)} ({len(front)})",
    )  # fmt: skip


def _verdict(found: StudyComparison) -> str:
    """Whose designs stand on the front of all, and what each covers of one box."""
    if not found.members:
        return "None of these studies has a front."
    if found.differences:
        return " ".join(["These fronts cannot be compared.", *_reasons(found)])
    counts = Counter(one.study for one in found.members if one.beaten_by is None)
    each = ", ".join(f"{counts[name]} of {name}" for name in found.names)
    designs = plural(counts.total(), "design")
    told = f"On the front of all these trials together stand {designs}: {each}."
    if found.hypervolumes:
        shares = zip(found.hypervolumes, found.names, strict=True)
        covered = ", ".join(f"{share:.3f} by {name}" for share, name in shares)
        told += f" Of the box of all trials the fronts cover {covered}."
    return told


def _reasons(found: StudyComparison) -> list[str]:
    """Of which numbers a difference between studies says nothing."""
    reasons = []
    if found.training:
        reasons.append(
            "Their accuracies were not reached by the same training on the same images, so they "
            "do not compare."
        )
    if found.timing and found.is_timed:
        reasons.append(
            "Their latencies were not taken under the same conditions on the same machine with the "
            "same software, so they do not compare."
        )
    return reasons


def _table(summaries: Sequence[Summary], names: Sequence[str]) -> ReportTable:
    """The members of all fronts, cheapest first."""
    rows: list[tuple[float, dict[str, object]]] = []
    for summary, name in zip(summaries, names, strict=True):
        for record in summary.front:
            cost, objective = summary.cost.value(record) or 0.0, summary.cost
            is_latency = objective.name == "latency_ms"
            shown = latency_cell(record.latency) if is_latency else Cell(short(cost), value=cost)
            error = summary.accuracy_error(record)
            command = train_command(summary, record.number)
            row: dict[str, object] = {
                "study": name,
                "trial": Cell(record.number, value=record.number),
                summary.cost_title: shown,
                "proxy accuracy, ± standard error": share_cell(record.proxy_accuracy, error),
                "command": Cell(command, around="<code>{}</code>"),
            }
            rows.append((cost, row))
    rows.sort(key=lambda entry: entry[0])
    return ReportTable([row for _, row in rows], align="nrrrp", is_sortable=True)


def _answers(studies: Sequence[StudyReader], names: Sequence[str]) -> list[Part]:
    return [
        part
        for study, name in zip(studies, names, strict=True)
        for part in (html("<h3>{}</h3>\n", name), study.verdict())
    ]


def _differences(studies: Sequence[StudyReader], found: StudyComparison) -> Part:
    """The settings that are not the same in all."""
    searched = [
        facts_of(
            {key: study.header.get(key) for key in _SEARCH}
            | {key: study.header["proxy"].get(key) for key in ("data", "rungs")}
        )
        for study in studies
    ]
    groups = {
        "search": {key: [one[key] for one in searched] for key in searched[0]},
        "training": found.training,
        "timing": found.timing,
    }
    rows: list[dict[str, object]] = [
        {
            "setting": f"{group}: {key}",
            **{n: one_line(v, length=120) for n, v in zip(found.names, values, strict=True)},
        }
        for group, settings in groups.items()
        for key, values in settings.items()
        if len(set(values)) > 1
    ]
    if not rows:
        return "They were searched under the same settings."
    return ReportTable(rows, align="n" + "p" * len(found.names))
