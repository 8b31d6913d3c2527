"""How did the search go, and which choices led where: two plots of all trials of a study."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from archbench.report import marks
from archbench.report.figure import PALETTE, axes_in_inches, drawable, in_one_path, style
from archbench.report.html import one_line
from archbench.report.number import short
from archbench.report.summary import Summary, finite
from archbench.report.trial_data import ACCURACY, COST, TRIAL

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LEFT, _RIGHT, _BOTTOM, _TOP = 0.8, 0.15, 0.46, 0.08  # inches
_ACCURACIES, _COVERED, _GAP = 1.9, 0.9, 0.12  # inches: heights of both panels, and between them
_ROW = 0.44  # inches between two axes of parallel coordinates
_ROWS = 16  # axes of a space that are shown
_LETTER = 0.062  # inches about
_CROWD = 400  # trials, beyond which they are drawn as an image
_SPREAD = 0.7  # of the room of a value, over which its lines are spread by rank

LINES = 100
"""Trials that parallel coordinates show at most beside the front, evenly by their accuracy."""

Range = tuple[float, float]
Column = Mapping[str, Any]


def history_figure(
    summary: Summary, columns: Sequence[Column], *, width_inches: float = 8.0
) -> Figure | None:
    """The accuracy of each trial, and the hypervolume of the front after it; None below two.

    Both are by what is known now: a trial that was confirmed later counts with its last numbers.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    numbers, shares = columns[TRIAL]["values"], columns[ACCURACY]["values"]
    known = finite(shares)
    if len(known) < 2:
        return None
    width, lifted = width_inches - _LEFT - _RIGHT, _BOTTOM + _COVERED + _GAP
    with style():
        figure = Figure(figsize=(width_inches, lifted + _ACCURACIES + _TOP))
        axes = axes_in_inches(figure, _LEFT, lifted, width, _ACCURACIES)
        below = axes_in_inches(figure, _LEFT, _BOTTOM, width, _COVERED, sharex=axes)
        margin = 0.02 * len(numbers) + 0.5
        axes.set_xlim(numbers[0] - margin, numbers[-1] + margin)
        window = marks.share_window(known, chance=summary.chance)
        marks.show_shares(axes, window, chance=summary.chance)
        _draw_accuracies(axes, dict(zip(numbers, shares, strict=True)), summary)
        axes.tick_params(axis="x", labelbottom=False, length=0)
        covered = summary.study.rule.hypervolumes(summary.trials)
        below.plot(numbers, covered, drawstyle="steps-post", color=PALETTE["front"], lw=1.4)
        below.set_ylim(0, 1.08 * max(covered) or 1)
        below.set_ylabel("hypervolume")
        below.set_xlabel("trial")
        below.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def _draw_accuracies(axes: Axes, shares: Mapping[int, float | None], summary: Summary) -> None:
    members = {record.number for record in summary.front}
    for is_member, size, name in ((False, 11, "other"), (True, 36, "front")):
        shown = {
            number: share
            for number, share in shares.items()
            if share is not None and (number in members) == is_member
        }
        axes.scatter(
            [*shown], [*shown.values()], s=size, color=PALETTE[name], zorder=3 + is_member,
            linewidths=0, rasterized=len(shown) > _CROWD,
        )  # fmt: skip


def parallel_figure(
    summary: Summary, columns: Sequence[Column], *, ranks: Sequence[float | None],
    width_inches: float = 8.0,
) -> Figure | None:  # fmt: skip
    """Each trial as a line through its choices, axis beneath axis; None without choices to tell.

    The lines through one value are spread by the rank of their accuracy, the best rightmost.
    """
    from matplotlib.figure import Figure

    shown = parallel_columns(columns)
    if len(shown) < 3 or not summary.front:
        return None
    ends = [ends_of(columns[column]) for column in shown]
    members = {record.number for record in summary.front}
    ranked = sorted(finite(ranks))
    sample = {*ranked[:: math.ceil(len(ranked) / LINES) or 1]}

    def path(place: int) -> list[tuple[float, float]]:
        return [
            (_at(columns[column], place, ranks[place] or 0.0, ends[row]), row)
            for row, column in enumerate(shown)
        ]

    height = _ROW * len(shown)
    with style():
        figure = Figure(figsize=(width_inches, height + 0.1))
        axes = axes_in_inches(figure, 0.1, 0.05, width_inches - 0.2, height)
        axes.set(xlim=(-0.02, 1.02), ylim=(len(shown) - 0.4, -0.75))
        axes.axis("off")
        for is_member, name, alpha in ((False, "other", 0.5), (True, "front", 0.8)):
            lines = [
                path(place)
                for place, record in enumerate(summary.trials)
                if (record.number in members) == is_member
                and ranks[place] is not None
                and (is_member or ranks[place] in sample)
            ]
            axes.plot(
                *in_one_path(lines), color=PALETTE[name], lw=1.5 if is_member else 0.8,
                alpha=alpha, zorder=2 + is_member,
            )  # fmt: skip
        for row, column in enumerate(shown):
            _label(axes, row, columns[column], width_inches=width_inches)
    return figure


def parallel_columns(columns: Sequence[Column]) -> list[int]:
    """Which columns are axes of the parallel coordinates: choices, then accuracy and cost."""
    choices = [place for place, column in enumerate(columns) if column.get("is_choice")]
    return [*choices[:_ROWS], ACCURACY, COST]


def ends_of(column: Column) -> Range:
    """The ends of a column of numbers."""
    known = [value for value in column["values"] if value is not None]
    return (min(known), max(known)) if known and min(known) < max(known) else (0.0, 1.0)


def _at(column: Column, place: int, rank: float, ends: Range) -> float:
    """Where a trial crosses the axis of a column, 0 to 1; NaN where it has no value."""
    value = column["values"][place]
    if value is None:
        return math.nan
    if labels := column.get("labels"):
        return float((value + 0.5 + _SPREAD * (rank - 0.5)) / len(labels))
    return float((value - ends[0]) / (ends[1] - ends[0]))


def _label(axes: Axes, row: int, column: Column, *, width_inches: float) -> None:
    """The axis of a column with its name, and its values or its ends."""
    axes.plot([0, 1], [row, row], color=PALETTE["rule"], lw=0.8, zorder=1)
    unit = column.get("unit")
    title = f"{column['name']}, {unit}" if unit else column["name"]
    labels = column.get("labels")
    if labels:
        longest = int(width_inches / len(labels) / _LETTER)
        told = [((at + 0.5) / len(labels), label, "center") for at, label in enumerate(labels)]
    else:
        low, high = ends_of(column)
        longest = 20
        scale = column.get("scale", 1)
        told = [(0.0, short(scale * low), "left"), (1.0, short(scale * high), "right")]
    background = {"facecolor": PALETTE["paper"], "alpha": 0.75, "lw": 0, "pad": 0.6}
    entries = [(0.0, title, "left", -0.3, "ink", 60), *((*t, 0.3, "muted", longest) for t in told)]
    for x, text, side, down, colour, length in entries:
        axes.text(
            x, row + down, one_line(drawable(text), length=max(length, 3)), ha=side, va="center",
            fontsize=7.5, color=PALETTE[colour], parse_math=False, bbox=background, zorder=4,
        )  # fmt: skip
