"""What the trials of a study say of its choices, as text in 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from archbench.analysis.importance import FEWEST, Insight
from archbench.analysis.share import KnobShare
from archbench.report.insight import METHOD, best, findings, percent, told
from archbench.report.text import WIDTH, table

_SHOWN = 8
_LONGEST = 38


def insight_text(name: str, found: Insight) -> str:
    """Shares for accuracy and cost, pairs, bounds, values that never help."""
    opening = f"{name}: what {found.num_trials} trained trials say of its choices"
    if not found.is_told:
        return f"{opening}\n\nnot separable with {found.num_trials} trials: {FEWEST} are the least"
    cost = found.cost.removesuffix("_ms")
    parts = [
        opening,
        f"accuracy at equal {cost}: {told(found.accuracy, found)}",
        _table(found.accuracy, factor=100, unit="points"),
        f"{cost}: {told(found.costs, found)}",
        _table(found.costs, factor=100, unit="% about"),
        "\n".join(_filled(text) for text in findings(found)),
        _filled(METHOD),
    ]
    return "\n\n".join(part for part in parts if part)


def _table(knobs: Sequence[KnobShare], *, factor: float, unit: str) -> str:
    rows = [
        (
            _shortened(knob.axis),
            percent(knob.share),
            best(knob, factor=factor) if knob.is_separable else "not separable",
        )
        for knob in knobs[:_SHOWN]
    ]
    return table(("choice", "share, %", f"from, {unit}, to"), rows, align="lrl")


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _filled(text: str) -> str:
    return textwrap.fill(text, WIDTH, subsequent_indent="  ", break_on_hyphens=False)
