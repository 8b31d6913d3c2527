"""The latency of one batch on the target."""

from archbench.study.objective import Objective
from archbench.study.trial import TrialRecord


def _interval(record: TrialRecord) -> tuple[float, float] | None:
    latency = record.latency
    if latency is None or latency.low is None or latency.high is None:
        return None
    return latency.low, latency.high


OBJECTIVE = Objective(
    name="latency_ms",
    label="latency",
    source="latency",
    timed=lambda latency: latency.value,
    interval=_interval,
    description="of one batch on the target, confirmed if so",
    unit="ms",
    shown_in="ms",
    digits=2,
    rank=1,
)
