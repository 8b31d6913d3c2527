"""How does a person read a front: a line for each member, in 80 columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from archbench.analysis.front_probability import SURE
from archbench.report import number
from archbench.report.text import table
from archbench.study.measurement import Measurement
from archbench.study.trial import TrialRecord

if TYPE_CHECKING:
    from archbench.report.summary import Summary

_NOT_STABLE = "*"
_OTHERS = 2  # named; a line holds no more


def front_table(members: Sequence[TrialRecord], *, summary: Summary | None = None) -> str:
    """The front, cheapest first; a column that would be empty is left out.

    Args:
        members: The front.
        summary: Of the whole study, for standard errors; a search that goes on has none.
    """
    columns = {
        "trial": ("r", [str(record.number) for record in members]),
        "latency, ms": ("l", [_latency(record.latency) for record in members]),
        "proxy": (
            "r",
            [
                accuracy_text(record, error=summary.accuracy_error(record) if summary else None)
                for record in members
            ],
        ),
        "front": ("r", [_on_front(record, summary) for record in members]),
        "test": ("r", [_test(record, summary) for record in members]),
        "params": ("r", [number.short(record.params) for record in members]),
        "MACs": ("r", [number.short(record.macs) for record in members]),
    }
    filled = {title: column for title, column in columns.items() if any(column[1])}
    rows = list(zip(*(cells for _, cells in filled.values()), strict=True))
    align = "".join(side for side, _ in filled.values())
    lines = [table(list(filled), rows, align=align)]
    if any(_is_marked(record.latency) for record in members):
        lines.append(f"{_NOT_STABLE} taken on a disturbed machine")
    lines += _notes(members, summary) if summary else []
    return "\n".join(lines)


def latency_text(latency: Measurement | None) -> str:
    """A latency with its interval and unit, or none."""
    if latency is None or latency.value is None:
        return "none"
    return f"{number.with_interval(latency.value, latency.low, latency.high)} ms"


def accuracy_text(record: TrialRecord, *, error: float | None = None) -> str:
    """The proxy accuracy of a trial, or none."""
    reached = record.proxy_accuracy
    return "none" if reached is None else number.percent(reached, error)


def cost_text(record: TrialRecord) -> str:
    """What a trial costs: its latency, or its MACs where none was measured."""
    return latency_text(record.latency) if record.latency else f"{number.short(record.macs)} MACs"


def _latency(latency: Measurement | None) -> str:
    if latency is None:
        return ""
    mark = _NOT_STABLE if _is_marked(latency) else ""
    return latency_text(latency).removesuffix(" ms") + mark


def _is_marked(latency: Measurement | None) -> bool:
    return latency is not None and latency.verdict != "stable"


def _on_front(record: TrialRecord, summary: Summary | None) -> str:
    chance = summary.doubt.on_front.get(record.number) if summary else None
    return "" if chance is None else number.chance(chance)


def _notes(members: Sequence[TrialRecord], summary: Summary) -> list[str]:
    """Who may break a limit, and who else may belong on the front."""
    kept = {record.number: summary.doubt.meets_limits.get(record.number) for record in members}
    notes = [
        f"trial {trial} keeps the limits with {number.chance(chance)} only"
        for trial, chance in kept.items()
        if chance is not None and chance < SURE
    ]
    others = summary.others_with_a_chance
    if others:
        named = ", ".join(
            f"trial {trial} ({number.chance(chance)})" for trial, chance in others[:_OTHERS]
        )
        rest = f" and {len(others) - _OTHERS} more" if len(others) > _OTHERS else ""
        notes.append(f"not on it, but with a chance: {named}{rest}")
    return notes


def _test(record: TrialRecord, summary: Summary | None) -> str:
    if record.test_accuracy is None:
        return ""
    return number.percent(record.test_accuracy, summary.test_error(record) if summary else None)
