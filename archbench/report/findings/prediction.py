"""How does a person read predicted latencies: as predictions, with their error beside them."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from archbench.report import number
from archbench.report.text import WIDTH, table


def prediction_text(predictions: Sequence[Mapping[str, Any]]) -> str:
    """The predictions of a prediction document, fastest first, in 80 columns."""
    rows = [
        (
            _name(entry, predictions),
            "x".join(map(str, entry["conditions"]["resolution"])),
            entry["family"],
            number.with_interval(entry["ms"], entry["low"], entry["high"]),
            str(entry["num_blocks_new"]),
        )
        for entry in sorted(predictions, key=lambda entry: float(entry["ms"]))
    ]
    titles = ("network", "px", "family", "predicted ms", "new blocks")
    parts = [
        "\n".join(_conditions(predictions[0]["conditions"])),
        table(titles, rows, align="llllr"),
        "\n".join(_errors(predictions)),
    ]
    return "\n\n".join(parts)


def _name(entry: Mapping[str, Any], among: Sequence[Mapping[str, Any]]) -> str:
    """Its name; with its digest where several bear the name, as those of one space do."""
    name = str(entry["name"])
    if sum(name == other["name"] for other in among) > 1:
        name = f"{name} {entry['digest'][:8]}"
    return name


def _conditions(conditions: Mapping[str, Any]) -> list[str]:
    threads = f" x{conditions['threads']}" if conditions["device"] == "cpu" else ""
    return textwrap.wrap(
        f"predicted, not measured: {conditions['device']}{threads}, {conditions['backend']} "
        f"{conditions['precision']}, batch {conditions['batch']}; the sum of the network's blocks, "
        "each timed alone with cold caches",
        WIDTH,
    )


def _errors(predictions: Sequence[Mapping[str, Any]]) -> list[str]:
    """How wrong the table is on networks that it was not fitted to, for each family."""
    told = {}
    for entry in predictions:
        whole = entry["num_wholes"]
        told[entry["family"]] = (
            f"{entry['family']}: {entry['error_percent']:.1f} % mean error on {whole} whole "
            "networks, each predicted by the others"
        )
    return [told[family] for family in sorted(told)]
