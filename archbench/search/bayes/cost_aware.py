"""A sampler for objectives of which all but one are known before a candidate is evaluated."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from archbench.errors import UsageError
from archbench.one_thread import one_thread
from archbench.search.bayes.acquisition import Acquisition
from archbench.search.bayes.candidates import CandidateSource, Inferred
from archbench.search.bayes.encoding import Encoding
from archbench.search.bayes.observations import PROPOSED, ObservationReader, Problem

_FEWEST_START, _MOST_START = 8, 20


class CostAwareSampler(BaseSampler):
    """Proposes what promises most new hypervolume, when costs are known before evaluation.

    One objective (accuracy) is uncertain and modelled; the others (parameters, MACs, latency) are
    computed by ``cost``, or modelled as well where it is not given. No candidate is proposed
    twice as long as others are left, also not by several workers at a time. Spaces may be
    conditional, and parameters categorical, whole numbers or real. A trial that was pruned is
    learnt from where its user attributes have ``curve`` (a list of seed, epoch, accuracy) or
    ``cost`` (a list, in the order of the objectives without the uncertain one).

    Args:
        cost: The known objectives of a candidate, in their order, from its parameters. It is
            called some hundred times a proposal.
        distributions: What the parameters are drawn from, so that the first proposals need not
            be left to chance; by default they are inferred from earlier trials.
        uncertain: Position of the objective that is not known beforehand; by default the first
            that is maximised.
        limits: Position of an objective to what it may be at most.
        num_start: Candidates spread over the costs before the model is asked; by default from 8
            to 20, more for more parameters.
        seed: Of all choices.

    >>> study = optuna.create_study(
    ...     directions=["maximize", "minimize"],
    ...     sampler=CostAwareSampler(cost=lambda params: [params["width"] ** 2], seed=0),
    ... )
    """

    def __init__(
        self,
        *,
        cost: Callable[[dict[str, Any]], Sequence[float]] | None = None,
        distributions: Mapping[str, BaseDistribution] | None = None,
        uncertain: int | None = None,
        limits: Mapping[int, float] | None = None,
        num_start: int | None = None,
        seed: int | None = None,
    ) -> None:
        self._cost = cost
        self._distributions = dict(distributions or {})
        self._uncertain = uncertain
        self._limits = dict(limits or {})
        self._num_start = num_start
        self._rng = np.random.default_rng(seed)
        self._independent = RandomSampler(seed=seed)
        self._memory: MutableMapping[Any, Any] = {}
        self._source: CandidateSource | None = None
        self._problem: Problem | None = None
        self._lock = threading.RLock()
        self._given: dict[int, dict[str, Any]] = {}
        self._looked: tuple[str, int, dict[str, BaseDistribution]] = ("", 0, {})

    @classmethod
    def over(
        cls,
        source: CandidateSource,
        *,
        problem: Problem,
        seed: int,
        memory: MutableMapping[Any, Any],
    ) -> CostAwareSampler:
        """A sampler over a source; its memory can be computed again from the trials."""
        sampler = cls(seed=seed)
        sampler._source, sampler._problem, sampler._memory = source, problem, memory
        return sampler

    def reseed_rng(self) -> None:
        """See Optuna."""
        self._rng = np.random.default_rng()
        self._independent.reseed_rng()

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Every parameter that a trial of the study has asked for so far."""
        if self._source is not None:
            return self._source.encoding.distributions
        if self._looked[0] != study.study_name:
            self._looked = (study.study_name, 0, dict(self._distributions))
        _, begin, found = self._looked
        trials = study.get_trials(deepcopy=False)
        for other in trials[begin:]:
            found.update(other.distributions)
        while begin < len(trials) and trials[begin].state.is_finished():
            begin += 1
        self._looked = (study.study_name, begin, found)
        return dict(sorted(found.items()))

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The proposal; nothing before the parameters are known, or when none is left."""
        if not search_space:
            return {}
        with self._lock, one_thread():
            params = self._proposal(study, search_space)
            self._given[trial.number] = params
        if params and self._source is None:  # for other processes; who has a source asks alone
            keep = study._storage.set_trial_system_attr  # noqa: SLF001
            keep(trial._trial_id, PROPOSED, json.dumps(params))  # noqa: SLF001
        return params

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """A parameter that no trial has asked for before, by chance."""
        return self._independent.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(
        self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        """See Optuna."""
        self._given.pop(trial.number, None)

    def _proposal(
        self, study: Study, search_space: Mapping[str, BaseDistribution]
    ) -> dict[str, Any]:
        encoding = self._encoding(search_space, name=study.study_name)
        if not len(encoding):
            return {}
        problem = self._problem or self._problem_of(study)
        if "reader" not in self._memory:
            self._memory["reader"] = ObservationReader(encoding, problem)
        trials, reader = study.get_trials(deepcopy=False), self._memory["reader"]
        observations, source = reader.observations(trials, given=self._given), self._source
        if source is None:
            seen = observations.rows[:, : len(encoding)]
            source = Inferred(encoding, seen=seen, cost=self._cost, num_costs=problem.num_costs)
        start = round(6 * math.sqrt(len(encoding)))
        choice = Acquisition(
            source,
            problem=problem,
            observations=observations,
            memory=self._memory,
            num_start=self._num_start or min(_MOST_START, max(_FEWEST_START, start)),
            rng=self._rng,
        )
        code = choice.best()
        return {} if code is None else encoding.each_params(code[None])[0]

    def _encoding(self, search_space: Mapping[str, BaseDistribution], *, name: str) -> Encoding:
        if self._source is not None:
            return self._source.encoding
        kept = self._memory.get("encoding")
        is_other = self._memory.get("study") != name
        if is_other or kept is None or kept.distributions != dict(search_space):
            self._memory.clear()
            self._memory["study"] = name
            kept = self._memory["encoding"] = Encoding(search_space)
        encoding: Encoding = kept
        return encoding

    def _problem_of(self, study: Study) -> Problem:
        directions = study.directions
        uncertain = self._uncertain
        if uncertain is None:
            maximised = [i for i, d in enumerate(directions) if d == StudyDirection.MAXIMIZE]
            if not maximised:
                raise UsageError(
                    "no objective is maximised, so it is not clear which one is uncertain",
                    place="CostAwareSampler",
                    help="name its position: CostAwareSampler(uncertain=0, ...)",
                )
            uncertain = maximised[0]
        others = [place for place in range(len(directions)) if place != uncertain]
        return Problem(
            uncertain=uncertain,
            signs=tuple(-1.0 if d == StudyDirection.MAXIMIZE else 1.0 for d in directions),
            known=tuple(None if self._cost is None else index for index in range(len(others))),
            limits=tuple(self._limits.get(place, math.inf) for place in others),
        )
