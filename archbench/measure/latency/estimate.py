"""What do the timings of networks say, which of two is faster, and how far can that be trusted?

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

Arrays of samples are (runs, rounds). Those of a candidate and of its calibration network are of
the same rounds, so that they share the state of the machine.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt

from archbench.study.measurement import Measurement
from archbench.study.runs import NORMAL_95, student

Array = npt.NDArray[np.float64]
_Outcome = Literal["slower", "faster", "tie", "unknown"]

# Proposals of the protocol; benchmarks/latency_trust records what they gave.
OFF_CPU_LIMIT = 0.05
DRIFT_LIMIT = 0.05
WIDTH_LIMIT = 0.05
WANTED_FORWARDS = 20
NEEDED_FORWARDS = 5

# A measurement that stops when its interval is narrow stops on lucky draws, too: where it looks
# from 20 passes on, intervals of 95 % held the truth of synthetic runs 88 to 94 times in 100.
LOOK_LEVEL = 0.975
# With the looks of `archbench.measure.latency.rounds`, 10,000 synthetic runs of each kind held the
# truth in 94 to 96 of 100 intervals.
PLACEMENT_LEVEL = 0.96
LEAST_PLACEMENTS = 5
"""Fewer say too little of how much placements differ."""

BETWEEN_PROCESSES = 0.012
"""Standard deviation of a calibrated latency from one process to the next, as a share: that of
small_cvt with huge pages in the calmer hour of benchmarks/latency_trust, where that of
levit_128s was 0.007. What intervals of one process hold is in it, so it is rather too wide."""

_OF_CONSTANTS = ("calibrator", "calibration_constant_ms", "calibration_generation")
_FASTER, _SLOWER = 0.05, 0.40  # between which quantiles passes count
_WINDOWS = 4
_WIDEST = 50.0  # a logarithm, so that no interval overflows
_LEFT_OUT = 8  # of so many placements one at either end: a neighbour may spoil one
_LEAST_WAVES = 5
_ESTIMATED = 2  # quantiles, which fit the samples better than they fit the truth


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
    """The mean of the samples between the 5th and the 40th percentile, which is what is compared.

    It forgives slow passes, and is steadier than the fastest one or a single quantile.
    """
    return float(lower_means(np.array([samples], dtype=np.float64))[0])


def weighted_mean(values: Mapping[str, float], weights: Mapping[str, float]) -> float:
    """The geometric mean by weights whose sum is 1; 0 where a value is."""
    if len(weights) == 1 or not all(values[name] for name in weights):
        return min(values[name] for name in weights)
    return math.exp(sum(weight * math.log(values[name]) for name, weight in weights.items()))


def ratio(
    candidate: Sequence[float], calibration: Sequence[float], *, placement_rounds: int = 0
) -> Ratio:
    """The ratio of two networks with its 95 % interval, where being narrow ended the run.

    Samples are of the same rounds. After ``placement_rounds`` networks were placed anew; 0 where
    they stayed. Fewer than five places tell too little: then the interval is that of the rounds
    alone.
    """
    first, second = (np.array([taken], dtype=np.float64) for taken in (candidate, calibration))
    is_placed = placement_rounds and len(candidate) // placement_rounds >= LEAST_PLACEMENTS
    if is_placed and min(first.min(), second.min()) > 0:  # else the clock could not tell
        logs = placement_logs(first, second, rounds=placement_rounds)
        centre, width = over_placements(logs, level=PLACEMENT_LEVEL)
        value = math.exp(float(centre[0]))
    else:
        width = log_half_widths(first, second, level=LOOK_LEVEL)
        value = float(lower_means(first)[0] / lower_means(second)[0])
    factor = math.exp(min(float(width[0]), _WIDEST))
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


def core_disturbance(off_cpu: float | None) -> str:
    """Says that other work held the core; empty where it did so for 5 % of the time at most."""
    if off_cpu is None or off_cpu <= OFF_CPU_LIMIT:
        return ""
    return f"other work held the core for {off_cpu:.0%} of the time"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """How the time of a network relates to that of the first one, the reference.

    The ratio is the second's time / the first's, with its 95 % interval, None without a value; it
    rests on so many rounds, 0 where the two ran in other processes, and is a mean over so many
    placements, 0 where the networks stayed in one, so that up to 1 % may be owed to where they lay.
    The reason is why there is no ratio, or why it is uncertain; mostly empty.
    """

    first: str
    second: str
    ratio: Ratio | None = None
    rounds: int = 0
    placements: int = 0
    reason: str = ""

    @property
    def outcome(self) -> _Outcome:
        """What the second is; a tie where the interval holds the same speed."""
        if self.ratio is None:
            return "unknown"
        if self.ratio.low > 1:
            return "slower"
        return "faster" if self.ratio.high < 1 else "tie"


def compare_rounds(names: tuple[str, str], first: Measurement, second: Measurement) -> Comparison:
    """Two networks that were timed in the same rounds of one process.

    Each round's two passes share the state of the machine, so this is far sharper than a
    comparison of the two values. Neighbouring rounds may resemble one another, and where the
    networks lie in memory counts. The first is the reference, and the second is judged, each at its
    own resolution.

    Raises:
        IncomparableError: Other conditions or the environment differ.
    """
    found = _unknown(names, first, second)
    if first.value is None or second.value is None:
        return found
    alike = replace(second.conditions, resolution=first.conditions.resolution)
    first.ratio_to(replace(second, conditions=alike))  # refuses other conditions
    rounds = min(len(first.samples), len(second.samples))
    if rounds < NEEDED_FORWARDS:
        return replace(found, reason=f"only {rounds} rounds of {NEEDED_FORWARDS} needed ones")
    # 0 where one of them stayed in one place all the time
    stays = {int(entry.details.get("placement_rounds", 0)) for entry in (first, second)}
    stay = stays.pop() if len(stays) == 1 else 0
    times = ratio(second.samples[:rounds], first.samples[:rounds], placement_rounds=stay)
    placements = rounds // stay if stay else 0
    placements = placements if placements >= LEAST_PLACEMENTS else 0
    return replace(found, ratio=times, rounds=rounds, placements=placements)


def compare_processes(
    names: tuple[str, str], first: Measurement, second: Measurement
) -> Comparison:
    """Two networks of which each was timed in a process of its own, as with a stored result.

    Only the calibrated values can be compared; what differs from process to process makes the
    interval wide. Constants that were renewed in between change nothing where both were compared
    with the same calibration network; else the reason says that they were.

    Raises:
        IncomparableError: Conditions or environment differ.
    """
    found = _unknown(names, first, second)
    if first.value is None or second.value is None:
        return found
    value, renewal = second.ratio_to(first), ""
    (name, before, old), (other, now, new) = (
        tuple(map(taken.details.get, _OF_CONSTANTS)) for taken in (first, second)
    )
    if name == other and before and now:  # multiples of one network, whatever its constant was
        value *= float(before) / float(now)
    elif None not in (old, new) and old != new:
        renewal = "calibration constants were renewed in between"
    spread = math.hypot(_log_half_width(first), _log_half_width(second))
    factor = math.exp(math.hypot(spread, NORMAL_95 * math.sqrt(2) * BETWEEN_PROCESSES))
    times = Ratio(value=value, low=value / factor, high=value * factor)
    return replace(found, ratio=times, reason="; ".join(filter(None, (found.reason, renewal))))


def _unknown(names: tuple[str, str], *measurements: Measurement) -> Comparison:
    """A comparison without a ratio yet, and what is uncertain about the measurements."""
    reasons = {
        f"{name}: {measurement.reason}"
        for name, measurement in zip(names, measurements, strict=True)
        if measurement.verdict != "stable"
    }
    return Comparison(first=names[0], second=names[1], reason="; ".join(sorted(reasons)))


def _log_half_width(measurement: Measurement) -> float:
    assert measurement.low is not None
    assert measurement.high is not None
    return math.log(measurement.high / measurement.low) / 2


def lower_means(samples: Array) -> Array:
    """The mean of what lies between the two quantiles in each run, (runs,)."""
    ordered = np.sort(samples, axis=1)
    least = ordered[:, :1]  # apart, so that equal samples give themselves to the last bit
    edges = np.clip(np.arange(samples.shape[1] + 1) / samples.shape[1], _FASTER, _SLOWER)
    weights = np.diff(edges) / (_SLOWER - _FASTER)  # each one's share of the stretch
    means: Array = least[:, 0] + (ordered - least) @ weights
    return means


def log_half_widths(candidate: Array, calibration: Array, *, level: float = 0.95) -> Array:
    """By how much the logarithm of each run's ratio may be off, (runs,).

    Each round's influence on the ratio is how far it pulls both means apart. The variance of
    the sum of these is taken from their lowest cosine waves, so it holds what is slow, too: the
    equal-weighted cosine estimate with its Student distribution (Müller 2004, "A theory of robust
    long-run variance estimation"; Lazarus et al. 2018, "HAR inference", eq. 8 and 10). The level
    is the share of intervals that shall hold the truth; the width of one round is infinite.
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

    Each placement has so many rounds; a last one that was cut short is left out.
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
    heterogeneity robust inference", sec. 2). It takes `LEAST_PLACEMENTS` at least.
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


def _influence(samples: Array) -> Array:
    """By how much each sample moves the logarithm of the lower mean, times the rounds.

    That of a trimmed mean (Huber 1981, "Robust statistics", sec. 3.3): what lies outside of the
    quantiles pulls as they do.
    """
    low, high = np.quantile(samples, [_FASTER, _SLOWER], axis=1)
    kept = np.clip(samples, low[:, None], high[:, None])
    means = lower_means(samples)
    scale = np.divide(1.0, means, out=np.zeros_like(means), where=means > 0) / (_SLOWER - _FASTER)
    pulls: Array = (kept - kept.mean(axis=1, keepdims=True)) * scale[:, None]
    return pulls


@lru_cache(maxsize=64)
def _cosines(rounds: int) -> Array:
    """The lowest waves over the rounds but the constant one, (waves, rounds); orthonormal x sqrt.

    As many as Lazarus et al. 2018 advise, 0.4 rounds^(2/3), and five at least.
    """
    number = min(rounds - 1, max(_LEAST_WAVES, int(0.4 * rounds ** (2 / 3))))
    phase = math.pi * (np.arange(rounds) + 0.5) / rounds
    waves: Array = math.sqrt(2 / rounds) * np.cos(np.arange(1, number + 1)[:, None] * phase)
    return waves
