"""What do the timings of a network and its calibrator say, and how far can it be trusted?

What disturbs a pass makes it slower, so the slow ones are left out: a time is the mean of the
passes between the 5th and the 40th percentile. On a virtual machine whose neighbours worked, 216
comparisons of a network with its copy, 400 rounds each, spread by 0.8 % so, and by 1.1 % with
lower quartiles.

Passes of one process are no independent draws: the clock creeps, a neighbour comes and goes, and
one pass in ten is slow. A bootstrap over rounds takes them for independent: on synthetic runs in
which neighbouring passes correlate by 0.6 its 95 % interval held the truth 71 to 85 times in 100.

Nor do passes tell what a network owes to its place in memory. Where networks are placed anew every
so many rounds, a ratio is the mean of those of the places, and its interval comes from how these
differ: in them is all that passes of one place share.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from archbench.measure.latency.clock import Timing
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
    """The ratio of the lower means with its interval, see `archbench.measure.latency.estimate`.

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


Array = npt.NDArray[np.float64]

FASTER, SLOWER = 0.05, 0.40
"""Between which quantiles passes count."""

LEAST_PLACEMENTS = 5
"""Fewer say too little of how much placements differ."""

_LEFT_OUT = 8  # of so many placements one at either end: a neighbour may spoil one
_LEAST_WAVES = 5
_ESTIMATED = 2  # quantiles, which fit the samples better than they fit the truth


def lower_means(samples: Array) -> Array:
    """The mean of what lies between the two quantiles in each run, of shape (runs,).

    Args:
        samples: For each run and round, (runs, rounds); one round at least.
    """
    ordered = np.sort(samples, axis=1)
    least = ordered[:, :1]  # apart, so that equal samples give themselves to the last bit
    means: Array = least[:, 0] + (ordered - least) @ _weights(samples.shape[1])
    return means


def lower_ratios(candidate: Array, calibration: Array) -> Array:
    """The ratio of the lower means of each run, of shape (runs,).

    Args:
        candidate: A sample for each run and round, (runs, rounds).
        calibration: The other network's sample of the same rounds.
    """
    ratios: Array = lower_means(candidate) / lower_means(calibration)
    return ratios


def log_half_widths(candidate: Array, calibration: Array, *, level: float = 0.95) -> Array:
    """By how much the logarithm of each run's ratio may be off, of shape (runs,).

    Each round's influence on the ratio is how far it pulls both means apart. The variance of
    the sum of these is taken from their lowest cosine waves, so it holds what is slow, too: the
    equal-weighted cosine estimate with its Student distribution (Müller 2004, "A theory of robust
    long-run variance estimation"; Lazarus et al. 2018, "HAR inference", eq. 8 and 10).

    Args:
        candidate: A sample for each run and round, (runs, rounds).
        calibration: The other network's sample of the same rounds.
        level: Of how many intervals the truth shall be in.

    Returns:
        Infinite for fewer than two rounds.
    """
    runs, rounds = candidate.shape
    if rounds < 2:
        return np.full(runs, math.inf)
    waves = _cosines(rounds)
    pulls = (_influence(candidate) - _influence(calibration)) @ waves.T  # (runs, waves)
    variance = np.mean(pulls**2, axis=1) * rounds / max(1, rounds - _ESTIMATED)
    widths: Array = np.sqrt(variance / rounds) * student(1 - (1 - level) / 2, freedom=len(waves))
    return widths


def placement_logs(candidate: Array, calibration: Array, *, rounds: int) -> Array:
    """The logarithm of the ratio of the lower means in each placement, (runs, placements).

    Args:
        candidate: A sample for each run and round, (runs, rounds).
        calibration: The other network's sample of the same rounds.
        rounds: Of each placement; a last one that was cut short is left out.
    """
    parts = []
    for samples in (candidate, calibration):
        runs, number = len(samples), samples.shape[1] // rounds
        stretches = samples[:, : number * rounds].reshape(runs * number, rounds)
        parts.append(np.log(lower_means(stretches)).reshape(runs, number))
    logs: Array = parts[0] - parts[1]
    return logs


def over_placements(logs: Array, *, level: float) -> tuple[Array, Array]:
    """The mean of each run over its placements, and by how much it may be off; each (runs,).

    A trimmed mean, without the lowest and the highest eighth, with Student's interval from the
    winsorised variance (Tukey and McLaughlin 1963, "Less vulnerable confidence and significance
    procedures for location", Sankhya A 25). Means of stretches need not be equally certain for it,
    nor their passes independent (Ibragimov and Müller 2010, "t-statistic based correlation and
    heterogeneity robust inference", sec. 2).

    Args:
        logs: Of each placement, (runs, placements); `LEAST_PLACEMENTS` at least.
        level: Of how many intervals the truth shall be in.
    """
    number = logs.shape[1]
    left_out = number // _LEFT_OUT
    kept = number - 2 * left_out
    ordered = np.sort(logs, axis=1)
    least = ordered[:, :1]  # apart, so that equal ratios give themselves to the last bit
    inner = ordered[:, left_out : number - left_out]
    means: Array = least[:, 0] + np.mean(inner - least, axis=1)
    spread = np.std(np.clip(logs, inner[:, :1], inner[:, -1:]), axis=1, ddof=1)
    error = spread * math.sqrt(number) / kept
    widths: Array = error * student(1 - (1 - level) / 2, freedom=kept - 1)
    return means, widths


@lru_cache(maxsize=64)
def student(share: float, *, freedom: int) -> float:
    """The quantile of Student's distribution, to 1 % from 4 degrees of freedom on.

    Source: Abramowitz and Stegun 1964, formula 26.7.5.

    >>> round(student(0.975, freedom=10), 2)
    2.23
    """
    z = NormalDist().inv_cdf(share)
    terms = (
        z,
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return sum(term / freedom**power for power, term in enumerate(terms))


def _influence(samples: Array) -> Array:
    """By how much each sample moves the logarithm of the lower mean, times the rounds.

    That of a trimmed mean (Huber 1981, "Robust statistics", sec. 3.3): what lies outside of the
    quantiles pulls as they do.
    """
    low, high = np.quantile(samples, [FASTER, SLOWER], axis=1)
    kept = np.clip(samples, low[:, None], high[:, None])
    means = lower_means(samples)
    scale = np.divide(1.0, means, out=np.zeros_like(means), where=means > 0) / (SLOWER - FASTER)
    pulls: Array = (kept - kept.mean(axis=1, keepdims=True)) * scale[:, None]
    return pulls


@lru_cache(maxsize=64)
def _weights(rounds: int) -> Array:
    """What each of the sorted samples counts: its share of the stretch between the quantiles."""
    edges = np.clip(np.arange(rounds + 1) / rounds, FASTER, SLOWER)
    weights: Array = np.diff(edges) / (SLOWER - FASTER)
    return weights


@lru_cache(maxsize=64)
def _cosines(rounds: int) -> Array:
    """The lowest waves over the rounds but the constant one, (waves, rounds); orthonormal x sqrt.

    As many as Lazarus et al. 2018 advise, 0.4 rounds^(2/3), and five at least.
    """
    number = min(rounds - 1, max(_LEAST_WAVES, int(0.4 * rounds ** (2 / 3))))
    phase = math.pi * (np.arange(rounds) + 0.5) / rounds
    waves: Array = math.sqrt(2 / rounds) * np.cos(np.arange(1, number + 1)[:, None] * phase)
    return waves
