"""What do several timings of one network say together, and how far do runs differ?

The interval of one timing is that of its passes. Two timings of one network, minutes apart or in
two processes, differ by more: by where its weights lie, by the state of the machine. A study times
some of its networks again at random moments, and how these pairs differ says how far any of its
latencies may be off.

Timings of before protocol 2 (``archbench.measure.machine_cache``) are not of one quantity, as
those in a search and at its end ran behind other networks: of these the last one counts, as it is.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from statistics import NormalDist, fmean

from archbench.study.measurement import Measurement, Verdict
from archbench.study.trial import Taken

# What is assumed of a machine before pairs tell: benchmarks/latency/in_search.md
PRIOR_DEVIATION = 0.010
PRIOR_FREEDOM = 2

NORMAL_95 = 1.959964
"""Standard deviations on either side of the middle that hold 95 % of a normal distribution."""

LEAST_LOW = 1e-3
"""The least lower end as a share of its value: an interval from zero has no logarithm."""

_TWO_SIDED_95 = 0.975
_LEAST_VARIANCE = 1e-12
_BEST_FIRST: tuple[Verdict, ...] = ("stable", "disturbed", "incomplete")


@dataclass(frozen=True, kw_only=True)
class RunToRun:
    """By which share timings of one network differ from run to run, beside what passes differ by.

    The deviation is a standard deviation of the logarithm; it has so many degrees of freedom and
    rests on so many further timings, 0 before there are any.
    """

    deviation: float = PRIOR_DEVIATION
    freedom: int = PRIOR_FREEDOM
    pairs: int = 0


def runs_of(taken: Iterable[Taken]) -> dict[int, tuple[Measurement, ...]]:
    """Trial to its timings, in the order taken."""
    found: dict[int, list[Measurement]] = defaultdict(list)
    for entry in taken:
        if entry.trial is not None and entry.measurement.metric == "latency":
            found[entry.trial].append(entry.measurement)
    return {number: tuple(measurements) for number, measurements in found.items()}


def run_to_run(runs: Iterable[Sequence[Measurement]]) -> RunToRun:
    """How timings differ from run to run, by networks that were timed more than once.

    The variance within runs is taken off the pooled variance between them. The assumed deviation
    counts as two pairs, so that few real ones do not decide alone.
    """
    squares, within, pairs = 0.0, list[float](), 0
    for measurements in runs:
        counting = _counting(measurements)
        if len(counting) < 2:
            continue
        logs = [math.log(one.value) for one in counting if one.value]
        squares += sum((log - fmean(logs)) ** 2 for log in logs)
        within += [_deviation(one) ** 2 for one in counting]
        pairs += len(logs) - 1
    if not pairs:
        return RunToRun()
    inner = fmean(within)
    freedom = PRIOR_FREEDOM + pairs
    pooled = (squares + PRIOR_FREEDOM * (PRIOR_DEVIATION**2 + inner)) / freedom
    return RunToRun(deviation=math.sqrt(max(0.0, pooled - inner)), freedom=freedom, pairs=pairs)


def latency_of(measurements: Sequence[Measurement], between: RunToRun) -> Measurement:
    """The latency that all timings of a network give together, with the interval that holds it.

    It is their geometric mean, weighed by what is known of each, of the stable ones where there is
    one; the 95 % interval holds the passes' part and the runs' part. Everything else is that of
    the last of them; the details say of how many ``runs`` it is, and the ``run_to_run`` deviation.
    """
    counting = _counting(measurements)
    if not counting:
        return next((one for one in reversed(measurements) if one.value), measurements[-1])
    within = [_deviation(one) for one in counting]
    weights = [1 / max(between.deviation**2 + inner**2, _LEAST_VARIANCE) for inner in within]
    shares = [weight / sum(weights) for weight in weights]
    logs = [math.log(one.value) for one in counting if one.value]
    mean = sum(share * log for share, log in zip(shares, logs, strict=True))
    runs_part = between.deviation * math.hypot(*shares)
    passes_part = math.hypot(*(share * inner for share, inner in zip(shares, within, strict=True)))
    factor = student(_TWO_SIDED_95, freedom=between.freedom)
    width = math.hypot(factor * runs_part, NORMAL_95 * passes_part)
    last = counting[-1]
    value = last.value if len(counting) == 1 else math.exp(mean)
    assert value is not None
    return replace(
        last,
        value=value,
        low=value * math.exp(-width),
        high=value * math.exp(width),
        details={**last.details, "runs": len(counting), "run_to_run": between.deviation},
    )


def _counting(measurements: Sequence[Measurement]) -> list[Measurement]:
    """Those with a value that are of one quantity, of the best verdict that one of them has."""
    able = [one for one in measurements if one.value and "protocol" in one.details]
    best = min((_BEST_FIRST.index(one.verdict) for one in able), default=0)
    return [one for one in able if _BEST_FIRST.index(one.verdict) == best]


def _deviation(one: Measurement) -> float:
    """The standard deviation of the logarithm that the passes of one run leave."""
    if not one.value or one.low is None or one.high is None:
        return 0.0
    low = max(one.low, LEAST_LOW * one.value)
    return math.log(max(one.high, low) / low) / 2 / NORMAL_95


@lru_cache(maxsize=64)
def student(share: float, *, freedom: int) -> float:
    """The quantile of Student's distribution, to 1 % from 2 degrees of freedom on.

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
