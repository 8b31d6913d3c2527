"""What does a single change of a knob do, from one design on?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from archbench.analysis.accuracy_model import Belief, is_trained
from archbench.analysis.feature import Features
from archbench.analysis.front_probability import DRAWS, Estimate
from archbench.study.objective import objective_value
from archbench.study.trial import TrialRecord


@dataclass(frozen=True, kw_only=True)
class Knob:
    """One change of one knob.

    Attributes:
        axis: The knob.
        before: The design's value; None where the axis is not active.
        after: The other value.
        trial: The trial that differs in nothing else; None where the model foretells it.
        accuracy: What the change does to the accuracy.
        cost: What it does to the cost, in the cost's own unit; None where it was not measured.
    """

    axis: str
    before: Any
    after: Any
    trial: int | None
    accuracy: Estimate
    cost: float | None

    @property
    def is_told_apart(self) -> bool:
        """Whether the change's sign is known with 95 %."""
        return self.accuracy.low > 0 or self.accuracy.high < 0


def knobs_of(
    record: TrialRecord, trials: Sequence[TrialRecord], *, belief: Belief, cost: str
) -> list[Knob]:
    """Single changes from a design: those that a trial shows, and what the model says of the rest.

    The model knows values that some trial has, and nothing of a combination that no trial has.

    Args:
        record: The design.
        trials: Of its study.
        belief: Of the same study.
        cost: Which cost is told.

    Returns:
        The largest changes first.
    """
    ended = [other for other in trials if is_trained(other)]
    shown = _shown(record, ended)
    foretold = _foretold(record, ended, known=[(axis, after) for axis, after, _ in shown])
    choices = [entry.choices for entry in ended]
    unseen = Features.of(choices).rows([{**record.choices, axis: to} for axis, to in foretold])
    numbers = [record.number, *(other.number for _, _, other in shown)]
    drawn = belief.draw(DRAWS, of=numbers, unseen=unseen, rng=np.random.default_rng(3))
    mine = objective_value(record, cost)
    changes = [*shown, *((axis, after, None) for axis, after in foretold)]
    found = []
    for place, (axis, after, other) in enumerate(changes, start=1):
        theirs = objective_value(other, cost) if other else None
        change = drawn[:, place] - drawn[:, 0]
        low, high = np.quantile(change, [0.025, 0.975])
        found.append(
            Knob(
                axis=axis,
                before=record.choices.get(axis),
                after=after,
                trial=other.number if other else None,
                accuracy=Estimate(value=float(change.mean()), low=float(low), high=float(high)),
                cost=None if mine is None or theirs is None else theirs - mine,
            )
        )
    return sorted(found, key=lambda knob: -abs(knob.accuracy.value))


def _shown(record: TrialRecord, ended: Sequence[TrialRecord]) -> list[tuple[str, Any, TrialRecord]]:
    """Axis, other value and the trial that differs in that alone."""
    found = []
    for other in ended:
        differing = _differing(record.choices, other.choices)
        if len(differing) == 1:
            (axis,) = differing
            found.append((axis, other.choices.get(axis), other))
    return found


def _foretold(
    record: TrialRecord, ended: Sequence[TrialRecord], *, known: Sequence[tuple[str, Any]]
) -> list[tuple[str, Any]]:
    """Changes to values that other trials have, of axes that are active in the design."""
    found: list[tuple[str, Any]] = []
    for axis, before in record.choices.items():
        for other in ended:
            change = axis, other.choices.get(axis, before)
            if change[1] != before and change not in known and change not in found:
                found.append(change)
    return found


def _differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    return [axis for axis in {**one, **other} if one.get(axis) != other.get(axis)]
