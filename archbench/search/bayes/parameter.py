"""An axis of a space as a parameter of Optuna, without the numerics that a sampler needs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution

if TYPE_CHECKING:
    from archbench.space import Axis


def distribution(axis: Axis) -> BaseDistribution:
    """What Optuna draws the axis from."""
    values = options(axis)
    step = _step(values) if len(values) > 1 else None
    if step is None:
        return CategoricalDistribution(values)
    return IntDistribution(min(values), max(values), step=step)


def suggest(trial: optuna.trial.BaseTrial, axis: Axis) -> int:
    """The index that a trial gives the axis; an axis with one value is not asked for."""
    values = options(axis)
    if len(values) == 1:
        return 0
    drawn = distribution(axis)
    if isinstance(drawn, IntDistribution):
        return values.index(trial.suggest_int(axis.name, drawn.low, drawn.high, step=drawn.step))
    return values.index(trial.suggest_categorical(axis.name, values))


def options(axis: Axis) -> list[Any]:
    """The values of an axis as Optuna takes them: scalars of one type, else their text."""
    values = list(axis.values)
    same_type = len({type(value) for value in values}) == 1
    if same_type and isinstance(values[0], (bool, int, float, str)):
        return values
    return [json.dumps(value, sort_keys=True) for value in values]


def _step(values: Sequence[Any]) -> int | None:
    """The distance of evenly spaced whole numbers; None for anything else."""
    if not all(type(value) is int for value in values):
        return None
    ordered = sorted(values)
    steps = {b - a for a, b in pairwise(ordered)}
    return steps.pop() if len(steps) == 1 else None
