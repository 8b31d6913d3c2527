"""At which batch does a network take the least time for an image, of those that it was timed at?"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from archbench.study.measurement import Measurement

_TIMES = re.compile(r"batch_(\d+)_times")


@dataclass(frozen=True, kw_only=True)
class Throughput:
    """Milliseconds for an image in passes of a batch, with their 95 % interval."""

    batch: int
    ms: float
    low: float
    high: float


def with_batches(latency: Measurement, others: Mapping[int, Measurement]) -> Measurement:
    """A latency that knows what passes of other batches take, which were timed in turn with it.

    Its details keep them as multiples, ``batch_8_times``, with the ends of their intervals: so they
    stay true where the latency comes to be the mean of several runs.
    """
    details = dict(latency.details)
    for batch, other in others.items():
        if latency.value and other.value and other.low is not None and other.high is not None:
            ends = {"times": other.value, "low": other.low, "high": other.high}
            details |= {f"batch_{batch}_{end}": ms / latency.value for end, ms in ends.items()}
        else:
            details[f"batch_{batch}_missing"] = other.reason
    return Measurement(**{**vars(latency), "details": details})


def throughput(latency: Measurement | None) -> Throughput | None:
    """The best of all batches that a network was timed at; None without a latency or its value.

    The interval is at least as wide, as a share, as that of the latency.
    """
    if latency is None or not latency.value or latency.low is None or latency.high is None:
        return None
    value, low, high = latency.value, latency.low, latency.high
    own, details = latency.conditions.batch, latency.details
    found = [Throughput(batch=own, ms=value / own, low=low / own, high=high / own)]
    for batch in (int(key[1]) for name in details if (key := _TIMES.fullmatch(name))):
        times, least, most = (
            float(details[f"batch_{batch}_{end}"]) for end in ("times", "low", "high")
        )
        found.append(
            Throughput(
                batch=batch,
                ms=value * times / batch,
                low=min(value * least, low * times) / batch,
                high=max(value * most, high * times) / batch,
            )
        )
    return min(found, key=lambda one: one.ms)
