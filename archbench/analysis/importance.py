"""Which choices matter, for accuracy at equal cost and for the cost, and where do bounds cut?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from archbench.analysis.front import FrontRule
from archbench.analysis.share import ChoiceMatrix, KnobShare, PairShare, shares
from archbench.analysis.statistics import Floats
from archbench.study.objective import objective_value
from archbench.study.trial import TrialRecord

FEWEST = 16
"""Trained trials below which nothing is said of single choices."""

_SHOWN_PAIRS = 5
_DEGREE = 3
_SURE = 0.05
_FEW = 6  # trials that a value needs before it is called useless


@dataclass(frozen=True, kw_only=True)
class Bound:
    """An end of an axis where the front lies.

    Attributes:
        axis: Its name.
        value: The value at the end.
        end: ``largest`` or ``smallest``.
        on_front: Members of the front that have it.
        of_front: Members that have the axis.
        share: Of all trained trials that have the axis, how many have this value.
    """

    axis: str
    value: Any
    end: str
    on_front: int
    of_front: int
    share: float


@dataclass(frozen=True, kw_only=True)
class Useless:
    """A value that no member of the front has and that is worse than another at equal cost.

    Attributes:
        axis: Its name.
        value: Which.
        tried: Trained trials that have it.
        loss: Accuracy below the axis's best value at equal cost.
    """

    axis: str
    value: Any
    tried: int
    loss: float


@dataclass(frozen=True, kw_only=True)
class Insight:
    """What the trials of a study say of its choices.

    Attributes:
        num_trials: Trained to the end.
        cost: The objective that is held equal.
        accuracy: Each axis's share of accuracy at equal cost, largest first.
        pairs: The largest shares of pairs beyond their axes.
        costs: Each axis's share of the logarithm of the cost, largest first.
        bounds: Ends of axes at which the front lies.
        useless: Values that never help.
    """

    num_trials: int
    cost: str
    accuracy: tuple[KnobShare, ...] = ()
    pairs: tuple[PairShare, ...] = ()
    costs: tuple[KnobShare, ...] = ()
    bounds: tuple[Bound, ...] = ()
    useless: tuple[Useless, ...] = ()

    @property
    def is_told(self) -> bool:
        """Whether there are trials enough to say anything of single choices."""
        return self.num_trials >= FEWEST

    def document(self) -> dict[str, Any]:
        """JSON-able, with values as text."""
        found = asdict(self)
        for knob in (*found["accuracy"], *found["costs"]):
            for key in ("effects", "counts"):
                knob[key] = {str(value): of for value, of in knob[key].items()}
        return found


def insight(
    trials: Sequence[TrialRecord],
    front: Sequence[TrialRecord],
    *,
    rule: FrontRule,
    axes: Mapping[str, Sequence[Any]],
) -> Insight:
    """What the trained trials say; choices that chance could explain are not separable.

    Args:
        trials: Of the study.
        front: Its members.
        rule: Of the study.
        axes: Axis to all its values as tables show them; where one is missing, those that were
            tried stand for it.
    """
    trials, front = ([_plain(record) for record in records] for records in (trials, front))
    cost = next(name for name, way in rule.objectives.items() if way == "min")
    trained = [
        record
        for record in trials
        if record.state == "complete"
        and record.proxy_accuracy is not None
        and (objective_value(record, cost) or 0) > 0
    ]
    if len(trained) < FEWEST:
        return Insight(num_trials=len(trained), cost=cost)
    sample = _Sample(trained, cost=cost)
    accuracy, pairs = shares(sample.design, sample.accuracy, nuisance=sample.powers)
    costs, _ = shares(sample.design, sample.log_cost, nuisance=np.ones((len(trained), 1)))
    return Insight(
        num_trials=len(trained),
        cost=cost,
        accuracy=tuple(accuracy),
        pairs=tuple(pairs[:_SHOWN_PAIRS]),
        costs=tuple(costs),
        bounds=tuple(_bounds(trained, front, axes=axes)),
        useless=tuple(_useless(accuracy, front)),
    )


@dataclass(frozen=True)
class _Sample:
    trained: Sequence[TrialRecord]
    cost: str

    @cached_property
    def design(self) -> ChoiceMatrix:
        return ChoiceMatrix([record.choices for record in self.trained])

    @cached_property
    def accuracy(self) -> Floats:
        return np.array([record.proxy_accuracy or 0.0 for record in self.trained])

    @cached_property
    def log_cost(self) -> Floats:
        return np.log([float(objective_value(r, self.cost) or 1.0) for r in self.trained])

    @cached_property
    def powers(self) -> Floats:
        """A cubic in the logarithm of the cost."""
        centred = self.log_cost - self.log_cost.mean()
        scaled = centred / (np.abs(centred).max() or 1.0)
        return np.stack([scaled**power for power in range(_DEGREE + 1)], axis=1)


def _bounds(
    trained: Sequence[TrialRecord],
    front: Sequence[TrialRecord],
    *,
    axes: Mapping[str, Sequence[Any]],
) -> list[Bound]:
    """Ends where more of the front lies than the trials would place there by chance."""
    tried: dict[str, set[Any]] = {}
    for record in trained:
        for axis, value in record.choices.items():
            tried.setdefault(axis, set()).add(value)
    found = []
    for axis, seen in tried.items():
        values = [value for value in axes.get(axis, sorted(seen, key=str)) if _is_number(value)]
        having = [record for record in front if axis in record.choices]
        if len(values) < 2 or len(values) < len(seen) or len(having) < 3:
            continue
        for end, value in (("largest", max(values)), ("smallest", min(values))):
            count = sum(record.choices[axis] == value for record in having)
            share = _share(trained, axis, value)
            if 2 * count > len(having) and _at_least(count, len(having), share) < _SURE:
                found.append(
                    Bound(
                        axis=axis, value=value, end=end, on_front=count, of_front=len(having),
                        share=share,
                    )
                )  # fmt: skip
    return found


def _useless(accuracy: Sequence[KnobShare], front: Sequence[TrialRecord]) -> list[Useless]:
    """Values of separable axes whose effect lies wholly below that of another, off the front."""
    found = []
    for knob in accuracy:
        if not knob.is_separable or not front:
            continue
        best = max(knob.effects.values(), key=lambda effect: effect.value)
        for value, effect in knob.effects.items():
            is_there = any(record.choices.get(knob.axis) == value for record in front)
            if not is_there and knob.counts[value] >= _FEW and effect.high < best.low:
                loss = best.value - effect.value
                tried = knob.counts[value]
                found.append(Useless(axis=knob.axis, value=value, tried=tried, loss=loss))
    return found


def _plain(record: TrialRecord) -> TrialRecord:
    """The record with every choice a plain value; parts as text."""
    choices = {
        axis: value if isinstance(value, str | int | float) else str(value)
        for axis, value in record.choices.items()
    }
    return replace(record, choices=choices)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _share(trained: Sequence[TrialRecord], axis: str, value: Any) -> float:
    having = [record.choices[axis] for record in trained if axis in record.choices]
    return having.count(value) / len(having)


def _at_least(count: int, total: int, share: float) -> float:
    """The chance of so many or more of a binomial."""
    return sum(
        math.comb(total, k) * share**k * (1 - share) ** (total - k) for k in range(count, total + 1)
    )
