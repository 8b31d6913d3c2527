"""Images that the target computes in a second."""

from archbench.study.measurement import Measurement
from archbench.study.objective import Objective
from archbench.study.trial import TrialRecord


def _rate(batch: int, latency_ms: float | None) -> float | None:
    return batch / latency_ms * 1e3 if latency_ms else None


def _images_per_s(latency: Measurement) -> float | None:
    return _rate(latency.conditions.batch, latency.value)


def _interval(record: TrialRecord) -> tuple[float, float] | None:
    latency = record.latency
    if latency is None:
        return None
    low, high = (_rate(latency.conditions.batch, end) for end in (latency.high, latency.low))
    return None if low is None or high is None else (low, high)


OBJECTIVE = Objective(
    name="images_per_s",
    label="images per second",
    direction="max",
    source="latency",
    timed=_images_per_s,
    interval=_interval,
    description="images a second on the target, by the latency of a batch",
    unit="1/s",
    shown_in="images/s",
    digits=0,
)
