"""The time that the target takes for an image where many come: the cost of throughput."""

from archbench.study.measurement import Measurement
from archbench.study.objective import Objective
from archbench.study.throughput import throughput
from archbench.study.trial import TrialRecord


def _ms_per_image(latency: Measurement) -> float | None:
    best = throughput(latency)
    return None if best is None else best.ms


def _interval(record: TrialRecord) -> tuple[float, float] | None:
    best = throughput(record.latency)
    return None if best is None else (best.low, best.high)


OBJECTIVE = Objective(
    name="ms_per_image",
    label="time per image",
    source="latency",
    timed=_ms_per_image,
    interval=_interval,
    description="milliseconds for an image on the target, at the best of its batches",
    unit="ms",
    shown_in="ms/image",
    digits=3,
)
