"""Does the front that was found on one device stand on another?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from archbench.analysis.front import FrontRule
from archbench.analysis.statistics import kendall_tau_of
from archbench.study.objective import costs
from archbench.study.trial import TrialRecord


def transfer(
    rule: FrontRule,
    *,
    here: Sequence[TrialRecord],
    there: Sequence[TrialRecord],
    members: Sequence[int],
) -> dict[str, Any]:
    """What becomes of the front of a study on another device, JSON-able.

    A limit of milliseconds was meant for the device of the search, so it does not hold there.

    Args:
        rule: Of the study.
        here: Trials with the latency that they were searched by.
        there: The same trials with their latency on the other device, None where it has none.
        members: Numbers of the front here.

    Returns:
        ``front``, the trials on the front there, cheapest first; members that are ``kept`` and
        ``left``, and trials that ``joined``; ``kendall_tau``, how alike both orders of latency are,
        None for fewer than two trials, and how many were ``compared`` for it; ``lost``, the share
        of the hypervolume there that the members here do not cover, None where only they were
        timed, or nothing is on the front there.
    """
    limits = {name: most for name, most in rule.limits.items() if name not in costs("latency")}
    rule_there = replace(rule, limits=limits)
    front = [record.number for record in rule_there.front(there)]
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
    return {
        "front": front,
        "kept": [number for number in members if number in front],
        "left": [number for number in members if number not in front],
        "joined": [number for number in front if number not in members],
        "kendall_tau": kendall_tau_of(pairs),
        "compared": len(pairs),
        "lost": lost,
    }
