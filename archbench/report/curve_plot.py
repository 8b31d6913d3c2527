"""How far had the proxy trainings come when they were judged: the plot of the learning curves."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING

from archbench.report.figure import PALETTE, axes_in_inches, style
from archbench.report.marks import draw_chance, scale_shares
from archbench.report.scale import share_window
from archbench.report.summary import Summary, finite
from archbench.study.trial import TrialRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_RASTER_FROM = 400  # curves, beyond which they are drawn as an image
_LEFT, _RIGHT, _BOTTOM, _TOP = 0.8, 0.42, 0.46, 0.08  # inches

Curve = tuple[Sequence[int], Sequence[float]]


def curve_figure(summary: Summary, *, width_inches: float = 8.0) -> Figure | None:
    """Proxy accuracy over epochs, mean over seeds: the front's members before all others.

    Returns:
        None where no training has reached a second rung, so that there is nothing to see.
    """
    from matplotlib.figure import Figure

    members = {record.number for record in summary.front}
    curves = {record.number: mean_curve(record) for record in summary.trials if record.curve}
    epochs = sorted({epoch for epochs, _ in curves.values() for epoch in epochs})
    if len(epochs) < 2:
        return None
    width, height = width_inches, min(3.2, max(2.5, 0.4 * width_inches))
    with style():
        figure = Figure(figsize=(width, height))
        size = width - _LEFT - _RIGHT, height - _BOTTOM - _TOP
        axes = axes_in_inches(figure, _LEFT, _BOTTOM, *size)
        shares = finite(share for _, shares in curves.values() for share in shares)
        axes.set_xlim(epochs[0] - 0.03 * (epochs[-1] - epochs[0]), epochs[-1])
        axes.set_xticks(epochs if len(epochs) <= 12 else epochs[:: len(epochs) // 8])
        axes.set_xlabel("epochs of the proxy training")
        scale_shares(axes, share_window(shares, chance=summary.chance))
        if summary.chance is not None:
            draw_chance(axes, summary.chance)
        _draw_others(axes, [curve for number, curve in curves.items() if number not in members])
        _draw_members(axes, [(number, curves[number]) for number in members if number in curves])
    return figure


def mean_curve(record: TrialRecord) -> Curve:
    """Epochs, and the accuracy at each as the mean over the seeds that reached it."""
    reached: dict[int, list[float]] = {}
    for point in record.curve:
        reached.setdefault(point.epoch, []).append(point.accuracy)
    epochs = sorted(reached)
    return epochs, [statistics.fmean(reached[epoch]) for epoch in epochs]


def _draw_others(axes: Axes, curves: Sequence[Curve]) -> None:
    from matplotlib.collections import LineCollection

    lines = [list(zip(epochs, shares, strict=True)) for epochs, shares in curves]
    alpha = 0.5 if len(lines) <= _RASTER_FROM else max(0.015, 40 / len(lines))
    collection = LineCollection(
        lines, colors=PALETTE["other"], linewidths=0.8, alpha=alpha, zorder=3,
        rasterized=len(lines) > _RASTER_FROM,
    )  # fmt: skip
    axes.add_collection(collection, autolim=False)
    ends = [(line[-1][0], line[-1][1]) for line in lines]
    if len(lines) <= _RASTER_FROM:
        axes.scatter(
            [epoch for epoch, _ in ends], [share for _, share in ends], s=7, zorder=3, linewidths=0,
            color=PALETTE["other"], alpha=0.7, clip_on=False,
        )  # fmt: skip


def _draw_members(axes: Axes, curves: Sequence[tuple[int, Curve]]) -> None:
    """Blue lines with the trial number at their end, where it covers no other."""
    colour, size = PALETTE["front"], 8.5
    free_from = float("inf")
    for number, (epochs, shares) in sorted(curves, key=lambda curve: -curve[1][1][-1]):
        axes.plot(epochs, shares, color=colour, lw=1.3, alpha=0.85, zorder=5)
        end = (epochs[-1], shares[-1])
        axes.scatter([end[0]], [end[1]], s=16, color=colour, zorder=6, clip_on=False, linewidths=0)
        height = axes.transData.transform(end)[1]
        if height > free_from:
            continue
        free_from = height - 1.05 * size * axes.figure.dpi / 72
        axes.annotate(
            str(number), end, xytext=(5, 0), textcoords="offset points", ha="left",
            va="center_baseline", fontsize=size, fontweight="bold", color=colour,
            annotation_clip=False,
        )  # fmt: skip
