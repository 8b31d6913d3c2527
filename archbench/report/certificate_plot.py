"""How well does each score order the candidates, and what is left of both at equal cost?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from archbench.analysis.certificate import GOOD, Certificate, Finding
from archbench.analysis.rank import without_cost
from archbench.analysis.statistics import Estimate
from archbench.report.certificate import scores
from archbench.report.figure import PALETTE, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_HEIGHT = 3.1  # inches of a panel
_SIDE_BY_SIDE_FROM = 6.0


def certificate_figure(found: Certificate, *, width_inches: float = 8.0) -> Figure | None:
    """Taus with their intervals and, beside or below, the candidates at equal cost.

    Returns:
        None where nothing was found yet.
    """
    from matplotlib.figure import Figure

    finding = found.finding
    if finding is None or not finding.rungs:
        return None
    panels = 2 if any(candidate.longer for candidate in found.candidates) else 1
    beside = width_inches >= _SIDE_BY_SIDE_FROM or panels == 1
    with style():
        height = _HEIGHT if beside else panels * _HEIGHT
        figure = Figure(figsize=(width_inches, height), layout="constrained")
        shape = (1, panels) if beside else (panels, 1)
        drawn = figure.subplots(*shape, squeeze=False).ravel()
        _draw_taus(drawn[0], finding)
        if panels == 2:
            _draw_candidates(drawn[1], found)
    return figure


def _draw_taus(axes: Axes, finding: Finding) -> None:
    rows = list(scores(finding))
    for row, (_, median, agreement) in enumerate(rows):
        colour = PALETTE["front"] if median is not None else PALETTE["other"]
        _interval(axes, row - 0.14, agreement.at_equal_cost, colour=colour, is_filled=True)
        _interval(axes, row + 0.16, agreement.overall, colour=colour, is_filled=False)
    axes.axvline(0, color=PALETTE["muted"], lw=1)
    axes.axvline(GOOD, color=PALETTE["reference"], lw=1, ls="--")
    axes.set_yticks(range(len(rows)), [name for name, *_ in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("Kendall's tau; filled: at equal cost, hollow: overall")


def _interval(axes: Axes, row: float, estimate: Estimate, *, colour: str, is_filled: bool) -> None:
    axes.plot([estimate.low, estimate.high], [row, row], color=colour, lw=2 if is_filled else 1)
    axes.plot(
        [estimate.value], [row], marker="o", ms=5, ls="none", color=colour,
        mfc=colour if is_filled else PALETTE["paper"],
    )  # fmt: skip


def _draw_candidates(axes: Axes, found: Certificate) -> None:
    """Points above or below what others of their cost reach, by the proxy and by the longer."""
    used = [c for c in found.candidates if c.longer and c.proxy]
    log_cost = np.log([float(c.macs) for c in used])
    short = np.array([np.mean([curve[max(curve)] for curve in c.proxy.values()]) for c in used])
    longer = np.array([np.mean(list(c.longer.values())) for c in used])
    axes.scatter(
        100 * without_cost(short, log_cost), 100 * without_cost(longer, log_cost), s=18,
        color=PALETTE["front"], alpha=0.8, linewidths=0,
    )  # fmt: skip
    axes.axhline(0, color=PALETTE["muted"], lw=1)
    axes.axvline(0, color=PALETTE["muted"], lw=1)
    axes.set_xlabel("points above others of its cost: proxy")
    axes.set_ylabel(f"after {found.header['longer']} epochs")
