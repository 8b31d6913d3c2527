"""What a study says of its trials, as numbers; each trial is read once after it has ended.

n trials, D axes, q costs.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from optuna.trial import FrozenTrial, TrialState

from archbench.search.bayes.encoding import Encoding, keys
from archbench.search.bayes.surrogate import Curve

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Params = Mapping[str, Any]

PROPOSED = "archbench:proposed"
"""Attribute of a trial in the study's storage: what it was given, before it has asked for it."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """What the objectives of a study are, and what else is limited.

    Each objective but the uncertain one is known by its position among the facts of a candidate,
    None where it is learnt, too, and has a limit, or infinity. So have the last ``num_limited``
    costs, which are no objectives. A fact may predict a cost that is learnt, its ``foretold`` one.
    """

    uncertain: int  # position of the objective that is not known beforehand
    signs: tuple[float, ...]  # 1 where an objective is minimised, -1 where it is maximised
    known: tuple[int | None, ...]
    limits: tuple[float, ...]
    num_limited: int = 0
    has_curves: bool = True  # of the uncertain objective
    foretold: Mapping[int, int] = field(default_factory=dict)  # position of a cost to its fact

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
    """What n trials have shown, in the order of their numbers.

    A row (n, D + 1 + q) is the code, the uncertain objective (larger is better) and the others
    (smaller is better); NaN where one is not known.
    """

    numbers: NDArray[np.intp]  # (n,)
    keys: set[bytes]  # of the candidates
    rows: Array
    curves: list[Curve]  # (n,) of partial evaluations, larger is better
    is_running: Mask  # (n,) whether it is still being evaluated
    arithmetic: list[Sequence[float] | None]  # (n,) facts by arithmetic, where a trial has them


class ObservationReader:
    """What the trials of one study have shown so far."""

    def __init__(self, encoding: Encoding, problem: Problem) -> None:
        self._encoding, self._problem = encoding, problem
        self._keys: list[bytes] = []
        self._curves: list[Curve] = []
        self._arithmetic: list[Sequence[float] | None] = []
        self._rows = np.zeros((0, len(encoding) + 1 + len(problem.known)))
        self._has_ended = np.zeros(0, dtype=bool)

    def observations(
        self, trials: Sequence[FrozenTrial], *, given: Mapping[int, Params]
    ) -> Observations:
        """What is known now; ``given`` are parameters of trials yet to ask for them, by number."""
        missing = len(trials) - len(self._keys)
        self._keys += [b""] * missing
        self._curves += [Curve()] * missing
        self._arithmetic += [None] * missing
        self._rows = np.pad(self._rows, [(0, missing), (0, 0)])
        self._has_ended = np.pad(self._has_ended, (0, missing))
        is_running = np.zeros(len(trials), dtype=bool)
        for number in np.flatnonzero(~self._has_ended).tolist():
            trial = trials[number]
            if trial.state.is_finished():
                self._has_ended[number] = True
                self._read(trial, trial.params, row=number)
            elif params := given.get(trial.number) or _proposed(trial) or trial.params:
                is_running[number] = True
                self._read(trial, params, row=number)
        is_read = self._has_ended | is_running
        return Observations(
            numbers=np.flatnonzero(is_read),
            keys=set(compress(self._keys, is_read.tolist())),
            rows=self._rows[is_read],
            curves=list(compress(self._curves, is_read.tolist())),
            is_running=is_running[is_read],
            arithmetic=list(compress(self._arithmetic, is_read.tolist())),
        )

    def _read(self, trial: FrozenTrial, params: Params, *, row: int) -> None:
        code, accuracy = self._encoding.code(params), _accuracy(trial, self._problem)
        self._keys[row] = keys(code[None])[0]
        self._rows[row] = np.concatenate([code, [accuracy], _costs(trial, self._problem)])
        self._curves[row] = _curve(trial, self._problem)
        self._arithmetic[row] = trial.user_attrs.get("arithmetic")


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
    return Curve([(int(seed), int(epoch), sign * float(value)) for seed, epoch, value in points])


def _proposed(trial: FrozenTrial) -> dict[str, Any] | None:
    text = trial.system_attrs.get(PROPOSED)
    return None if text is None else json.loads(text)
