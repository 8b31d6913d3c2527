"""How does a person read one network under several backends, side by side?"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from archbench.report import number
from archbench.report.text import table

_TITLES = ("backend", "as", "ms (95 % interval)", "x eager", "ready in", "error", "verdict")


def has_several(model: Mapping[str, Any]) -> bool:
    """Whether a network of a profile document was timed in more than one way."""
    ways = {(entry["backend"], entry["precision_asked"]) for entry in model["latency"]}
    return len(ways) > 1


def backend_table(model: Mapping[str, Any]) -> str:
    """Its latencies, a table for each device and batch; what is to be said stands beneath."""
    places = list(dict.fromkeys(map(_place, model["latency"])))
    parts = []
    for place in places:
        entries = [entry for entry in model["latency"] if _place(entry) == place]
        parts.append(f"latency on {place}\n\n{_table(entries)}")
    parts[-1] += (
        "\nx eager: times as fast as eager in fp32\n"
        "ready in: copying, exporting and compiling\n"
        "error: largest difference from eager in fp32, over the largest output"
    )
    return "\n\n".join(parts)


def unavailable_text(entries: Sequence[Mapping[str, Any]]) -> str:
    """The backends that were left out, with what brings them; empty for none."""
    lines: list[str] = []
    for entry in entries:
        kind = f" {entry['precision']}" if entry["precision"] else ""
        text = f"{entry['backend']}{kind}: {entry['reason']}; {entry['help']}"
        lines += textwrap.wrap(text, 80, initial_indent="  ", subsequent_indent="    ")
    return "\n".join(["left out:", *lines]) if lines else ""


def flip_text(flips: Sequence[Mapping[str, Any]]) -> str:
    """The pairs of networks whose order depends on the backend; empty for none."""
    lines = [
        line
        for flip in flips
        for line in textwrap.wrap(
            f"the order depends on the backend ({flip['device']}, batch {flip['batch']}): "
            f"{flip['first']} is faster under {', '.join(flip['first_wins'])}; "
            f"{flip['second']} under {', '.join(flip['second_wins'])}",
            80,
            subsequent_indent="  ",
        )
    ]
    return "\n".join(lines)


def _place(entry: Mapping[str, Any]) -> str:
    cores = f" x{entry['threads']}" if entry["device"] == "cpu" else ""
    return f"{entry['device']}{cores}, batch {entry['batch']}"


def _table(entries: Sequence[Mapping[str, Any]]) -> str:
    rows, notes = [], []
    for entry in entries:
        rows.append(_cells(entry))
        ran, asked = entry["precision"], entry["precision_asked"]
        if ran != asked:
            notes.append(f"{entry['backend']} computed {ran} where {asked} was asked for")
        if entry["reason"]:
            notes.append(f"{entry['backend']} {ran}, {entry['verdict']}: {entry['reason']}")
    shown = table(_TITLES, rows, align="llrrrrl")
    wrapped = [line for note in notes for line in textwrap.wrap(note, 80, subsequent_indent="  ")]
    return "\n".join([shown, *wrapped])


def _cells(entry: Mapping[str, Any]) -> tuple[str, ...]:
    details, speed = entry["details"], entry["speed_to_eager"]
    error = details.get("deployment_error", details.get("backend_error"))
    seconds = details.get("preparation_s")
    value = "none"
    if entry["median_ms"] is not None:
        value = number.with_interval(entry["median_ms"], entry["low_ms"], entry["high_ms"])
    return (
        entry["backend"],
        entry["precision"],
        value,
        number.NOT_THERE if speed is None else f"{speed:.2f}",
        number.NOT_THERE if seconds is None else number.duration(seconds),
        number.NOT_THERE if error is None else f"{error:.1e}",
        entry["verdict"],
    )
