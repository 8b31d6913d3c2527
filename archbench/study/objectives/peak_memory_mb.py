"""The memory that a forward pass needs at its peak, beside the weights."""

from archbench.study.measurement import Measurement
from archbench.study.objective import Objective

_DETAIL = "peak_memory_bytes"


def _peak_memory_mb(latency: Measurement) -> float | None:
    found = latency.details.get(_DETAIL)
    return None if found is None or isinstance(found, str) else found / 1e6


OBJECTIVE = Objective(
    name="peak_memory_mb",
    label="peak memory",
    source="latency",
    timed=_peak_memory_mb,
    detail=_DETAIL,
    description="memory of a batch at its peak, weights left out; missing where it was not asked "
    "for",
    unit="MB",
    shown_in="MB",
)
