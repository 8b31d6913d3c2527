"""What a study says of its trials, as numbers; each trial is read once after it has ended.

n trials, D axes, q costs.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

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


class Observations(NamedTuple):
    """What n trials have told, in the order of their numbers.

    Attributes:
        numbers: (n,) of the trials.
        keys: (n,) what tells their candidates apart.
        rows: (n, D + 1 + q) the code, the uncertain objective (larger is better) and the others
            (smaller is better); NaN where one is not known.
        curves: (n,) of partial evaluations, larger is better.
        is_running: (n,) whether it is still being evaluated.
    """

    numbers: list[int]
    keys: list[bytes]
    rows: Array
    curves: list[Curve]
    is_running: Mask


class ObservationReader:
    """What the trials of one study have told so far.

    Args:
        encoding: Of their parameters.
        problem: What the objectives are.
    """

    def __init__(self, encoding: Encoding, problem: Problem) -> None:
        self._encoding, self._problem = encoding, problem
        self._ended: dict[int, tuple[bytes, Array, Curve]] = {}

    def told(self, trials: Sequence[FrozenTrial], *, given: Mapping[int, Params]) -> Observations:
        """What is known now; ``given`` are parameters of trials yet to ask for them, by number."""
        found, ended, running = {}, self._ended, set()
        for number, trial in enumerate(trials):
            if number in ended:
                found[number] = ended[number]
            elif trial.state.is_finished():
                found[number] = ended[number] = self._read(trial, trial.params)
            elif params := given.get(trial.number) or _proposed(trial) or trial.params:
                found[number] = self._read(trial, params)
                running.add(number)
        read = found.values()
        return Observations(
            numbers=list(found),
            keys=[key for key, _, _ in read],
            rows=np.concatenate([np.zeros(0), *(row for _, row, _ in read)]).reshape(
                len(read), len(self._encoding) + 1 + len(self._problem.known)
            ),
            curves=[curve for _, _, curve in read],
            is_running=np.array([number in running for number in found], dtype=bool),
        )

    def _read(self, trial: FrozenTrial, params: Params) -> tuple[bytes, Array, Curve]:
        code, accuracy = self._encoding.code(params), _accuracy(trial, self._problem)
        row = np.concatenate([code, [accuracy], _costs(trial, self._problem)])
        return keys(code[None])[0], row, _curve(trial, self._problem)


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
