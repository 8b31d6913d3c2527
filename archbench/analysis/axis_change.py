"""What does each single change of a design do, by the trials and by what they foretell?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from archbench.analysis.accuracy_model import AccuracyModel, is_trained
from archbench.analysis.front_probability import DRAWS
from archbench.analysis.statistics import Estimate
from archbench.study.objective import objective_value
from archbench.study.trial import PRECISION, TrialRecord


@dataclass(frozen=True, kw_only=True)
class AxisChange:
    """One change of one axis."""

    axis: str
    before: Any  # the design's value; None where the axis is not active
    after: Any
    trial: int | None  # the trial that differs in nothing else; None where the model foretells it
    accuracy: Estimate  # less that of the design
    cost: float | None  # likewise, in the cost's own unit; None where it was not measured


def axis_changes(
    record: TrialRecord, *, trials: Sequence[TrialRecord], model: AccuracyModel, cost: str
) -> list[AxisChange]:
    """Single changes from a design: those that trials show, and what the model says of others.

    The model knows values that some trial has, and nothing of a combination that no trial has.
    The largest changes come first.
    """
    ended = [other for other in trials if is_trained(other)]
    shown = [
        (axes[0], other.choices.get(axes[0]), other)
        for other in ended
        if len(axes := _differing(record.choices, other.choices)) == 1
    ]
    foretold = _foretold(record, ended, known=[(axis, after) for axis, after, _ in shown])
    unseen = [{**record.choices, axis: to} for axis, to in foretold]
    numbers = [record.number, *(other.number for _, _, other in shown)]
    if record.design is not None:  # the model foretells trainings, not what int8 does to them
        numbers.append(record.design)
    rng = np.random.default_rng(3)
    drawn = model.draw(DRAWS, of=numbers, unseen=unseen, rng=rng)
    if record.design is not None:
        drawn[:, len(numbers) :] += drawn[:, [0]] - drawn[:, [len(numbers) - 1]]
        drawn = np.delete(drawn, len(numbers) - 1, axis=1)
    every = [*shown, *((axis, after, None) for axis, after in foretold)]
    found = [
        AxisChange(
            axis=axis,
            before=record.choices.get(axis),
            after=after,
            trial=other.number if other else None,
            accuracy=Estimate.of_draws(drawn[:, place] - drawn[:, 0]),
            cost=dearer(record, other, cost=cost) if other else None,
        )
        for place, (axis, after, other) in enumerate(every, start=1)
    ]
    return sorted(found, key=lambda change: -abs(change.accuracy.value))


def dearer(one: TrialRecord, other: TrialRecord, *, cost: str) -> float | None:
    """The cost of the other less that of the one; None where one is not known."""
    before, after = (objective_value(record, cost) for record in (one, other))
    return None if before is None or after is None else after - before


def _foretold(
    record: TrialRecord, ended: Sequence[TrialRecord], *, known: Sequence[tuple[str, Any]]
) -> list[tuple[str, Any]]:
    """Changes to values that other trials have, of axes that are active in the design."""
    found: list[tuple[str, Any]] = []
    for axis, before in record.choices.items():
        for other in ended:
            change = axis, other.choices.get(axis, before)
            if axis != PRECISION and change[1] != before and change not in (*known, *found):
                found.append(change)
    return found


def _differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    return [axis for axis in {**one, **other} if one.get(axis) != other.get(axis)]
