"""What can be had for which cost, and how far had the trainings come: the plots of a study."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from archbench.report import marks
from archbench.report.figure import PALETTE, axes_in_inches, drawable, in_one_path, style
from archbench.report.html import one_line
from archbench.report.number import short, with_interval
from archbench.report.summary import Point, Summary, finite, mean_curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LEFT, _RIGHT, _BOTTOM, _GAP, _ROW = 0.8, 0.1, 0.46, 0.07, 0.19  # inches
_TITLE, _LEGEND_ROW = 0.5, 0.2  # inches
_DASHED: Any = (0, (5, 3))
_CURVES_SHOWN, _DOTS = 250, 100  # curves at most; dots, beyond which they are an image

# Cost, name and 95 % interval of a published network.
_Reference = tuple[float, str, tuple[float, float] | None]
Curve = tuple[Sequence[int], Sequence[float]]


def pareto_figure(
    summary: Summary,
    *,
    width_inches: float = 8.0,
    is_titled: bool = True,
    links: Mapping[int, str] = MappingProxyType({}),
) -> Figure:
    """Proxy accuracy against cost: the front, other trials, known networks to hold against them.

    Bars are 95 % intervals in both directions: the measured one of a latency, and 1.96 standard
    errors of an accuracy. Text keeps its size, so that a narrow figure suits a phone; a title is
    name, question and proxy, and links lead from a trial of a number to an address.
    """
    from matplotlib.figure import Figure

    references = _references(summary)
    groups = marks.by_mark(summary.points)
    columns = 5 if width_inches > 6 else 2
    rows = math.ceil((sum(map(bool, groups.values())) + bool(summary.known)) / columns)
    body = min(3.6, max(2.9, 0.45 * width_inches))
    strip = _ROW * len(references) + 0.1 + _GAP if references else 0.0
    title = _TITLE if is_titled else 0
    axes_width = width_inches - _LEFT - _RIGHT
    height = _BOTTOM + strip + body + (_LEGEND_ROW * rows + 0.12 + title)
    with style():
        figure = Figure(figsize=(width_inches, height))
        axes = axes_in_inches(figure, _LEFT, _BOTTOM + strip, axes_width, body)
        window = _scale(axes, summary, references, width_points=72 * axes_width)
        _draw_limit(axes, summary, window, zorder=2)
        marks.draw_trials(axes, groups, window, limit=summary.limit, links=links)
        marks.draw_known(axes, summary.known, window)
        below = axes
        if references:
            below = axes_in_inches(figure, _LEFT, _BOTTOM, axes_width, strip - _GAP, sharex=axes)
            _draw_references(below, references, window, summary)
            axes.tick_params(axis="x", labelbottom=False, length=0)
        below.set_xlabel(_cost_label(summary, is_wide=width_inches > 6), parse_math=False)
        _draw_legend(figure, axes, columns=columns, top=1 - title / height)
        if is_titled:
            _draw_title(figure, summary)
        marks.label_front(axes, groups["front"])
    return figure


def tooltip(summary: Summary, point: Point) -> str:
    """What is said of a point where it is pointed at."""
    share = "" if point.accuracy is None else f"{100 * point.accuracy:.1f} %, "
    low, high = point.interval or (None, None)
    unit = summary.cost.unit
    cost = f"{with_interval(point.cost, low, high)} {unit}" if unit else short(point.cost)
    return f"trial {point.trial}: {share}{cost}"


def _references(summary: Summary) -> list[_Reference]:
    found: list[_Reference] = []
    for reference in summary.references:
        taken, name, interval = reference.latency, summary.cost.name, None
        cost = taken.value if name == "latency_ms" else getattr(reference, name, None)
        if name == "latency_ms" and taken.low is not None and taken.high is not None:
            interval = (taken.low, taken.high)
        if cost is not None:
            found.append((cost, reference.name, interval))
    return sorted(found, key=lambda reference: reference[:2])


def _scale(
    axes: Axes, summary: Summary, references: Sequence[_Reference], *, width_points: float
) -> marks.Window:
    costs = [cost for cost, *_ in references]
    window = marks.cost_window(summary, costs, width_points=width_points)
    marks.show_costs(axes, window)
    marks.show_shares(axes, marks.accuracy_window(summary), chance=summary.chance)
    return window


def _draw_limit(axes: Axes, summary: Summary, window: marks.Window, *, zorder: int) -> None:
    limit, colour = summary.limit, PALETTE["limit"]
    if limit is None or not window.holds(limit):
        return
    axes.axvline(limit, color=colour, lw=1.1, ls=_DASHED, zorder=zorder)
    axes.axvspan(limit, window.high, color=colour, alpha=0.06, lw=0, zorder=0)
    if zorder:  # of the strip of references none is labelled
        axes.annotate(
            f"limit {marks.tick(limit)} {summary.cost.unit}".rstrip(), (limit, 1),
            xycoords=("data", "axes fraction"), xytext=(4, -4), textcoords="offset points",
            ha="left", va="top", fontsize=8, rotation=90, color=colour,
        )  # fmt: skip


def _draw_references(
    axes: Axes, references: Sequence[_Reference], window: marks.Window, summary: Summary
) -> None:
    """One row for each reference; one outside the window is pointed at, with its cost."""
    colour = PALETTE["reference"]
    for row, (own, name, interval) in enumerate(references):
        cost = min(max(own, window.low), window.high)
        place = axes.transAxes.inverted().transform(axes.transData.transform((cost, 0)))[0]
        text = one_line(drawable(name), length=32)
        marker, is_left, beside = "D", place > 0.6, cost
        if not window.holds(own):
            marker = ">" if own > window.high else "<"
            text = f"{text}, {marks.tick(float(f'{own:.3g}'))} {summary.cost.unit}".rstrip()
        elif interval:
            axes.plot(interval, [row, row], color=colour, lw=1.1)
            beside = interval[0 if is_left else 1]
        axes.scatter([cost], [row], marker=marker, s=17, color=colour, zorder=3, clip_on=False)
        axes.annotate(
            text, (beside, row), xytext=(-6 if is_left else 6, 0), textcoords="offset points",
            ha="right" if is_left else "left", va="center_baseline", fontsize=8, color=colour,
            parse_math=False, annotation_clip=False,
        )  # fmt: skip
    _draw_limit(axes, summary, window, zorder=0)
    axes.set_ylim(len(references) - 0.4, -0.7)
    axes.set_yticks([])
    axes.set_ylabel(
        "untrained\nreference", rotation=0, ha="right", va="center", fontsize=8, color=colour
    )


def _cost_label(summary: Summary, *, is_wide: bool) -> str:
    label, conditions = summary.cost_title, summary.conditions_text
    if is_wide and summary.cost.name == "latency_ms" and conditions:
        return drawable(f"{label}  ({one_line(conditions, length=64)})")
    return label


def _draw_legend(figure: Figure, axes: Axes, *, columns: int, top: float) -> None:
    from matplotlib.collections import PathCollection

    handles, _ = axes.get_legend_handles_labels()
    if not handles:
        return
    legend = figure.legend(
        handles=handles, loc="upper left", bbox_to_anchor=(0.0, top), ncols=columns,
        handletextpad=0.1, columnspacing=1.2, borderaxespad=0.15, labelspacing=0.35,
        scatterpoints=1,
    )  # fmt: skip
    for handle in legend.findobj(PathCollection):
        handle.set_alpha(1)
        handle.set_sizes([22])


def _draw_title(figure: Figure, summary: Summary) -> None:
    """Name and, beneath it, what was asked, or else which data the accuracy was reached on."""
    width, height = figure.get_size_inches()
    question = summary.header.get("question")
    under = str(question or f"proxy accuracy on {summary.proxy.get('data', 'unnamed data')}")
    styles: list[tuple[str, float, float, dict[str, Any]]] = [
        (summary.name, 0.08, 9, {"fontsize": 12, "fontweight": "bold"}),
        (under, 0.3, 14.5, {"fontsize": 8.5, "color": PALETTE["muted"]}),
    ]
    for text, top, length, options in styles:
        shown = one_line(drawable(text), length=int(length * width))
        place = 0.08 / width, 1 - top / height
        figure.text(*place, shown, va="top", parse_math=False, **options)


def curve_figure(summary: Summary, *, width_inches: float = 8.0) -> Figure | None:
    """Proxy accuracy over epochs, mean over seeds; None while none has reached a second rung."""
    from matplotlib.figure import Figure

    members = {record.number for record in summary.front}
    curves = {record.number: mean_curve(record) for record in summary.trials if record.curve}
    epochs = sorted({epoch for epochs, _ in curves.values() for epoch in epochs})
    if len(epochs) < 2:
        return None
    width, height = width_inches, min(3.2, max(2.5, 0.4 * width_inches))
    with style():
        figure = Figure(figsize=(width, height))
        size = width - _LEFT - 0.42, height - _BOTTOM - 0.08
        axes = axes_in_inches(figure, _LEFT, _BOTTOM, *size)
        shares = finite(share for _, shares in curves.values() for share in shares)
        axes.set_xlim(epochs[0] - 0.03 * (epochs[-1] - epochs[0]), epochs[-1])
        axes.set_xticks(epochs if len(epochs) <= 12 else epochs[:: len(epochs) // 8])
        axes.set_xlabel("epochs of the proxy training")
        window = marks.share_window(shares, chance=summary.chance)
        marks.show_shares(axes, window, chance=summary.chance)
        _draw_others(axes, [curve for number, curve in curves.items() if number not in members])
        _draw_members(axes, [(number, curves[number]) for number in members if number in curves])
    return figure


def _draw_others(axes: Axes, curves: Sequence[Curve]) -> None:
    """Grey lines with a dot at their end; of many every second, third and so on."""
    shown = curves[:: math.ceil(len(curves) / _CURVES_SHOWN) or 1]
    lines = [list(zip(epochs, shares, strict=True)) for epochs, shares in shown]
    axes.plot(*in_one_path(lines), color=PALETTE["other"], lw=0.8, alpha=0.5, zorder=3)
    ends = [line[-1] for line in lines]
    axes.scatter(
        [epoch for epoch, _ in ends], [share for _, share in ends], s=7, zorder=3, linewidths=0,
        color=PALETTE["other"], alpha=0.7, clip_on=False, rasterized=len(ends) > _DOTS,
    )  # fmt: skip


def _draw_members(axes: Axes, curves: Sequence[tuple[int, Curve]]) -> None:
    """Blue lines with the trial number at their end, where it covers no other."""
    colour, size = PALETTE["front"], 8.5
    free_from = float("inf")
    for trial, (epochs, shares) in sorted(curves, key=lambda curve: -curve[1][1][-1]):
        axes.plot(epochs, shares, color=colour, lw=1.3, alpha=0.85, zorder=5)
        end = (epochs[-1], shares[-1])
        axes.scatter([end[0]], [end[1]], s=16, color=colour, zorder=6, clip_on=False, linewidths=0)
        height = axes.transData.transform(end)[1]
        if height > free_from:
            continue
        free_from = height - 1.05 * size * axes.figure.dpi / 72
        axes.annotate(
            str(trial), end, xytext=(5, 0), textcoords="offset points", ha="left",
            va="center_baseline", fontsize=size, fontweight="bold", color=colour,
            annotation_clip=False,
        )  # fmt: skip
