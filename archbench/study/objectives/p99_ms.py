"""The 99th percentile of the latency: what one pass in a hundred takes or more."""

import statistics

from archbench.study.measurement import Measurement
from archbench.study.objective import Objective


def _p99_ms(latency: Measurement) -> float | None:
    """Of the timed passes, in the calibrated milliseconds of the latency."""
    if latency.value is None or len(latency.samples) < 2:
        return None
    p99 = statistics.quantiles(latency.samples, n=100, method="inclusive")[-1]
    return latency.value * p99 / statistics.median(latency.samples)


OBJECTIVE = Objective(
    name="p99_ms",
    label="p99 latency",
    source="latency",
    timed=_p99_ms,
    description="99th percentile of the latency, calibrated as it is",
    unit="ms",
    shown_in="ms",
    digits=2,
)
