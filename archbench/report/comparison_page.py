"""How do studies compare: their fronts in one plot and one box, and what differs between them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from archbench.analysis.front import FrontRule
from archbench.analysis.study import StudyReader
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
from archbench.study.trial import TrialRecord

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST = 5
"""Studies that one page can tell apart."""

_MARKS = (("front", "o"), ("limit", "D"), ("reference", "s"), ("ink", "^"), ("muted", "v"))
_SETTINGS = ("space_name", "objectives", "limits", "sampler", "seed", "trials", "conditions")
_PROXY = ("data", "data_digest", "resolution", "rungs", "seeds", "num_train", "num_validation")
_MACHINE = ("cpu", "gpu", "packages")
# What makes numbers incomparable: of the accuracy, and of a latency.
_OF_ACCURACY, _OF_LATENCY = ("proxy",), ("conditions", "environment")


def comparison_page(studies: Sequence[StudyReader]) -> Markup:
    """One page of two to five studies.

    Raises:
        UsageError: They are fewer or more, or their costs or objectives differ.
    """
    if not 2 <= len(studies) <= MOST:
        raise UsageError(
            f"{plural(len(studies), 'study').replace('studys', 'studies')} cannot be compared",
            help=f"name 2 to {MOST}",
        )
    summaries = [Summary(study) for study in studies]
    first, *others = studies
    for other in others:
        if other.rule.objectives != first.rule.objectives:
            raise UsageError(
                f"its objectives are not those of {first.name}, so no plot can show both",
                place=other.name,
                help="compare studies of the same objectives",
            )
    names = _names(studies)
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
        verdict=" ".join([_verdict(studies, names), *_doubts(studies, names)]),
        sections={
            "fronts": ("The fronts", [drawn, _table(summaries, names)]),
            "answers": ("What each study says", _answers(studies, names)),
            "differences": ("What differs", [_differences(studies, names)]),
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
        cost = summaries[0].cost
        axes.set_xlabel(", ".join(filter(None, [cost.label, cost.unit])))
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


def _names(studies: Sequence[StudyReader]) -> list[str]:
    """Their names, or the names of their folders, or the paths: what tells them apart."""
    known = zip(*((s.name, s.path.name, str(s.path)) for s in studies), strict=True)
    for names in known:
        if len(set(names)) == len(names):
            return list(names)
    raise UsageError("a study is named twice", place=studies[0].name, help="name each once")


def _verdict(studies: Sequence[StudyReader], names: Sequence[str]) -> str:
    """Whose designs stand on the front of all, and what each covers of one box."""
    rule = studies[0].rule
    trials = [record for study in studies for record in study.trials()]
    joint = rule.front(trials)
    if not joint:
        return "None of these studies has a front."
    counts = [sum(any(r is one for r in joint) for one in s.trials()) for s in studies]
    told = ", ".join(f"{count} of {name}" for count, name in zip(counts, names, strict=True))
    shares = zip(_hypervolumes(rule, studies, trials), names, strict=True)
    covered = ", ".join(f"{share:.3f} by {name}" for share, name in shares)
    return (
        f"On the front of all these trials together stand {plural(len(joint), 'design')}: {told}. "
        f"Of the box of all trials the fronts cover {covered}."
    )


def _hypervolumes(
    rule: FrontRule, studies: Sequence[StudyReader], trials: Sequence[TrialRecord]
) -> list[float]:
    box = rule.box(trials)
    return [box.share(rule.points(study.front_records())) if box else 0.0 for study in studies]


def _doubts(studies: Sequence[StudyReader], names: Sequence[str]) -> list[str]:
    """Of which numbers a difference between studies says nothing."""
    settings = [_settings(study) for study in studies]

    def differ(groups: Sequence[str]) -> bool:
        told = [[one[group] for group in groups] for one in settings]
        return any(other != told[0] for other in told[1:])

    doubts = []
    if differ(_OF_ACCURACY):
        doubts.append(
            "Their accuracies were not reached by the same training on the same images, so they "
            "do not compare."
        )
    is_timed = {"latency_ms", "p99_ms", "images_per_s"} & set(studies[0].rule.objectives)
    if is_timed and differ(_OF_LATENCY):
        doubts.append(
            "Their latencies were not taken under the same conditions on the same machine with the "
            "same software, so they do not compare."
        )
    return doubts


def _settings(study: StudyReader) -> dict[str, Mapping[str, Any]]:
    header = study.header
    return {
        "search": {key: header.get(key) for key in _SETTINGS if key != "conditions"},
        "proxy": {key: header["proxy"].get(key) for key in _PROXY},
        "conditions": header.get("conditions") or {},
        "environment": {key: (header.get("environment") or {}).get(key) for key in _MACHINE},
    }


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
                ", ".join(filter(None, [objective.label, objective.unit])): shown,
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


def _differences(studies: Sequence[StudyReader], names: Sequence[str]) -> Part:
    """The settings that are not the same in all."""
    told = [
        {
            f"{group}: {key}": one_line(str(text), length=120)
            for group, content in _settings(study).items()
            for key, text in facts_of(content).items()
        }
        for study in studies
    ]
    keys = dict.fromkeys(key for one in told for key in one)
    rows: list[dict[str, object]] = [
        {"setting": key, **{name: one.get(key, "") for name, one in zip(names, told, strict=True)}}
        for key in keys
        if len({one.get(key, "") for one in told}) > 1
    ]
    if not rows:
        return "They were searched under the same settings."
    return ReportTable(rows, align="n" + "p" * len(names))
