"""Which part of the axes does a plot of a study show, and what mark does each trial get."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from archbench.report.figure import PALETTE, drawable
from archbench.report.html import one_line
from archbench.report.number import short
from archbench.report.summary import Point, Summary, finite

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LOGARITHMIC_FROM = 2.5  # ratio of the largest to the smallest cost
_LEFT_MARGIN, _RIGHT_MARGIN = 30, 22  # points: room for a trial's number, and for the limit's label
_CHANCE_SHARE = 0.25  # of the height, at most, goes to the gap between chance and the trials
_ERROR_BARS_UP_TO = 80  # of the dominated trials; more only hide one another
_CROWD = 400  # trials, beyond which all but the front are smaller, fainter, and an image
_MARKS = {
    "dominated": ("dominated", "o", 15, "other", 0.85),
    "chance": ("not above chance", "s", 11, "other", 0.85),
    "stopped": ("stopped early", "v", 13, "other", 0.85),
    "over_limit": ("over the limit", "x", 20, "limit", 0.9),
}
"""Kind of a point to its label, marker, size, colour and opacity, in the order of the legend."""


class Window(NamedTuple):
    """The part of an axis that is shown."""

    low: float
    high: float
    is_log: bool = False

    @property
    def log_steps(self) -> tuple[float, ...]:
        """Where within a decade the ticks of a logarithmic axis stand."""
        decades = math.log10(self.high / self.low)
        if decades < 1:
            return (1, 1.5, 2, 3, 4, 5, 6, 8)
        return (1, 2, 5) if decades < 2.6 else (1,)

    def holds(self, value: float) -> bool:
        """Whether the value is shown."""
        return self.low <= value <= self.high


def cost_window(summary: Summary, references: Sequence[float], *, width_points: float) -> Window:
    """The costs that are shown: of all that was trained, and what of the other trials is near.

    A trial that was not trained widens the window by half its span at most; further out it is only
    pointed at. References never do, or one slow network would squeeze all the trials into a corner;
    they count where nothing was trained. The margins hold a label on axes of this width.
    """
    points = [*summary.points, *summary.known.values()]
    trained = [point.cost for point in points if point.accuracy is not None]
    trained += [end for point in points if point.kind == "front" for end in point.interval or ()]
    others = [point.cost for point in points if point.accuracy is None]
    core = finite([*(trained or [*others, *references]), summary.limit]) or [0.0, 1.0]
    low, high = min(core), max(core)
    reach = math.sqrt(max(high / low, 1.5)) if low > 0 else 1.5
    near = [other for other in finite(others) if low / reach <= other <= high * reach]
    low, high = min([low, *near]), max([high, *near])
    return window_of([low, high], width_points=width_points)


def window_of(values: Sequence[float], *, width_points: float) -> Window:
    """The values with a margin at both ends, on axes of this width; of a wide range logarithms."""
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    left, right = _LEFT_MARGIN / width_points, _RIGHT_MARGIN / width_points
    if low > 0 and high / low > _LOGARITHMIC_FROM:
        ratio = high / low
        return Window(low / ratio**left, high * ratio**right, is_log=True)
    span = high - low or abs(high) or 1.0
    return Window(low - left * span, high + right * span)


def accuracy_window(summary: Summary) -> Window:
    """The accuracies in the plot of the front, with chance unless it lies far below all."""
    shares = []
    for point in (*summary.points, *summary.known.values()):
        if point.accuracy is not None:
            has_bar = point.kind in ("front", "dominated")
            error = 1.96 * (point.error or 0) if has_bar else 0
            shares += [point.accuracy - error, point.accuracy + error]
    return share_window(finite(shares), chance=summary.chance)


def share_window(shares: Sequence[float], *, chance: float) -> Window:
    """The part of 0 to 1 that shows the shares, and chance where it is not far below them."""
    if not shares:
        return Window(-0.02, 1.02)
    bottom, top = min(shares), max(shares)
    if (top - chance) * (1 - _CHANCE_SHARE) <= max(top - bottom, 0.05):
        bottom = min(bottom, chance)
    margin = max(0.07 * (top - bottom), 0.012)
    return Window(bottom - margin, min(top + 1.6 * margin, max(1.03, top)))


def show_costs(axes: Axes, window: Window) -> None:
    """Show a window of costs, at whose ticks they stand in figures."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    if window.is_log:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=window.log_steps, numticks=12))
        axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: tick(value)))
    axes.set_xlim(window.low, window.high)


