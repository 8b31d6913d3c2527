"""What do the timings of a candidate and its calibrator say, and how far can it be trusted."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from archbench.measure.latency.clock import Timing
from archbench.measure.latency.interval import (
    LEAST_PLACEMENTS,
    log_half_widths,
    lower_means,
    lower_ratios,
    over_placements,
    placement_logs,
)
from archbench.study.measurement import Verdict

# Proposals of the protocol; benchmarks/latency_trust.md records what they gave.
OFF_CPU_LIMIT = 0.05
DRIFT_LIMIT = 0.05
WIDTH_LIMIT = 0.05
WANTED_FORWARDS = 20
NEEDED_FORWARDS = 5

_WINDOWS = 4
_WIDEST = 50.0  # a logarithm, so that no interval overflows


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """A candidate's time as a multiple of another's, with its interval."""

    value: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Half of the interval as a share of the value; infinite for a value of 0."""
        return (self.high - self.low) / 2 / self.value if self.value else math.inf


def quantile(samples: Sequence[float], share: float) -> float:
    """The sample below which the share lies, interpolated."""
    return float(np.quantile(np.array(samples, dtype=np.float64), share))


def lower_mean(samples: Sequence[float]) -> float:
    """What is compared: the mean between the 5th and the 40th percentile.

    It forgives slow passes, and is steadier than the fastest one or a single quantile.
    """
    return float(lower_means(np.array([samples], dtype=np.float64))[0])


def ratio(
    candidate: Sequence[float], calibration: Sequence[float], *, level: float = 0.95
) -> Ratio:
    """The ratio of the lower means with its interval, see `archbench.measure.latency.interval`.

    Args:
        candidate: One sample a round.
        calibration: The calibrator's sample of the same rounds: they share the machine's state.
        level: Of how many intervals the truth shall be in.
    """
    pair = [np.array([samples], dtype=np.float64) for samples in (candidate, calibration)]
    value = float(lower_ratios(*pair)[0])
    factor = math.exp(min(float(log_half_widths(*pair, level=level)[0]), _WIDEST))
    return Ratio(value=value, low=value / factor, high=value * factor)


def placed_ratio(
    candidate: Sequence[float], calibration: Sequence[float], *, rounds: int, level: float
) -> Ratio | None:
    """The mean ratio over places in memory with its interval; None where there are too few.

    Args:
        candidate: One sample a round.
        calibration: The other's sample of the same rounds.
        rounds: How many there are between one place and the next.
        level: Of how many intervals the truth shall be in.
    """
    if not rounds or len(candidate) // rounds < LEAST_PLACEMENTS:
        return None
    pair = [np.array([samples], dtype=np.float64) for samples in (candidate, calibration)]
    if min(entry.min() for entry in pair) <= 0:  # the clock could not tell
        return None
    logs = placement_logs(pair[0], pair[1], rounds=rounds)
    centre, width = (float(found[0]) for found in over_placements(logs, level=level))
    value, factor = math.exp(centre), math.exp(min(width, _WIDEST))
    return Ratio(value=value, low=value / factor, high=value * factor)


def drift(samples: Sequence[float]) -> float:
    """By which share the lower mean moved between stretches of the measurement.

    There are up to four stretches of ten samples and more; the slowest is compared with the
    fastest. With fewer than twenty samples nothing can be said: 0.
    """
    stretches = min(_WINDOWS, len(samples) // 10)
    if stretches < 2:
        return 0.0
    edges = [len(samples) * i // stretches for i in range(stretches + 1)]
    means = [lower_mean(samples[start:end]) for start, end in itertools.pairwise(edges)]
    return max(means) / min(means) - 1


def off_cpu_share(timings: Sequence[Timing]) -> float:
    """The share of the wall time in which the timed thread had no core."""
    wall = sum(timing.wall for timing in timings)
    return max(0.0, 1 - sum(timing.cpu for timing in timings) / wall) if wall else 0.0


def delay_share(timings: Sequence[Timing]) -> float:
    """The share of the wall time in which the timed thread waited for a core."""
    wall = sum(timing.wall for timing in timings)
    return sum(timing.delay for timing in timings) / wall if wall else 0.0


def verdict(
    *,
    forwards: int,
    off_cpu: float | None,
    drift: float,
    half_width: float,
    throttled: int = 0,
    gpu: str = "",
) -> tuple[Verdict, str]:
    """How far a measurement with a value can be trusted, and why not further.

    Args:
        forwards: Timed forward passes of the candidate.
        off_cpu: See `off_cpu_share`; None where waiting is no disturbance, as on a GPU.
        drift: See the function of this name, of the calibrator.
        half_width: See `Ratio.half_width`.
        throttled: How often a core was slowed down for heat meanwhile.
        gpu: What disturbed on the GPU, see ``GpuUse.disturbance``.
    """
    reasons = []
    if forwards < WANTED_FORWARDS:
        reasons.append(
            f"only {forwards} of {WANTED_FORWARDS} wanted forward passes fitted into the budget"
        )
    if off_cpu is not None and off_cpu > OFF_CPU_LIMIT:
        reasons.append(f"other work held the core for {off_cpu:.0%} of the time")
    if drift > DRIFT_LIMIT:
        reasons.append(f"the calibration network drifted by {drift:.0%} meanwhile")
    if throttled:
        reasons.append(f"cores were slowed down for heat {throttled} times meanwhile")
    if gpu:
        reasons.append(gpu)
    if half_width > WIDTH_LIMIT:
        reasons.append(f"the interval is as wide as ±{half_width:.0%}")
    return ("disturbed", "; ".join(reasons)) if reasons else ("stable", "")
