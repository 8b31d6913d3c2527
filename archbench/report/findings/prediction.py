"""Predicted latencies: said to be predictions, with their error beside them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from archbench.report.element import Lines, Part, ReportTable
from archbench.report.finding import Finding
from archbench.report.number import runs_text, side, with_interval


def finding(document: Mapping[str, Any], *, next_step: str = "") -> Finding:
    """The predictions of a prediction document, fastest first."""
    predictions = document["predictions"]
    names = Counter(entry["name"] for entry in predictions)
    rows = [
        {
            # Networks of one space may bear one name.
            "network": entry["name"]
            + (f" {entry['digest'][:8]}" if names[entry["name"]] > 1 else ""),
            "px": side(entry["conditions"]["resolution"]),
            "family": entry["family"],
            "predicted ms": with_interval(entry["ms"], entry["low"], entry["high"]),
            "new blocks": entry["num_blocks_new"],
        }
        for entry in sorted(predictions, key=lambda entry: float(entry["ms"]))
    ]
    errors = {
        entry["family"]: f"{entry['family']}: {entry['error_percent']:.1f} % mean error on "
        f"{entry['num_wholes']} whole networks, each predicted by the others"
        for entry in predictions
    }
    conditions = predictions[0]["conditions"]
    parts: list[Part] = [
        f"predicted, not measured: {runs_text(conditions)}, batch {conditions['batch']}; the sum "
        "of the network's blocks, each timed alone with cold caches",
        ReportTable(rows, align="llllr"),
        Lines([errors[family] for family in sorted(errors)]),
    ]
    return Finding(document, parts, next_step)
