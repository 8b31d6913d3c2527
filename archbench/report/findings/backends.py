"""One network under several backends, side by side: what was left out, what changes places."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from archbench.report import number
from archbench.report.element import Lines, Part, ReportTable
from archbench.report.findings.measured_under import device_text

_TITLES = ("backend", "as", "ms (95 % interval)", "x eager", "ready in", "error", "verdict")
_LEGEND = (
    "x eager: times as fast as eager in fp32",
    "ready in: copying, exporting and compiling",
    "error: largest difference from eager in fp32, over the largest output",
)


def has_several(model: Mapping[str, Any]) -> bool:
    """Whether a network of a profile document was timed in more than one way."""
    ways = {(entry["backend"], entry["precision_asked"]) for entry in model["latency"]}
    return len(ways) > 1


def timed(entry: Mapping[str, Any]) -> str:
    """A latency of a profile document with its interval, or none."""
    value, low, high = (entry[f"{name}_ms"] for name in ("median", "low", "high"))
    return "none" if value is None else number.with_interval(value, low, high)


def backend_tables(model: Mapping[str, Any]) -> list[Part]:
    """Its latencies, a table for each device and batch; what is to be said stands beneath."""
    places: dict[str, list[Mapping[str, Any]]] = {}
    for entry in model["latency"]:
        place = f"{device_text(entry)}, batch {entry['batch']}"
        places.setdefault(place, []).append(entry)
    parts: list[Part] = []
    for place, entries in places.items():
        legend = _LEGEND if place == list(places)[-1] else ()
        notes = [note for entry in entries for note in _notes(entry)]
        rows = [_cells(entry) for entry in entries]
        shown = ReportTable(titles=_TITLES, rows=rows, align="llrrrrl", notes=[*notes, *legend])
        parts += [f"latency on {place}", shown]
    return parts


def unavailable(entries: Sequence[Mapping[str, Any]]) -> Part:
    """The backends that were left out, with what brings them; nothing for none."""
    if not entries:
        return ""
    texts = [
        f"  {entry['backend']}{' ' if entry['precision'] else ''}{entry['precision'] or ''}: "
        f"{entry['reason']}; {entry['help']}"
        for entry in entries
    ]
    return Lines(["left out:", *texts], rest="    ")


def flips(found: Sequence[Mapping[str, Any]]) -> list[str]:
    """The pairs of networks whose order depends on the backend."""
    return [
        f"the order depends on the backend ({flip['device']}, batch {flip['batch']}): "
        f"{flip['first']} is faster under {', '.join(flip['first_wins'])}; "
        f"{flip['second']} under {', '.join(flip['second_wins'])}"
        for flip in found
    ]


def _notes(entry: Mapping[str, Any]) -> list[str]:
    ran, asked = entry["precision"], entry["precision_asked"]
    notes = []
    if ran != asked:
        notes.append(f"{entry['backend']} computed {ran} where {asked} was asked for")
    if entry["reason"]:
        notes.append(f"{entry['backend']} {ran}, {entry['verdict']}: {entry['reason']}")
    return notes


def _cells(entry: Mapping[str, Any]) -> tuple[str, ...]:
    details, speed = entry["details"], entry["speed_to_eager"]
    error = details.get("deployment_error", details.get("backend_error"))
    seconds = details.get("preparation_s")
    return (
        entry["backend"],
        entry["precision"],
        timed(entry),
        number.NOT_THERE if speed is None else f"{speed:.2f}",
        number.NOT_THERE if seconds is None else number.duration(seconds),
        number.NOT_THERE if error is None else f"{error:.1e}",
        entry["verdict"],
    )
