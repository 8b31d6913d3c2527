"""How does a network serve: a line for each batch, and why a number is not there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from archbench.report.element import Lines, Part, ReportTable, one_after_another
from archbench.report.finding import Finding
from archbench.report.number import NOT_THERE, runs_text, side

_QUANTITIES = {"p50": "p50", "p95": "p95", "p99": "p99", "peak": "peak memory", "energy": "energy"}


def finding(document: Mapping[str, Any], *, next_step: str) -> Finding:
    """A document of the schema ``archbench.serving/1``."""
    return Finding(document, [one_after_another(map(parts_of, document["networks"]))], next_step)


def parts_of(found: Mapping[str, Any]) -> list[Part]:
    """One network of such a document."""

    def text(quantity: Mapping[str, Any], *, scale: float = 1.0) -> str:
        value = quantity["value"]
        return NOT_THERE if value is None else f"{value * scale:.2f}"

    rows = [
        {
            "batch": entry["conditions"]["batch"],
            "ms": f"{entry['ms']:.2f}",
            "images/s": f"{entry['images_per_second']:,.1f}",
            **{f"{name} ms": text(entry[name]) for name in ("p50", "p95", "p99")},
            "peak MB": text(entry["peak"], scale=1e-6),
            "mJ/image": text(entry["energy"]),
        }
        for entry in found["batches"]
    ]
    conditions = found["batches"][0]["conditions"]
    head = f"{found['name']}: {side(conditions['resolution'])} px, {runs_text(conditions)}"
    return [
        f"{head}, deployed form",
        ReportTable(rows, align="rrrrrrrr"),
        Lines(_notes(found), rest=""),
    ]


def _notes(found: Mapping[str, Any]) -> list[str | bool]:
    saturating, batches = found["saturating_batch"], found["batches"]
    missing: dict[str, list[str]] = {}
    for entry in batches:
        for key, name in _QUANTITIES.items():
            if entry[key]["reason"]:
                text = f"{name}: not available: {entry[key]['reason']}"
                missing.setdefault(text, []).append(str(entry["conditions"]["batch"]))
    off_cpu = max(entry["off_cpu"] or 0.0 for entry in batches)
    return [
        "ms and images/s are calibrated, as latencies are; p50, p95 and p99 are passes on the "
        "wall clock as it was; peak is what a pass needs beside the weights.",
        saturating is not None
        and f"images/s: batch {saturating} is the smallest within 5 % of the best.",
        *(
            text if len(lacking) == len(batches) else f"{text} (batch {', '.join(lacking)})"
            for text, lacking in missing.items()
        ),
        off_cpu > 0.05 and f"Other work held the core for up to {off_cpu:.0%} of the time.",
    ]
