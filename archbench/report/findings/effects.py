"""What does each knob cost and buy: the plot of differences with their intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from archbench.analysis.ablation import AblationRecord, Difference, FormRecord
from archbench.report.figure import PALETTE, axes_in_inches, drawable, style
from archbench.report.text import shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ROW, _TOP, _BOTTOM, _SIDE, _GAP = 0.44, 0.12, 0.5, 0.12, 0.4  # inches
_SIDE_BY_SIDE_FROM = 6.0  # inches
_LETTER = 0.068  # inches, about


def label(form: FormRecord) -> str:
    """What is changed: knob and value, or the words of a paper's row behind its name."""
    if form.paper is None:
        return form.name
    row = form.paper.row
    return row if row.lower().startswith(f"{form.name.lower()}:") else f"{form.name}: {row}"


def effect_figure(found: AblationRecord, *, width_inches: float = 8.0) -> Figure | None:
    """Differences to the base with 95 % intervals: accuracy and, beside or below it, latency.

    Blue is better, orange worse, grey not told apart from none; diamonds are the paper's.

    Returns:
        None where no difference is known yet.
    """
    from matplotlib.figure import Figure

    forms = [form for form in found.forms if form.accuracy_difference or form.latency_difference]
    if not forms:
        return None
    has_latency = any(form.latency_difference for form in forms)
    panels = [_draw_accuracy, *([_draw_latency] if has_latency else [])]
    is_beside = width_inches >= _SIDE_BY_SIDE_FROM
    num_wide, num_high = (len(panels), 1) if is_beside else (1, len(panels))
    rows = _ROW * len(forms)
    each = rows + _TOP + _BOTTOM
    width = (width_inches - 2 * _SIDE - (num_wide - 1) * _GAP) / num_wide
    with style():
        figure = Figure(figsize=(width_inches, num_high * each))
        for index, draw in enumerate(panels):
            column, line = (index, 0) if is_beside else (0, index)
            left, bottom = _SIDE + column * (width + _GAP), (num_high - 1 - line) * each + _BOTTOM
            axes = axes_in_inches(figure, left, bottom, width, rows)
            draw(axes, forms)
            _frame(axes, [] if column else forms, num_rows=len(forms), length=int(width / _LETTER))
    return figure


def _draw_accuracy(axes: Axes, forms: Sequence[FormRecord]) -> None:
    for row, form in enumerate(forms):
        _interval(axes, row, form.accuracy_difference, factor=100, is_good_up=True)
        if form.paper:
            axes.plot(
                [form.paper.difference], [row], marker="D", ms=5, mfc="none", mew=1.2, ls="none",
                color=PALETTE["reference"], zorder=6, clip_on=False,
            )  # fmt: skip
    axes.set_xlabel("what it buys: validation accuracy, points")


def _draw_latency(axes: Axes, forms: Sequence[FormRecord]) -> None:
    for row, form in enumerate(forms):
        _interval(axes, row, form.latency_difference, factor=1, is_good_up=False)
    axes.set_xlabel("what it costs: latency, ms")


def _interval(
    axes: Axes, row: int, difference: Difference | None, *, factor: float, is_good_up: bool
) -> None:
    if difference is None:
        return
    is_better = (difference.value > 0) == is_good_up
    colour = PALETTE[("front" if is_better else "limit") if difference.is_seen else "other"]
    if difference.low is not None and difference.high is not None:
        ends = [factor * difference.low, factor * difference.high]
        axes.plot(ends, [row, row], color=colour, lw=2.2, solid_capstyle="butt", zorder=4)
    axes.plot(
        [factor * difference.value], [row], marker="o", ms=5.5, color=colour, zorder=5, ls="none",
        clip_on=False,
    )  # fmt: skip


def _frame(axes: Axes, named: Sequence[FormRecord], *, num_rows: int, length: int) -> None:
    """The zero line, rows from the top down, and each form's name above its interval."""
    axes.axvline(0, color=PALETTE["muted"], lw=1, zorder=3)
    axes.set_ylim(num_rows - 0.5, -0.75)
    axes.set_yticks([])
    axes.grid(visible=True, axis="x")
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)
    axes.margins(x=0.08)
    for row, form in enumerate(named):
        axes.annotate(
            shortened(drawable(label(form)), length), (0, row),
            xycoords=("axes fraction", "data"), xytext=(0, 4.5), textcoords="offset points",
            fontsize=8.5, color=PALETTE["ink"], ha="left", va="bottom", annotation_clip=False,
            zorder=7,
        )  # fmt: skip
