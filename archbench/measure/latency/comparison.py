"""Which of two networks is faster, by how much, and is that more than chance?"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

from archbench.measure.latency import estimate
from archbench.measure.latency.estimate import TWO_SIDED_95, Ratio
from archbench.study.measurement import Measurement

_Outcome = Literal["slower", "faster", "tie", "unknown"]

BETWEEN_PROCESSES = 0.012
"""Standard deviation of a calibrated latency from one process to the next, as a share: that of
small_cvt with huge pages in the calmer hour of benchmarks/latency_trust, where that of
levit_128s was 0.007. What intervals of one process hold is in it, so it is rather too wide."""

_OF_CONSTANTS = ("calibrator", "calibration_constant_ms", "calibration_generation")


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """How the time of a network relates to that of the first one, the reference.

    Attributes:
        ratio: The second's time / the first's, with its 95 % interval; None without a value.
        rounds: How many pairs of passes it rests on; 0 where the two ran in other processes.
        placements: Over how many places in memory it is a mean; 0 where the networks stayed in one,
            so that up to 1 % may be owed to where they lay.
        reason: Why there is no ratio, or why it is doubtful; mostly empty.
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
    networks lie in memory counts, see `archbench.measure.latency.estimate`. The first is the
    reference, and the second is judged.

    Raises:
        IncomparableError: Conditions or environment differ.
    """
    found = _unknown(names, first, second)
    if first.value is None or second.value is None:
        return found
    first.ratio_to(second)  # refuses other conditions
    rounds = min(len(first.samples), len(second.samples))
    if rounds < estimate.NEEDED_FORWARDS:
        return replace(
            found, reason=f"only {rounds} rounds of {estimate.NEEDED_FORWARDS} needed ones"
        )
    # 0 where one of them stayed in one place all the time
    stays = {int(entry.details.get("placement_rounds", 0)) for entry in (first, second)}
    stay = stays.pop() if len(stays) == 1 else 0
    ratio = estimate.ratio(second.samples[:rounds], first.samples[:rounds], placement_rounds=stay)
    placements = rounds // stay if stay else 0
    placements = placements if placements >= estimate.LEAST_PLACEMENTS else 0
    return replace(found, ratio=ratio, rounds=rounds, placements=placements)


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
    value, doubt = second.ratio_to(first), ""
    (name, before, old), (other, now, new) = (
        tuple(map(taken.details.get, _OF_CONSTANTS)) for taken in (first, second)
    )
    if name == other and before and now:  # multiples of one network, whatever its constant was
        value *= float(before) / float(now)
    elif None not in (old, new) and old != new:
        doubt = "calibration constants were renewed in between"
    spread = math.hypot(_log_half_width(first), _log_half_width(second))
    factor = math.exp(math.hypot(spread, TWO_SIDED_95 * math.sqrt(2) * BETWEEN_PROCESSES))
    ratio = Ratio(value=value, low=value / factor, high=value * factor)
    return replace(found, ratio=ratio, reason="; ".join(filter(None, (found.reason, doubt))))


def _unknown(names: tuple[str, str], *measurements: Measurement) -> Comparison:
    """A comparison without a ratio yet, and what is doubtful about the measurements."""
    doubts = {
        f"{name}: {measurement.reason}"
        for name, measurement in zip(names, measurements, strict=True)
        if measurement.verdict != "stable"
    }
    return Comparison(first=names[0], second=names[1], reason="; ".join(sorted(doubts)))


def _log_half_width(measurement: Measurement) -> float:
    assert measurement.low is not None
    assert measurement.high is not None
    return math.log(measurement.high / measurement.low) / 2
