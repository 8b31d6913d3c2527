"""Whose weights are worth keeping: the front's, and those that a second look may put there."""

from __future__ import annotations

import math
from collections.abc import Sequence

from archbench.records.objective import objective_value
from archbench.records.rule import FrontRule
from archbench.records.trial import TrialRecord

_SLACK = 0.05  # two timings of one network differ by less
_LUCK = 2.0  # standard errors by which images alone set two trainings apart


def may_reach_front(record: TrialRecord, *, rule: FrontRule, among: Sequence[TrialRecord]) -> bool:
    """Whether a trial would stand on the front with a little more luck than the others.

    Its latency may turn out 5 % shorter, and its accuracy, when members of the front are trained
    again, higher than theirs by twice the standard error of a difference.
    """
    if not rule.is_eligible(record):
        return False
    mine = _signed(record, rule=rule, slack=_SLACK, luck=_LUCK)
    return not any(
        _dominates(_signed(other, rule=rule, slack=0.0, luck=0.0), mine)
        for other in among
        if other.number != record.number and rule.is_eligible(other)
    )


def _signed(record: TrialRecord, *, rule: FrontRule, slack: float, luck: float) -> list[float]:
    """The objectives, less being better."""
    values = []
    for name, direction in rule.objectives.items():
        value = objective_value(record, name) or 0.0
        if name == "latency_ms":
            value *= 1 - slack
        if name == "proxy_accuracy":
            value += luck * math.sqrt(2 * value * (1 - value) / rule.num_validation)
        values.append(-value if direction == "max" else value)
    return values


def _dominates(one: Sequence[float], other: Sequence[float]) -> bool:
    at_least_as_good = all(a <= b for a, b in zip(one, other, strict=True))
    return at_least_as_good and any(a < b for a, b in zip(one, other, strict=True))
