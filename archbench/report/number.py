"""How is a number told, and what it was measured under: unit, spread, no digit too many."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from archbench.analysis.statistics import Estimate
from archbench.study.measurement import Measurement

NOT_THERE = "–"
_PREFIXES = ((1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k"))


def with_interval(value: float | None, low: float | None, high: float | None) -> str:
    """The value with its interval, to the digits that the interval leaves, or none.

    >>> with_interval(4.2134, 4.18, 4.2987)
    '4.21 (4.18–4.30)'
    """
    if value is None or low is None or high is None:
        return "none" if value is None else f"{value:.3g}"
    digits = decimals(max(high - low, 0) / 2, value)
    return f"{value:.{digits}f} ({low:.{digits}f}–{high:.{digits}f})"


def measured(latency: Measurement | None) -> str:
    """A latency with its interval, without its unit, or none."""
    return with_interval(latency.value, latency.low, latency.high) if latency else "none"


def alone(latency: Measurement | None) -> str:
    """A latency without its interval and unit; empty where it has no value."""
    return measured(latency).removesuffix("none").split(" (")[0]


def percent(share: float, error: float | None = None) -> str:
    """A share as a percentage, with its standard error where it has one.

    >>> percent(0.8125, 0.0123)
    '81.2 ± 1.2 %'
    """
    spread = "" if error is None else f" ± {100 * error:.1f}"
    return f"{100 * share:.1f}{spread} %"


def percent_of(share: Estimate, *, sign: str = " %") -> str:
    """A share in percent with its interval: ``81.2 % (80.0–82.4)``."""
    value, low, high = (100 * end for end in (share.value, share.low, share.high))
    return f"{value:.1f}{sign} ({low:.1f}–{high:.1f})"


def chance(probability: float) -> str:
    """A probability in whole percent, never as certain as it cannot be known to be.

    >>> chance(0.873), chance(0.9991), chance(0.0)
    ('87 %', '> 99 %', '< 1 %')
    """
    if probability >= 0.995:
        return "> 99 %"
    return "< 1 %" if probability < 0.005 else f"{100 * probability:.0f} %"


def short(value: float) -> str:
    """A count to three digits, with a metric prefix.

    >>> short(304_660_832)
    '305 M'
    """
    for scale, prefix in _PREFIXES:
        if abs(value) >= scale * 0.9995:
            shown = value / scale
            digits = 2 if abs(shown) < 9.995 else 1 if abs(shown) < 99.95 else 0
            return f"{shown:.{digits}f}{prefix}"
    return f"{value:.0f}" if float(value).is_integer() else f"{value:.3g}"


def duration(seconds: float) -> str:
    """A time span in the two largest units that matter.

    >>> duration(247)
    '4 min 7 s'
    """
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


def plural(count: int, noun: str) -> str:
    """A count with its noun.

    >>> plural(1, "seed"), plural(5, "seed")
    ('1 seed', '5 seeds')
    """
    return f"{count} {noun}{'' if count == 1 else 's'}"


def in_percent(shares: Iterable[float]) -> str:
    """Shares in percent, without its sign, with commas between them."""
    return ", ".join(f"{100 * share:.1f}" for share in shares)


def decimals(half_width: float, value: float) -> int:
    """Digits behind the point that an interval of this half width leaves of a value."""
    if half_width <= 0:
        half_width = abs(value) / 1000 or 1
    return min(4, max(0, -math.floor(math.log10(half_width))))


def side(resolution: Sequence[int]) -> str:
    """Height and width of an image: ``224x224``."""
    return "x".join(map(str, resolution))


def device_text(conditions: Mapping[str, Any]) -> str:
    """Where it ran: ``cpu x1`` or ``cuda``."""
    is_gpu = conditions["device"].startswith("cuda")
    threads = f" x{conditions['threads']}" if not is_gpu else ""
    return f"{conditions['device']}{threads}"


def runs_text(conditions: Mapping[str, Any]) -> str:
    """What ran it, and where: ``cpu x1, eager fp32``."""
    return f"{device_text(conditions)}, {conditions['backend']} {conditions['precision']}"
