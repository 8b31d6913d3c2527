"""What does a knob cost and buy, with which interval, and has it the sign that a paper prints?"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping

from archbench.analysis.ablation import Difference, PaperComparison
from archbench.search.ablation.form import Printed
from archbench.study.measurement import Measurement

CONFIDENCE = 0.95
METHOD = (
    "Accuracy: mean of the differences to the base, seed by seed (same data, order and shifts), "
    "with Student's t interval at 95 %. Latency: difference of two measurements taken in turn, its "
    "95 % interval from theirs (MOVER, Zou and Donner 2008). Each interval is for itself: of 20, "
    "one misses on average. Seeds stand for training again on the same images, not for others."
)


def paired_difference(form: Mapping[int, float], base: Mapping[int, float]) -> Difference | None:
    """The mean difference over the seeds that both have, with its interval; None without any.

    Student's t of the differences. One seed gives no interval.

    Args:
        form: Seed to accuracy.
        base: Likewise.

    >>> paired_difference({0: 0.5, 1: 0.6}, {0: 0.4, 1: 0.5, 2: 0.9}).value.__round__(6)
    0.1
    """
    differences = [form[seed] - base[seed] for seed in sorted(form.keys() & base.keys())]
    if not differences:
        return None
    mean = statistics.fmean(differences)
    if len(differences) == 1:
        return Difference(value=mean)
    from scipy.stats import t

    count = len(differences)
    quantile = float(t.ppf((1 + CONFIDENCE) / 2, count - 1))
    half = quantile * statistics.stdev(differences) / math.sqrt(count)
    return Difference(value=mean, low=mean - half, high=mean + half)


def latency_difference(form: Measurement | None, base: Measurement | None) -> Difference | None:
    """The difference of two latencies with its interval; None where one could not be had.

    By the method of variance estimates recovery for independent estimates: Zou and Donner 2008,
    Statistics in Medicine 27, 1693-1702, equation 8.
    """
    if form is None or base is None or form.value is None or base.value is None:
        return None
    value = form.value - base.value
    ends = form.low, form.high, base.low, base.high
    if any(end is None for end in ends):
        return Difference(value=value)
    low, high, base_low, base_high = (float(end or 0) for end in ends)
    return Difference(
        value=value,
        low=value - math.hypot(form.value - low, base_high - base.value),
        high=value + math.hypot(high - form.value, base.value - base_low),
    )


def finding(difference: Difference | None, *, num_pairs: int) -> str:
    """What a knob buys, in words."""
    if difference is None:
        return "not trained yet"
    if difference.low is None:
        return "one seed, so no interval"
    if not difference.is_seen:
        return f"no difference seen with {num_pairs} seeds"
    return "better" if difference.value > 0 else "worse"


def comparison(
    printed: Printed, difference: Difference | None, *, num_pairs: int
) -> PaperComparison:
    """A form beside its row in the paper."""
    theirs = round(printed.top1 - printed.base_top1, 6)
    return PaperComparison(
        row=printed.row,
        source=printed.source,
        top1=printed.top1,
        difference=theirs,
        params=printed.params,
        flops=printed.flops,
        note=printed.note,
        sign=_sign(theirs, difference, num_pairs=num_pairs),
    )


def _sign(theirs: float, ours: Difference | None, *, num_pairs: int) -> str:
    if ours is None:
        return "not trained yet"
    if not ours.is_seen:
        return f"not separable with {num_pairs} seed{'s' if num_pairs != 1 else ''}"
    if theirs == 0:
        return "the paper prints no difference"
    return "sign confirmed" if (theirs > 0) == (ours.value > 0) else "opposite sign"
