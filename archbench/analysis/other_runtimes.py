"""Does the order of the front's latencies hold in the other runtimes of the machine?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from archbench.analysis.statistics import Estimate, kendall_tau_of
from archbench.study.trial import TrialRecord

OTHER_RUNTIMES = "other_runtimes"
"""Key of a study's header: what members of its front took in other runtimes."""


@dataclass(frozen=True, kw_only=True)
class InRuntime:
    """What members of a front take in another runtime, by trial, and what becomes of their order.

    ``kendall_tau`` is how alike both orders of latency are, None for fewer than two members. Of a
    pair that is ``swapped`` the first is the faster one in the search and the slower one there, by
    both intervals. The reason says why one has no latency, mostly nothing.
    """

    backend: str
    latencies_ms: Mapping[int, Estimate]
    kendall_tau: float | None
    swapped: tuple[tuple[int, int], ...]
    reason: str


def in_other_runtimes(header: Mapping[str, Any], members: Sequence[TrialRecord]) -> list[InRuntime]:
    """What a study's header keeps of these members of its front, a runtime each."""
    here = {
        one.number: Estimate(value=taken.value, low=taken.low, high=taken.high)
        for one in members
        if (taken := one.latency) and taken.value and taken.low and taken.high
    }
    return [_compared(entry, here=here) for entry in header.get(OTHER_RUNTIMES, ())]


def _compared(entry: Mapping[str, Any], *, here: Mapping[int, Estimate]) -> InRuntime:
    there = {
        one["trial"]: Estimate(value=one["value"], low=one["low"], high=one["high"])
        for one in entry["trials"]
        if one["trial"] in here
    }
    ordered = sorted(there, key=lambda number: here[number].value)
    swapped = [
        (one, other)
        for one, other in combinations(ordered, 2)
        if here[one].high < here[other].low and there[other].high < there[one].low
    ]
    return InRuntime(
        backend=entry["backend"],
        latencies_ms=there,
        kendall_tau=kendall_tau_of([(here[n].value, there[n].value) for n in ordered]),
        swapped=tuple(swapped),
        reason=entry["reason"],
    )