def tick(value: float) -> str:
    """A cost as it stands at a tick."""
    return short(value) if abs(value) >= 10_000 else f"{value:.4g}"


def show_shares(
    axes: Axes, window: Window, *, chance: float, label: str = "proxy accuracy"
) -> None:
    """Show a window of accuracies in percent, and chance as a line or a note at the edge."""
    from matplotlib.ticker import FuncFormatter

    axes.set_ylim(window.low, window.high)
    axes.set_yticks([value for value in axes.get_yticks() if -1e-9 <= value <= 1 + 1e-9])
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.4g} %"))
    axes.set_ylim(window.low, window.high)
    axes.set_ylabel(label)
    is_shown = window.holds(chance)
    if is_shown:
        axes.axhline(chance, color=PALETTE["muted"], lw=1.1, ls=(0, (1, 2)), zorder=2)
    said = f"chance {100 * chance:.3g} %"
    axes.annotate(
        said if is_shown else f"{said}, below ↓",
        (1, chance if is_shown else window.low), xycoords=("axes fraction", "data"),
        xytext=(-3, 3 if is_shown else 12), textcoords="offset points", ha="right", va="bottom",
        fontsize=8, color=PALETTE["muted"],
    )  # fmt: skip


def by_mark(points: Sequence[Point]) -> dict[str, list[Point]]:
    """The points by the mark that they get, in the order of the legend."""
    groups: dict[str, list[Point]] = {kind: [] for kind in ("front", *_MARKS, "untrained")}
    for point in points:
        groups["untrained" if point.accuracy is None else point.kind].append(point)
    return groups


def draw_trials(
    axes: Axes,
    groups: Mapping[str, Sequence[Point]],
    window: Window,
    *,
    limit: float | None,
    links: Mapping[int, str],
) -> None:
    """Draw every trial that has a place in the window, grouped by mark, the front uppermost.

    Links lead from a trial of this number to that address.
    """
    if groups["front"]:
        _draw_front(axes, groups["front"], limit or window.high, links=links)
    if len(groups["dominated"]) <= _ERROR_BARS_UP_TO:
        _draw_bars(axes, groups["dominated"], PALETTE["other"], width=0.7, alpha=0.5)
    is_crowd = sum(map(len, groups.values())) > _CROWD
    for kind in _MARKS:
        _scatter(axes, kind, groups[kind], links=links, is_crowd=is_crowd)
    _draw_untrained(axes, groups["untrained"], window, links=links, is_crowd=is_crowd)


def label_front(axes: Axes, front: Sequence[Point]) -> None:
    """The trial number beside each member, above left of it, where no trial can lie, or below.

    A member whose number would cover another or its number goes without; the table has it.
    """
    size = 8.5
    places = [axes.transData.transform((point.cost, point.height)) for point in front]
    dots = axes.figure.dpi / 72
    taken = [(x - 4 * dots, y - 4 * dots, x + 4 * dots, y + 4 * dots) for x, y in places]
    for point, (x, y) in zip(front, places, strict=True):
        text = str(point.trial)
        width, height = 0.72 * size * len(text) * dots, 0.85 * size * dots
        wide = width / dots
        for left, up in ((5, 4), (0, 6), (-wide - 5, -11), (5, -11), (-wide / 2, 16)):
            end, bottom = x - left * dots, y + up * dots
            begin, top = end - width, bottom + height
            if not any(
                begin < right and a < end and bottom < upper and lower < top
                for a, lower, right, upper in taken
            ):
                break
        else:
            continue
        taken.append((begin, bottom, end, top))
        axes.annotate(
            text, (point.cost, point.height), xytext=(-left, up),
            textcoords="offset points", ha="right", va="bottom", fontsize=size,
            fontweight="bold", color=PALETTE["front"], zorder=7,
        )  # fmt: skip


def draw_known(axes: Axes, known: Mapping[str, Point], window: Window) -> None:
    """The known networks with their names, each away from the nearer end of the axis."""
    if not known:
        return
    colour = PALETTE["reference"]
    _draw_bars(axes, list(known.values()), colour, width=0.9, alpha=0.8)
    axes.scatter(
        [point.cost for point in known.values()], [point.height for point in known.values()],
        s=28, marker="D", color=colour, edgecolors=PALETTE["paper"], linewidths=0.7, zorder=6,
        label=f"known network ({len(known)})",
    )  # fmt: skip
    ends = [math.log(end) if window.is_log else end for end in (window.low, window.high)]
    for name, point in known.items():
        place = math.log(point.cost) if window.is_log else point.cost
        is_left = place > sum(ends) / 2
        axes.annotate(
            one_line(drawable(name), length=32), (point.cost, point.height),
            xytext=(-6 if is_left else 6, -5), textcoords="offset points",
            ha="right" if is_left else "left", va="top", fontsize=8, color=colour,
            parse_math=False, zorder=7,
        )  # fmt: skip


