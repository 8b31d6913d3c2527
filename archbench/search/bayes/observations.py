"""What a study says of its trials, as numbers; each trial is read once after it has ended.

n trials, D axes, q costs.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial, TrialState

from archbench.search.bayes.encoding import Encoding, keys
from archbench.search.bayes.surrogate import Curve

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Params = Mapping[str, Any]

PROPOSED = "archbench:proposal"
"""Attribute of a trial in the study's storage: what it was given, before it has asked for it."""

WENT_THROUGH = (TrialState.COMPLETE, TrialState.PRUNED)
"""States of trials that have asked for all that their candidates have."""

_FIXED = "fixed_params"  # Optuna's attribute of a trial that was enqueued
_LARGEST = 1e100  # its square is finite


@dataclass(frozen=True, kw_only=True)
class Problem:
    """What the objectives of a study are, and what else is limited.

    Each objective but the uncertain one is known by its position among the facts of a candidate,
    None where it is learnt, too, and has a limit, or infinity. So have the ``num_limited`` costs
    behind them, which are no objectives, and at the end the values of the ``constraints`` that
    trials set, whose limit is 0. A fact may predict a cost that is learnt, its ``foretold`` one.
    """

    uncertain: int  # position of the objective that is not known beforehand
    signs: tuple[float, ...]  # 1 where an objective is minimised, -1 where it is maximised
    known: tuple[int | None, ...]
    limits: tuple[float, ...]
    num_limited: int = 0
    constraints: tuple[str, ...] = ()
    has_curves: bool = True  # of the uncertain objective
    foretold: Mapping[int, int] = field(default_factory=dict)  # position of a cost to its fact

    @property
    def cost_signs(self) -> Array:
        """(q,) of the other objectives, and of what is only limited."""
        others = [sign for place, sign in enumerate(self.signs) if place != self.uncertain]
        return np.array([*others, *[1.0] * (self.num_limited + len(self.constraints))])

    @property
    def num_costs(self) -> int:
        """How many objectives are costs."""
        return len(self.signs) - 1

    @property
    def constrained(self) -> slice:
        """Where the constraints are among the costs."""
        return slice(len(self.known) - len(self.constraints), len(self.known))


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
    went_through: Mask  # (n,) whether it has asked for all that its candidate has


class AskedFor:
    """Which parameters and constraints trials have, and the latest value of each parameter.

    That is told by trials that went through all they ask for: complete ones, or pruned ones.
    """

    def __init__(self, distributions: Mapping[str, BaseDistribution]) -> None:
        self.distributions = dict(distributions)
        self.params = {n: _single_value(one) for n, one in distributions.items() if one.single()}
        self.constraints: set[str] = set()
        self._asked_by: dict[str, int] = {}  # parameter to the latest trial with it
        self._num_read = 0
        self._unfinished: list[int] = []  # of those read

    def read(self, trials: Sequence[FrozenTrial]) -> None:
        """Takes in all trials of a study; one that had ended before is not read again."""
        unread = [*self._unfinished, *range(self._num_read, len(trials))]
        self._num_read = len(trials)
        self._unfinished = [number for number in unread if not trials[number].state.is_finished()]
        for number in unread:
            if trials[number].state in WENT_THROUGH:
                self._take(trials[number], number=number)

    def _take(self, trial: FrozenTrial, *, number: int) -> None:
        self.constraints.update(trial.constraints)
        for name, value in trial.params.items():
            if number > self._asked_by.get(name, -1):
                self._asked_by[name] = number
                self.params[name], self.distributions[name] = value, trial.distributions[name]


