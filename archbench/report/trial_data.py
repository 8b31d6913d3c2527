"""What does the script of a page know of the trials: numbers and choices, column by column."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from archbench.report.document import to_words
from archbench.report.html import one_line, visible
from archbench.report.inventory import by_number, train_command
from archbench.report.summary import Summary

TRIAL, COST, ACCURACY = 0, 1, 2
"""The columns of the numbers that plots show."""

STATES = {"pruned": "stopped early", "over_limit": "over the limit"}
_REASONS_UP_TO = 1000  # trials; a larger page would hold little else
_PLACE = "TRIAL"


def trial_data(summary: Summary) -> dict[str, Any]:
    """Trials by number, and their columns, of which those of the choices are not shown at first.

    A column has numbers as ``values``, some with ``low`` and ``high`` or an ``error``, to be shown
    multiplied by a ``scale``; or ``labels``, and as values their places among them; None is
    nothing. ``rank`` is that of the accuracy, 0 to 1, which keeps lines through one value apart.
    """
    records = summary.trials
    chosen = choice_columns(summary)
    reasons = [one_line(record.why_it_ended, length=100) for record in records]
    has_reasons = any(reasons) and len(records) <= _REASONS_UP_TO
    states = [STATES.get(record.state, record.state) for record in records]
    numbers = [record.number for record in records]
    columns = [{"name": "trial", "values": numbers}, *_measured(summary)]
    columns.append(_labelled("state", states))
    columns += [_labelled("why it ended", [reason or None for reason in reasons])] * has_reasons
    before, _, after = train_command(summary, _PLACE).partition(f":{_PLACE}")
    return {
        "trials": numbers,
        "front": [record.number for record in summary.front],
        "columns": [*columns, *chosen],
        "shown": len(columns),
        "rank": ranks(columns[ACCURACY]["values"]),
        "command": [f"{before}:", after],
    }


def choice_columns(summary: Summary) -> list[dict[str, Any]]:
    """The choices on each axis on which more than one value was tried."""
    axes = dict.fromkeys(axis for record in summary.trials for axis in record.choices)
    found = [
        _labelled(axis, [_choice(record.choices.get(axis)) for record in summary.trials])
        | {"is_choice": True}
        for axis in axes
    ]
    return [column for column in found if len(column["labels"]) > 1]


def ranks(values: Sequence[float | None]) -> list[float | None]:
    """The rank of each value, 0 to 1; None of nothing."""
    order = sorted((value, place) for place, value in enumerate(values) if value is not None)
    found: list[float | None] = [None] * len(values)
    for rank, (_, place) in enumerate(order):
        found[place] = round((rank + 0.5) / len(order), 3)
    return found


def _measured(summary: Summary) -> list[dict[str, Any]]:
    """What a trial costs, what it reached, and its sizes where they are not the cost."""
    points = {point.trial: point for point in summary.points}
    found = [points.get(record.number) for record in summary.trials]
    cost: dict[str, Any] = {"name": summary.cost.label, "unit": summary.cost.unit}
    cost["values"] = [summary.cost.value(record) for record in summary.trials]
    accuracy: dict[str, Any] = {"name": "proxy accuracy", "unit": "%", "scale": 100}
    accuracy["values"] = [p and p.accuracy for p in found]
    if any(p and p.interval for p in found):
        cost["low"] = [p and p.interval and p.interval[0] for p in found]
        cost["high"] = [p and p.interval and p.interval[1] for p in found]
    if any(p and p.error for p in found):
        accuracy["error"] = [p and p.error and float(f"{p.error:.2g}") for p in found]
    sizes = [
        {"name": title, "unit": "", "values": [getattr(record, size) for record in summary.trials]}
        for size, title in (("params", "parameters"), ("macs", "MACs"))
        if size != summary.cost.name
    ]
    parts = ("values", "low", "high", "error")
    return [
        {key: list(map(_short, part)) if key in parts else part for key, part in column.items()}
        for column in (cost, accuracy, *sizes)
    ]


def _short(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(f"{value:.5g}") if isinstance(value, float) else value


def _choice(value: Any) -> str | None:
    return None if value is None else one_line(to_words(value), length=80)


def _labelled(name: str, texts: Sequence[str | None]) -> dict[str, Any]:
    labels = sorted({text for text in texts if text is not None}, key=by_number)
    places = {label: place for place, label in enumerate(labels)}
    return {
        "name": visible(name),
        "labels": [visible(label) for label in labels],
        "values": [None if text is None else places[text] for text in texts],
    }