def _draw_front(
    axes: Axes, front: Sequence[Point], end: float, *, links: Mapping[int, str]
) -> None:
    """The members, and the best accuracy within each cost up to the end of what is allowed."""
    ordered = sorted(front, key=lambda point: (point.cost, -point.height))
    costs = [point.cost for point in ordered]
    best = list(accumulate((point.height for point in ordered), max))
    colour = PALETTE["front"]
    axes.plot(
        [*costs, max(end, costs[-1])], [*best, best[-1]], drawstyle="steps-post", color=colour,
        lw=1.3, alpha=0.6, zorder=4,
    )  # fmt: skip
    _draw_bars(axes, front, colour, width=1.2, alpha=1)
    drawn = axes.scatter(
        [point.cost for point in front], [point.height for point in front],
        s=44, marker="o", color=colour, edgecolors=PALETTE["paper"], linewidths=0.7, zorder=6,
        label=f"on the front ({len(front)})",
    )  # fmt: skip
    drawn.set_urls([links.get(point.trial) for point in front])


def _draw_bars(
    axes: Axes, points: Sequence[Point], colour: str, *, width: float, alpha: float
) -> None:
    """The 95 % intervals of both numbers; wide ones with caps, off the step line."""
    if not points:
        return
    intervals = [point.interval or (math.nan, math.nan) for point in points]
    sides = [
        [point.cost - low for point, (low, _) in zip(points, intervals, strict=True)],
        [high - point.cost for point, (_, high) in zip(points, intervals, strict=True)],
    ]
    axes.errorbar(
        [point.cost for point in points], [point.height for point in points],
        xerr=np.abs(sides), yerr=[1.96 * (point.error or math.nan) for point in points],
        fmt="none", ecolor=colour, elinewidth=width, capsize=2 * width if width > 1 else 0,
        capthick=width, alpha=alpha, zorder=5 if width > 1 else 2.5,
    )  # fmt: skip


def _scatter(
    axes: Axes, kind: str, points: Sequence[Point], *, links: Mapping[int, str], is_crowd: bool
) -> None:
    if not points:
        return
    label, marker, size, colour, alpha = _MARKS[kind]
    is_hollow = marker != "x" and not is_crowd  # the front alone is filled
    drawn = axes.scatter(
        [point.cost for point in points], [point.height for point in points],
        s=size / 3 if is_crowd else size, marker=marker, alpha=alpha / 2 if is_crowd else alpha,
        linewidths=0.9 if is_hollow or marker == "x" else 0,
        facecolors=PALETTE["paper" if is_hollow else colour],
        edgecolors=None if marker == "x" else PALETTE[colour],
        label=f"{label} ({len(points)})", rasterized=is_crowd, zorder=3,
    )  # fmt: skip
    drawn.set_urls([links.get(point.trial) for point in points])


def _draw_untrained(
    axes: Axes,
    points: Sequence[Point],
    window: Window,
    *,
    links: Mapping[int, str],
    is_crowd: bool,
) -> None:
    """Trials that were refused by their cost alone stand as marks on the horizontal axis."""
    if not points:
        return
    shown = [point for point in points if window.holds(point.cost)]
    colour = PALETTE["limit"]
    drawn = axes.scatter(
        [point.cost for point in shown], [0] * len(shown), transform=axes.get_xaxis_transform(),
        s=20, marker="x", color=colour, linewidths=1.0, zorder=4, clip_on=False,
        alpha=0.4 if is_crowd else 0.9, rasterized=is_crowd,
        label=f"over limit, untrained ({len(points)})",
    )  # fmt: skip
    drawn.set_urls([links.get(point.trial) for point in shown])
    if len(shown) < len(points):
        axes.annotate(
            f"{len(points) - len(shown)} more →", (1, 0), xycoords="axes fraction",
            xytext=(-3, 4), textcoords="offset points", ha="right", va="bottom", fontsize=8,
            color=colour,
        )  # fmt: skip
