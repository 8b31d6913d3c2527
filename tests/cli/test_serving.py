"""``archbench profile --serving``: a line for each batch, and the reasons of what is missing."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from archbench.report.findings.speed import serving
from archbench.study.measurement import Conditions


def quantity(value: float | None, reason: str = "") -> dict[str, Any]:
    return {"value": value, "unit": "", "reason": reason}


def batch(number: int) -> dict[str, Any]:
    return {
        "conditions": asdict(Conditions(batch=number, resolution=(224, 224))),
        "ms": 5.0 * number,
        "images_per_second": 200.0,
        "p50": quantity(5.1),
        "p95": quantity(6.0),
        "p99": quantity(None if number > 1 else 8.0, "few" if number > 1 else ""),
        "peak": quantity(1.5e6),
        "energy": quantity(None, "no counter"),
        "off_cpu": 0.0,
    }


def test_every_number_or_its_reason_is_there() -> None:
    found = {"name": "small", "saturating_batch": 1, "batches": [batch(1), batch(4)]}
    assert serving({"networks": [found]}, next_step="").text() == (
        "small: 224x224 px, cpu x1, eager fp32, deployed form\n"
        "\n"
        "batch     ms  images/s  p50 ms  p95 ms  p99 ms  peak MB  mJ/image\n"
        "-----  -----  --------  ------  ------  ------  -------  --------\n"
        "    1   5.00     200.0    5.10    6.00    8.00     1.50         –\n"
        "    4  20.00     200.0    5.10    6.00       –     1.50         –\n"
        "\n"
        "ms and images/s are calibrated, as latencies are; p50, p95 and p99 are passes on\n"
        "the wall clock as it was; peak is what a pass needs beside the weights.\n"
        "images/s: batch 1 is the smallest within 5 % of the best.\n"
        "energy: not available: no counter\n"
        "p99: not available: few (batch 4)"
    )