class ObservationReader:
    """What the trials of one study have shown so far.

    A trial with a value that its parameter can no longer take tells nothing.
    """

    def __init__(self, encoding: Encoding, problem: Problem) -> None:
        self._encoding, self._problem = encoding, problem
        self._keys: list[bytes] = []
        self._curves: list[Curve] = []
        self._arithmetic: list[Sequence[float] | None] = []
        self._rows = np.zeros((0, len(encoding) + 1 + len(problem.known)))
        self._has_ended = np.zeros(0, dtype=bool)
        self._is_apart = np.zeros(0, dtype=bool)
        self._went_through = np.zeros(0, dtype=bool)

    def observations(self, trials: Sequence[FrozenTrial]) -> Observations:
        """What is known now, also of trials that have yet to ask for what they were given."""
        missing = len(trials) - len(self._keys)
        self._keys += [b""] * missing
        self._curves += [Curve()] * missing
        self._arithmetic += [None] * missing
        self._rows = np.pad(self._rows, [(0, missing), (0, 0)])
        self._has_ended = np.pad(self._has_ended, (0, missing))
        self._is_apart = np.pad(self._is_apart, (0, missing))
        self._went_through = np.pad(self._went_through, (0, missing))
        is_running = np.zeros(len(trials), dtype=bool)
        for number in np.flatnonzero(~self._has_ended).tolist():
            trial = trials[number]
            if trial.state.is_finished():
                self._has_ended[number] = True
                self._went_through[number] = trial.state in WENT_THROUGH
                self._read(trial, trial.params, row=number)
            elif params := _pending(trial, self._encoding.distributions):
                is_running[number] = True
                self._read(trial, params, row=number)
        is_read = (self._has_ended | is_running) & ~self._is_apart
        return Observations(
            numbers=np.flatnonzero(is_read),
            keys=set(compress(self._keys, is_read.tolist())),
            rows=self._finite(self._rows[is_read]),
            curves=list(compress(self._curves, is_read.tolist())),
            is_running=is_running[is_read],
            arithmetic=list(compress(self._arithmetic, is_read.tolist())),
            went_through=self._went_through[is_read],
        )

    def _finite(self, rows: Array) -> Array:
        """Rows with the largest finite number that was seen in place of an infinite one."""
        results = rows[:, len(self._encoding) :]
        constrained = range(results.shape[1])[1:][self._problem.constrained]
        for place in np.flatnonzero((abs(results) > _LARGEST).any(axis=0)).tolist():
            known = results[abs(results[:, place]) <= _LARGEST, place]
            low, high = known.min(initial=math.inf), known.max(initial=-math.inf)
            if place in constrained:  # its sign says whether it is met
                high = abs(known).max(initial=0.0) or 1.0
                low = -high
            is_known = low <= high
            results[:, place] = np.clip(results[:, place], low, high) if is_known else math.nan
        return rows

    def _read(self, trial: FrozenTrial, params: Params, *, row: int) -> None:
        code, accuracy = self._encoding.code(params), _accuracy(trial, self._problem)
        num_given = sum(axis.name in params for axis in self._encoding.axes)
        self._is_apart[row] = num_given > np.count_nonzero(~np.isnan(code))
        self._keys[row] = keys(code[None])[0]
        self._rows[row] = np.concatenate([code, [accuracy], _costs(trial, self._problem)])
        self._curves[row] = _curve(trial, self._problem)
        self._arithmetic[row] = trial.user_attrs.get("arithmetic")


def _accuracy(trial: FrozenTrial, problem: Problem) -> float:
    if trial.state != TrialState.COMPLETE or trial.values is None:
        return math.nan
    return -problem.signs[problem.uncertain] * trial.values[problem.uncertain]


def _costs(trial: FrozenTrial, problem: Problem) -> Array:
    """(q,) NaN where one is not known."""
    costs = np.full(len(problem.known), math.nan)
    known = list(trial.user_attrs.get("cost") or ())
    if trial.state == TrialState.COMPLETE and trial.values is not None:
        known = [v for place, v in enumerate(trial.values) if place != problem.uncertain]
    if len(known) == problem.num_costs:
        costs[: len(known)] = problem.cost_signs[: len(known)] * np.array(known, dtype=float)
    if problem.num_limited and trial.user_attrs.get("latency_ms") is not None:
        costs[problem.num_costs] = trial.user_attrs["latency_ms"]
    if problem.constraints and trial.state in WENT_THROUGH:
        found = trial.constraints
        costs[problem.constrained] = [found.get(name, math.nan) for name in problem.constraints]
    return costs


def _curve(trial: FrozenTrial, problem: Problem) -> Curve:
    sign = -problem.signs[problem.uncertain]
    points = trial.user_attrs.get("curve") or () if problem.has_curves else ()
    return Curve([(int(seed), int(epoch), sign * float(value)) for seed, epoch, value in points])


def as_proposed(params: Params, distributions: Mapping[str, BaseDistribution]) -> dict[str, float]:
    """Parameters as ``PROPOSED`` holds them, whatever the choices of a categorical one are."""
    return {name: distributions[name].to_internal_repr(value) for name, value in params.items()}


def _pending(trial: FrozenTrial, distributions: Mapping[str, BaseDistribution]) -> Params:
    """What a trial that has not ended has asked for, or will be given when it asks."""
    if trial.state != TrialState.RUNNING:
        return {}
    proposed = trial.system_attrs.get(PROPOSED) or {}
    given = {
        name: distributions[name].to_external_repr(value)
        for name, value in proposed.items()
        if name in distributions
    }
    return {**given, **trial.system_attrs.get(_FIXED, {}), **trial.params}


def _single_value(distribution: BaseDistribution) -> Any:
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[0]
    assert isinstance(distribution, (IntDistribution, FloatDistribution))
    return distribution.low
