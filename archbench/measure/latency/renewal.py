"""Do stored calibration constants still hold, and when are they to be taken anew?

How fast the host is today all calibration networks feel alike, so it cancels among them. What is
left, by how much each of them leaves the others, is a matter of the constants: of the day on which
they were taken, or of a machine that is no longer the same.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

AWAY = 0.05
"""Constants of which two lie farther apart than this no longer hold."""
BACK = 0.03
"""A look at which they are nearer than this makes whatever was seen before void."""
LOOKS = 3
"""How many quiet looks it takes."""

Deviations = Mapping[str, float]
"""Calibration network to the share by which it leaves the others."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """One look at the calibration networks, beside their constants.

    Attributes:
        deviations: By how much each leaves the others.
        disturbance: Why it says nothing of the constants; empty for a quiet look.
        weight: How many of the looks that are needed it stands for: a long one for all.
    """

    deviations: Deviations
    disturbance: str = ""
    weight: int = 1


@dataclass(frozen=True, kw_only=True)
class Doubt:
    """What the looks so far say of constants.

    Attributes:
        looks: The last quiet ones that found them apart.
        due: Why they are to be taken anew; empty where they are not.
    """

    looks: tuple[Deviations, ...] = ()
    due: str = ""


def deviations(
    now_ms: Mapping[str, float], constants_ms: Mapping[str, float]
) -> tuple[dict[str, float], float]:
    """By which share each network leaves the others, and by which all left their constants."""
    ratios = {name: now_ms[name] / constants_ms[name] for name in now_ms}
    state = statistics.median(ratios.values())
    return {name: ratio / state - 1 for name, ratio in ratios.items()}, state - 1


def spread(found: Deviations) -> float:
    """By which share the slowest of the networks left the fastest."""
    return (1 + max(found.values())) / (1 + min(found.values())) - 1


def doubted(doubt: Doubt, look: Look, *, taken_disturbed: str = "") -> Doubt:
    """What is to be thought of the constants after one look more.

    They are to be taken anew when three quiet looks on end found two of them apart by more than
    3 % each time and by 5 % on the mean; one that finds them together again makes the others void.
    Looks that were disturbed change nothing. Constants that were themselves taken while disturbed
    are to be taken anew at the first quiet look.

    Args:
        doubt: What the looks before said.
        look: The new one.
        taken_disturbed: What disturbed when the constants were taken; mostly nothing.
    """
    if look.disturbance or len(look.deviations) < 2:
        return doubt
    if taken_disturbed:
        return Doubt(looks=doubt.looks, due=f"they were taken while {taken_disturbed}")
    if spread(look.deviations) <= BACK:
        return Doubt()
    looks = (*doubt.looks, *[look.deviations] * look.weight)[-LOOKS:]
    mean = _mean(looks)
    if len(looks) < LOOKS or spread(mean) <= AWAY:
        return Doubt(looks=looks)
    slow, fast = max(mean, key=mean.__getitem__), min(mean, key=mean.__getitem__)
    return Doubt(
        looks=looks,
        due=f"{slow} takes {spread(mean):.0%} more beside {fast} than when they were taken",
    )


def postponed(doubt: Doubt) -> Doubt:
    """After constants were to be taken anew and the machine was not quiet: one look is missing."""
    return Doubt(looks=doubt.looks[1 - LOOKS :])


def changed(old_ms: Mapping[str, float], new_ms: Mapping[str, float]) -> float:
    """The largest share by which a constant changed."""
    return max(
        (abs(math.expm1(math.log(new_ms[name] / old_ms[name]))) for name in new_ms), default=0.0
    )


def _mean(looks: Sequence[Deviations]) -> dict[str, float]:
    names = [name for name in looks[-1] if all(name in look for look in looks)]
    return {name: statistics.fmean(look[name] for look in looks) for name in names}
