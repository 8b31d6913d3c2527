"""What mark does each trial get in the plot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from archbench.report.figure import PALETTE
from archbench.report.scale import Window
from archbench.report.summary import Point

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ERROR_BARS_UP_TO = 80  # of the dominated trials; more only hide one another
_CROWD = 400  # marks of one kind, beyond which they are smaller and fainter
_RASTER_FROM = 1000  # marks of one kind, beyond which they are drawn as an image

_Box = tuple[float, float, float, float]


def by_mark(points: Sequence[Point]) -> dict[str, list[Point]]:
    """The points by the mark that they get, in the order of the legend."""
    groups: dict[str, list[Point]] = {
        kind: [] for kind in ("front", "dominated", "chance", "stopped", "over_limit", "untrained")
    }
    for point in points:
        groups["untrained" if point.accuracy is None else point.kind].append(point)
    return groups


def scale_shares(axes: Axes, window: Window) -> None:
    """Let the vertical axis show a window of accuracies in percent."""
    from matplotlib.ticker import FuncFormatter

    axes.set_ylim(window.low, window.high)
    axes.set_yticks([value for value in axes.get_yticks() if -1e-9 <= value <= 1 + 1e-9])
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.4g} %"))
    axes.set_ylim(window.low, window.high)
    axes.set_ylabel("proxy accuracy")


def draw_chance(axes: Axes, chance: float) -> None:
    """The accuracy of always guessing the commonest class, if only as a note at the edge."""
    low, high = axes.get_ylim()
    is_shown = low <= chance <= high
    if is_shown:
        axes.axhline(chance, color=PALETTE["muted"], lw=1.1, ls=(0, (1, 2)), zorder=2)
    said = f"chance {100 * chance:.3g} %"
    axes.annotate(
        said if is_shown else f"{said}, below ↓",
        (1, chance if is_shown else low), xycoords=("axes fraction", "data"),
        xytext=(-3, 3 if is_shown else 12), textcoords="offset points", ha="right", va="bottom",
        fontsize=8, color=PALETTE["muted"],
    )  # fmt: skip


def draw_trials(
    axes: Axes,
    groups: Mapping[str, Sequence[Point]],
    window: Window,
    *,
    limit: float | None,
    is_linked: bool,
) -> None:
    """Draw every trial that has a place, the front last and uppermost.

    Args:
        axes: Where.
        groups: As ``by_mark`` gives them.
        window: The costs that are shown.
        limit: The limit on the cost.
        is_linked: Whether every member of the front links to ``#trial-<number>``.
    """
    if groups["front"]:
        _draw_front(axes, groups["front"], limit or window.high, is_linked=is_linked)
    if len(groups["dominated"]) <= _ERROR_BARS_UP_TO:
        _draw_bars(axes, groups["dominated"], PALETTE["other"], width=0.7, alpha=0.4)
    _scatter(axes, groups["dominated"], "dominated", marker="o", size=15, color="other", alpha=0.7)
    _scatter(
        axes, groups["chance"], "not above chance", marker="s", size=11, color="other", alpha=0.6
    )
    _scatter(
        axes, groups["stopped"], "stopped early", marker="v", size=13, color="other", alpha=0.6
    )
    _scatter(
        axes, groups["over_limit"], "over the limit", marker="x", size=20, color="limit", alpha=0.9
    )
    _draw_untrained(axes, groups["untrained"], window)


def label_front(axes: Axes, front: Sequence[Point]) -> None:
    """The trial number beside each member, above left of it, where no trial can lie.

    A member whose number would cover another or its number goes without; the table has it.
    """
    size = 8.5
    places = [axes.transData.transform((point.cost, point.height)) for point in front]
    dots = axes.figure.dpi / 72
    taken: list[_Box] = [
        (x - 3 * dots, y - 3 * dots, x + 3 * dots, y + 3 * dots) for x, y in places
    ]
    for point, (x, y) in zip(front, places, strict=True):
        text = str(point.trial)
        width, height = 0.72 * size * len(text) * dots, 0.85 * size * dots
        for left, up in ((4, 3), (0, 5)):
            right_edge, bottom = x - left * dots, y + up * dots
            box = (right_edge - width, bottom, right_edge, bottom + height)
            if not any(_overlap(box, other) for other in taken):
                break
        else:
            continue
        taken.append(box)
        axes.annotate(
            text, (point.cost, point.height), xytext=(-left, up),
            textcoords="offset points", ha="right", va="bottom", fontsize=size,
            fontweight="bold", color=PALETTE["front"], zorder=7,
        )  # fmt: skip


def _draw_front(axes: Axes, front: Sequence[Point], end: float, *, is_linked: bool) -> None:
    """The members, and the best accuracy within each cost up to the end of what is allowed."""
    costs: list[float] = []
    best: list[float] = []
    for point in sorted(front, key=lambda point: (point.cost, -point.height)):
        costs.append(point.cost)
        best.append(max(point.height, best[-1] if best else 0))
    costs.append(max(end, costs[-1]))
    best.append(best[-1])
    colour = PALETTE["front"]
    axes.plot(costs, best, drawstyle="steps-post", color=colour, lw=1.3, alpha=0.6, zorder=4)
    _draw_bars(axes, front, colour, width=1.2, alpha=1)
    drawn = axes.scatter(
        [point.cost for point in front], [point.height for point in front],
        s=30, marker="o", color=colour, edgecolors=PALETTE["paper"], linewidths=0.7, zorder=6,
        label=f"on the front ({len(front)})",
    )  # fmt: skip
    if is_linked:
        drawn.set_urls([f"#trial-{point.trial}" for point in front])


def _draw_bars(
    axes: Axes, points: Sequence[Point], colour: str, *, width: float, alpha: float
) -> None:
    """The 95 % intervals of both numbers, with caps that set them off from the step line."""
    for point in points:
        bars: list[tuple[tuple[float, float], tuple[float, float], str]] = []
        if point.interval:
            bars.append((point.interval, (point.height, point.height), "|"))
        if point.error:
            half = 1.96 * point.error
            ends = (point.height - half, point.height + half)
            bars.append(((point.cost, point.cost), ends, "_"))
        for x, y, cap in bars:
            axes.plot(
                x, y, color=colour, lw=width, alpha=alpha, zorder=5, marker=cap,
                markersize=4 * width, markeredgewidth=width,
            )  # fmt: skip


def _scatter(
    axes: Axes,
    points: Sequence[Point],
    label: str,
    *,
    marker: str,
    size: float,
    color: str,
    alpha: float,
) -> None:
    if not points:
        return
    is_crowd = len(points) > _CROWD
    colour = PALETTE[color]
    is_hollow = marker in ("v", "s") and not is_crowd
    axes.scatter(
        [point.cost for point in points], [point.height for point in points],
        s=size / 3 if is_crowd else size, marker=marker, alpha=alpha / 2 if is_crowd else alpha,
        linewidths=0.9 if is_hollow or marker == "x" else 0,
        facecolors="none" if is_hollow else colour, edgecolors=None if marker == "x" else colour,
        label=f"{label} ({len(points)})", rasterized=len(points) > _RASTER_FROM, zorder=3,
    )  # fmt: skip


def _draw_untrained(axes: Axes, points: Sequence[Point], window: Window) -> None:
    """Trials that were refused by their cost alone stand as marks on the horizontal axis."""
    if not points:
        return
    shown = [point.cost for point in points if window.holds(point.cost)]
    colour = PALETTE["limit"]
    axes.scatter(
        shown, [0] * len(shown), transform=axes.get_xaxis_transform(),
        s=20, marker="x", color=colour, linewidths=1.0, zorder=4, clip_on=False,
        alpha=0.4 if len(shown) > _CROWD else 0.9, rasterized=len(shown) > _RASTER_FROM,
        label=f"over limit, untrained ({len(points)})",
    )  # fmt: skip
    if len(shown) < len(points):
        axes.annotate(
            f"{len(points) - len(shown)} more →", (1, 0), xycoords="axes fraction",
            xytext=(-3, 4), textcoords="offset points", ha="right", va="bottom", fontsize=8,
            color=colour,
        )  # fmt: skip


def _overlap(first: _Box, second: _Box) -> bool:
    return (
        first[0] < second[2]
        and second[0] < first[2]
        and first[1] < second[3]
        and second[1] < first[3]
    )
