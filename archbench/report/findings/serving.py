"""How does a person read how a network serves: a line for each batch, and why a number is not."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

from archbench.report import number
from archbench.report.text import WIDTH, table

_QUANTITIES = {"p50": "p50", "p95": "p95", "p99": "p99", "peak": "peak memory", "energy": "energy"}


def serving_text(found: Mapping[str, Any]) -> str:
    """One network of an ``archbench.serving/1`` document, in 80 columns."""
    rows = [
        (
            str(entry["conditions"]["batch"]),
            f"{entry['ms']:.2f}",
            f"{entry['images_per_second']:,.1f}",
            *(_cell(entry[name]) for name in ("p50", "p95", "p99")),
            _cell(entry["peak"], scale=1e-6),
            _cell(entry["energy"]),
        )
        for entry in found["batches"]
    ]
    titles = ("batch", "ms", "images/s", "p50 ms", "p95 ms", "p99 ms", "peak MB", "mJ/image")
    parts = [_heading(found), table(titles, rows, align="rrrrrrrr"), _notes(found)]
    return "\n\n".join(parts)


def _cell(quantity: Mapping[str, Any], *, scale: float = 1.0) -> str:
    if quantity["value"] is None:
        return number.NOT_THERE
    return f"{quantity['value'] * scale:.2f}"


def _heading(found: Mapping[str, Any]) -> str:
    conditions = found["batches"][0]["conditions"]
    threads = f" x{conditions['threads']}" if conditions["device"] == "cpu" else ""
    resolution = "x".join(map(str, conditions["resolution"]))
    return (
        f"{found['name']}: {resolution} px, {conditions['device']}{threads}, "
        f"{conditions['backend']} {conditions['precision']}, deployed form"
    )


def _notes(found: Mapping[str, Any]) -> str:
    lines = [
        "ms and images/s are calibrated, as latencies are; p50, p95 and p99 are passes on the "
        "wall clock as it was; peak is what a pass needs beside the weights.",
    ]
    if found["saturating_batch"] is not None:
        lines.append(
            f"images/s: batch {found['saturating_batch']} is the smallest within 5 % of the best."
        )
    missing: dict[str, list[str]] = {}
    for entry in found["batches"]:
        for key, name in _QUANTITIES.items():
            if entry[key]["reason"]:
                text = f"{name}: not available: {entry[key]['reason']}"
                missing.setdefault(text, []).append(str(entry["conditions"]["batch"]))
    for text, batches in missing.items():
        everywhere = len(batches) == len(found["batches"])
        lines.append(text if everywhere else f"{text} (batch {', '.join(batches)})")
    shares = [entry["off_cpu"] or 0.0 for entry in found["batches"]]
    if max(shares) > 0.05:
        lines.append(f"Other work held the core for up to {max(shares):.0%} of the time.")
    return "\n".join(line for text in lines for line in textwrap.wrap(text, WIDTH))
