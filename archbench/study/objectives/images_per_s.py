"""Images that the target computes in a second."""

from archbench.study.measurement import Measurement
from archbench.study.objective import Objective
from archbench.study.throughput import throughput
from archbench.study.trial import TrialRecord


def _images_per_s(latency: Measurement) -> float | None:
    best = throughput(latency)
    return None if best is None else 1e3 / best.ms


def _interval(record: TrialRecord) -> tuple[float, float] | None:
    best = throughput(record.latency)
    return None if best is None else (1e3 / best.high, 1e3 / best.low)


OBJECTIVE = Objective(
    name="images_per_s",
    label="images per second",
    direction="max",
    source="latency",
    timed=_images_per_s,
    interval=_interval,
    description="images a second on the target, at the best of its batches",
    unit="1/s",
    shown_in="images/s",
    digits=0,
)
