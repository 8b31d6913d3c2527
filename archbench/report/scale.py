"""Which part of an axis is shown, and is it linear or logarithmic."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from archbench.report.summary import Summary, finite

_LOGARITHMIC_FROM = 8.0  # ratio of the largest to the smallest cost
_LEFT_MARGIN, _RIGHT_MARGIN = 30, 22  # points: room for a trial's number, and for the limit's label
_CHANCE_SHARE = 0.62  # of the height, at most, goes to the gap between chance and the trials


@dataclass(frozen=True, kw_only=True)
class Window:
    """The part of an axis that is shown.

    Attributes:
        low: Its lower end.
        high: Its upper end.
        is_log: Whether the axis is logarithmic.
    """

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
    """The costs that are shown: of all that was trained, and what else is near.

    What was not trained, the references among it, widens the window by half its span at most;
    further out it is only pointed at. Otherwise one slow reference would squeeze all the trials
    into a corner.

    Args:
        summary: The study.
        references: Costs of the references.
        width_points: Width of the axes, for margins that hold a label.
    """
    points = summary.points
    trained = [point.cost for point in points if point.accuracy is not None]
    trained += [end for point in points if point.kind == "front" for end in point.interval or ()]
    others = [point.cost for point in points if point.accuracy is None] + list(references)
    core = finite([*trained, summary.limit] if trained else [*others, summary.limit])
    low, high = (min(core), max(core)) if core else (0.0, 1.0)
    low, high = _widened(low, high, finite(others))
    left, right = _LEFT_MARGIN / width_points, _RIGHT_MARGIN / width_points
    if low > 0 and high / low > _LOGARITHMIC_FROM:
        ratio = high / low
        return Window(low=low / ratio**left, high=high * ratio**right, is_log=True)
    span = high - low or abs(high) or 1.0
    return Window(low=low - left * span, high=high + right * span)


def accuracy_window(summary: Summary) -> Window:
    """The accuracies in the plot of the front, with chance unless it lies far below all."""
    shares = []
    for point in summary.points:
        if point.accuracy is not None:
            has_bar = point.kind in ("front", "dominated")
            error = 1.96 * (point.error or 0) if has_bar else 0
            shares += [point.accuracy - error, point.accuracy + error]
    return share_window(finite(shares), chance=summary.chance)


def share_window(shares: Sequence[float], *, chance: float | None) -> Window:
    """The part of 0 to 1 that shows the shares, and chance where it is not far below them."""
    if not shares:
        return Window(low=-0.02, high=1.02)
    bottom, top = min(shares), max(shares)
    if chance is not None and (top - chance) * (1 - _CHANCE_SHARE) <= max(top - bottom, 0.05):
        bottom = min(bottom, chance)
    margin = max(0.07 * (top - bottom), 0.012)
    return Window(low=bottom - margin, high=min(top + 1.6 * margin, max(1.03, top)))


def _widened(low: float, high: float, others: Sequence[float]) -> tuple[float, float]:
    reach = math.sqrt(max(high / low, 1.5)) if low > 0 else 1.5
    near = [other for other in others if low / reach <= other <= high * reach]
    return min([low, *near]), max([high, *near])
