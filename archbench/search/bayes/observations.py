"""What a study says of its trials, as numbers; each trial is read once after it has ended.

n trials, D axes, q costs.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.trial import FrozenTrial, TrialState

from archbench.search.bayes.encoding import Encoding, keys

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Params = Mapping[str, Any]
Curve = list[tuple[int, int, float]]

PROPOSED = "archbench:proposed"
"""Attribute of a trial in the study's storage: what it was given, before it has asked for it."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """What the objectives of a study are, and what else is limited.

    Attributes:
        uncertain: Position of the objective that is not known beforehand.
        signs: For each objective 1 where it is minimised, -1 where it is maximised.
        known: For each other objective its position among the facts of a candidate; None where
            it is learnt like the uncertain one.
        limits: For each other objective what it may be at most, or infinity.
        num_limited: How many of the last entries of ``known`` and ``limits`` are no objectives
            but limited all the same.
        has_curves: Whether curves are of the uncertain objective.
        foretold: Position of a cost that is learnt to that of the fact that predicts it.
    """

    uncertain: int
    signs: tuple[float, ...]
    known: tuple[int | None, ...]
    limits: tuple[float, ...]
    num_limited: int = 0
    has_curves: bool = True
    foretold: Mapping[int, int] = field(default_factory=dict)

    @property
    def cost_signs(self) -> Array:
        """(q,) of the other objectives, and of what is only limited."""
        others = [sign for place, sign in enumerate(self.signs) if place != self.uncertain]
        return np.array([*others, *[1.0] * self.num_limited])

    @property
    def num_costs(self) -> int:
        """How many objectives are costs."""
        return len(self.signs) - 1


@dataclass(frozen=True, kw_only=True)
class Observations:
    """What a study says of its trials, rows in the order of their numbers.

    Attributes:
        numbers: (n,) of the trials.
        keys: (n,) what tells their candidates apart.
        codes: (n, D).
        accuracy: (n,) the uncertain objective, larger is better; NaN where it is not known.
        costs: (n, q) the others, smaller is better; NaN where they are not known.
        curves: (n,) of partial evaluations, larger is better.
        is_running: (n,) whether it is still being evaluated.
    """

    numbers: NDArray[np.intp]
    keys: list[bytes]
    codes: Array
    accuracy: Array
    costs: Array
    curves: list[Curve]
    is_running: Mask

    def __getitem__(self, rows: Mask) -> Observations:
        if rows.all():
            return self
        kept = np.flatnonzero(rows).tolist()
        return Observations(
            numbers=self.numbers[rows],
            keys=[self.keys[row] for row in kept],
            codes=self.codes[rows],
            accuracy=self.accuracy[rows],
            costs=self.costs[rows],
            curves=[self.curves[row] for row in kept],
            is_running=self.is_running[rows],
        )


class ObservationReader:
    """What the trials of one study have told so far.

    Args:
        encoding: Of their parameters.
        problem: What the objectives are.
    """

    def __init__(self, encoding: Encoding, problem: Problem) -> None:
        self._encoding, self._problem = encoding, problem
        self._keys: list[bytes] = []
        self._curves: list[Curve] = []
        self._has_ended = np.zeros(0, dtype=bool)
        self._codes = np.zeros((0, len(encoding)))
        self._values = np.zeros((0, 1 + len(problem.known)))

    def told(self, trials: Sequence[FrozenTrial], *, given: Mapping[int, Params]) -> Observations:
        """What is known now.

        Args:
            trials: All of the study, by number.
            given: The parameters that trials were given, by number, before they asked for them.
        """
        count = len(trials)
        self._grow(count)
        is_running = np.zeros(count, dtype=bool)
        for number in np.flatnonzero(~self._has_ended[:count]).tolist():
            trial = trials[number]
            if trial.state.is_finished():
                self._has_ended[number] = True
                self._read(number, trial, trial.params)
            elif params := given.get(trial.number) or _proposed(trial) or trial.params:
                is_running[number] = True
                self._read(number, trial, params)
        every = Observations(
            numbers=np.arange(count),
            keys=self._keys[:count],
            codes=self._codes[:count],
            accuracy=self._values[:count, 0],
            costs=self._values[:count, 1:],
            curves=self._curves[:count],
            is_running=is_running,
        )
        return every[self._has_ended[:count] | is_running]

    def _grow(self, count: int) -> None:
        missing = count - len(self._keys)
        if missing <= 0:
            return
        missing = max(missing, len(self._keys))  # doubled, so that each row is copied a few times
        self._keys += [b""] * missing
        self._curves += [[] for _ in range(missing)]
        self._has_ended = np.concatenate([self._has_ended, np.zeros(missing, dtype=bool)])
        self._codes = _longer(self._codes, missing)
        self._values = _longer(self._values, missing)

    def _read(self, number: int, trial: FrozenTrial, params: Params) -> None:
        code = self._encoding.code(params)
        self._codes[number] = code
        self._keys[number] = keys(code[None])[0]
        self._values[number, 0] = _accuracy(trial, self._problem)
        self._values[number, 1:] = _costs(trial, self._problem)
        self._curves[number] = _curve(trial, self._problem)


def _longer(rows: Array, more: int) -> Array:
    return np.concatenate([rows, np.full((more, rows.shape[1]), np.nan)])


def _accuracy(trial: FrozenTrial, problem: Problem) -> float:
    if trial.state != TrialState.COMPLETE or trial.values is None:
        return math.nan
    accuracy = -problem.signs[problem.uncertain] * trial.values[problem.uncertain]
    return accuracy if math.isfinite(accuracy) else math.nan


def _costs(trial: FrozenTrial, problem: Problem) -> Array:
    """(q,) NaN where one is not known."""
    costs = np.full(len(problem.known), math.nan)
    known = list(trial.user_attrs.get("cost") or ())
    if trial.state == TrialState.COMPLETE and trial.values is not None:
        known = [v for place, v in enumerate(trial.values) if place != problem.uncertain]
    if len(known) == problem.num_costs:
        costs[: len(known)] = problem.cost_signs[: len(known)] * np.array(known, dtype=float)
    if problem.num_limited and trial.user_attrs.get("latency_ms") is not None:
        costs[-1] = trial.user_attrs["latency_ms"]
    return np.where(np.isfinite(costs), costs, math.nan)


def _curve(trial: FrozenTrial, problem: Problem) -> Curve:
    sign = -problem.signs[problem.uncertain]
    points = trial.user_attrs.get("curve") or () if problem.has_curves else ()
    return [(int(seed), int(epoch), sign * float(value)) for seed, epoch, value in points]


def _proposed(trial: FrozenTrial) -> dict[str, Any] | None:
    text = trial.system_attrs.get(PROPOSED)
    return None if text is None else json.loads(text)
