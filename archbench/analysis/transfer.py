"""Does the front that was found on one device stand on another?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from archbench.analysis.front import FrontRule
from archbench.analysis.statistics import kendall_tau_of
from archbench.study.objective import costs
from archbench.study.trial import TrialRecord


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """What became of a front on another device.

    Attributes:
        front: Trials on the front there, cheapest first.
        kept: Members here that are members there.
        left: Members here that others beat there.
        joined: Members there that are none here.
        kendall_tau: How alike both orders of latency are, -1 to 1; None for fewer than two trials.
        compared: How many trials that rests on.
        lost: The share of the hypervolume there that the members here do not cover, 0 to 1; None
            where only they were timed, or nothing is on the front there.
    """

    front: tuple[int, ...]
    kept: tuple[int, ...]
    left: tuple[int, ...]
    joined: tuple[int, ...]
    kendall_tau: float | None
    compared: int
    lost: float | None


def moved(rule: FrontRule, trials: Sequence[TrialRecord]) -> tuple[FrontRule, list[TrialRecord]]:
    """The rule for another device and the front by it, cheapest first.

    A limit of milliseconds was meant for the device of the search, so it is left out.

    Args:
        rule: Of the study.
        trials: Trials with their latency there.
    """
    timed = costs("latency")
    limits = {name: most for name, most in rule.limits.items() if name not in timed}
    there = replace(rule, limits=limits)
    return there, there.front(trials)


def transfer(
    rule: FrontRule,
    *,
    here: Sequence[TrialRecord],
    there: Sequence[TrialRecord],
    members: Sequence[int],
) -> Transfer:
    """How the front of a study does on another device.

    Args:
        rule: Of the study.
        here: Trials with the latency that they were searched by.
        there: The same trials with their latency on the other device, None where it has none.
        members: Numbers of the front here.
    """
    rule_there, front = moved(rule, there)
    numbers = [record.number for record in front]
    pairs = [
        (one.latency.value, other.latency.value)
        for one, other in zip(here, there, strict=True)
        if one.latency and other.latency and one.latency.value and other.latency.value
    ]
    lost = None
    if front and {record.number for record in there} - set(members):
        best = rule_there.hypervolume(there)
        # The others keep the corner where it is, and are on no front.
        without = [
            record if record.number in members else replace(record, state="pruned")
            for record in there
        ]
        lost = max(0.0, 1 - rule_there.hypervolume(without) / best) if best else None
    return Transfer(
        front=tuple(numbers),
        kept=tuple(number for number in members if number in numbers),
        left=tuple(number for number in members if number not in numbers),
        joined=tuple(number for number in numbers if number not in members),
        kendall_tau=kendall_tau_of(pairs),
        compared=len(pairs),
        lost=lost,
    )
