"""A sampler for objectives of which all but one are known before a candidate is evaluated."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from archbench.errors import UsageError
from archbench.one_thread import one_thread
from archbench.search.bayes.acquisition import Acquisition
from archbench.search.bayes.arguments import Arguments, UntoldError
from archbench.search.bayes.candidates import CandidateSource, Inferred, random_codes
from archbench.search.bayes.encoding import Encoding
from archbench.search.bayes.observations import (
    PROPOSED,
    WENT_THROUGH,
    AskedFor,
    ObservationReader,
    Observations,
    Problem,
    as_proposed,
)

_FEWEST_START, _MOST_START = 8, 20


class CostAwareSampler(BaseSampler):
    """Proposes what promises most new hypervolume, when costs are known before evaluation.

    One objective (accuracy) is uncertain and modelled; the others (parameters, MACs, latency) are
    computed by ``cost``, or modelled as well where it is not given. A study may have one objective
    or several, each minimised or maximised. No candidate is proposed twice as long as others are
    left, also not by several workers at a time. Spaces may be conditional, and parameters
    categorical, whole numbers or real. A trial that was pruned is learnt from where its user
    attributes have ``curve`` (a list of seed, epoch, accuracy) or ``cost`` (a list, in the order of
    the objectives without the uncertain one).

    Constraints that trials set (``trial.set_constraint``) are modelled, each by itself: a candidate
    counts by how probably it meets them all, and nothing else counts until one has met them. A
    study can be pickled with its sampler where ``cost`` can, which a lambda cannot.

    Args:
        cost: The known objectives of a candidate, in their order, from its parameters. It is
            called some hundred times a proposal, and for values that no trial has asked for.
        distributions: What the parameters are drawn from, so that the first proposals need not
            be left to chance; by default they are inferred from earlier trials.
        uncertain: Position of the objective that is not known beforehand; by default the first
            that is maximised, or else the first.
        limits: Position of another objective to the worst value that is allowed: the largest where
            it is minimised, the smallest where it is maximised.
        num_start: Candidates spread over the costs before the model is asked; by default from 8
            to 20, more for more parameters.
        seed: Of all choices.

    Raises:
        UsageError: An argument is not what it may be. What only a study can tell is checked before
            its next trial is evaluated, and what ``cost`` gives as soon as it can be asked.

    Examples:
        >>> study = optuna.create_study(
        ...     directions=["maximize", "minimize"],
        ...     sampler=CostAwareSampler(cost=lambda params: [params["width"] ** 2], seed=0),
        ... )
    """

    _memory: MutableMapping[Any, Any]
    _asked: tuple[tuple[Any, str], AskedFor] | None

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
        self._arguments = Arguments(
            cost=cost,
            distributions={} if distributions is None else distributions,
            uncertain=uncertain,
            limits={} if limits is None else limits,
            num_start=num_start,
            seed=seed,
        )
        self._rng = np.random.default_rng(seed)
        self._independent = RandomSampler(seed=seed)
        self._source: CandidateSource | None = None
        self._problem: Problem | None = None
        self._forget()

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

    def __getstate__(self) -> dict[str, Any]:
        kept = ("_arguments", "_rng", "_independent", "_source", "_problem")
        with self._lock:
            return {name: self.__dict__[name] for name in kept}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget()
        if self._arguments.seed is None:  # copies in several processes shall not choose alike
            self.reseed_rng()

    def reseed_rng(self) -> None:
        """See Optuna."""
        self._rng = np.random.default_rng()
        self._independent.reseed_rng()

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Ends a trial that has not begun where the arguments do not suit the study.

        Raises:
            UsageError: They do not.
        """
        try:
            with one_thread():
                self._check(study)
        except UsageError:
            end = study._storage.set_trial_state_values  # noqa: SLF001
            end(trial._trial_id, TrialState.FAIL)  # noqa: SLF001
            raise

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Every parameter with a choice that a trial of the study has asked for so far."""
        if self._source is not None:
            return self._source.encoding.distributions
        with self._lock:
            found = self._asked_for(study, _every_trial(study)).distributions
            return {name: one for name, one in sorted(found.items()) if not one.single()}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The proposal; nothing before the parameters are known, or when a source has none left."""
        if not search_space:
            return {}
        with self._lock, one_thread():
            if self._source is not None and self._problem is not None:
                return self._proposal_of_source(study, self._source, problem=self._problem)
            return self._proposal(study, trial, search_space)

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """A parameter that no trial has asked for before, by chance."""
        return self._independent.sample_independent(study, trial, param_name, param_distribution)

    def _proposal_of_source(
        self, study: Study, source: CandidateSource, *, problem: Problem
    ) -> dict[str, Any]:
        trials = _every_trial(study)
        observations = self._observations(trials, source.encoding, problem=problem)
        code = self._choice(source, problem=problem, observations=observations).best()
        return {} if code is None else source.encoding.each_params(code[None])[0]

    def _proposal(
        self, study: Study, trial: FrozenTrial, search_space: Mapping[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The proposal of a study that is the user's own; other processes can read it there."""
        trials = _every_trial(study)
        asked = self._asked_for(study, trials)
        constraints = sorted(asked.constraints)
        problem = self._arguments.problem(study.directions, constraints=constraints)
        encoding = self._encoding(study, search_space, problem=problem)
        if not len(encoding):
            return {}
        observations = self._observations(trials, encoding, problem=problem)
        names = {axis.name for axis in encoding.axes}
        rest = {name: value for name, value in asked.params.items() if name not in names}
        untold: list[dict[str, Any]] = []

        def cost(params: dict[str, Any]) -> list[float]:
            try:
                return self._arguments.costs({**rest, **params}, count=problem.num_costs)
            except UntoldError:
                untold.append(params)
                return [math.nan] * problem.num_costs

        source = Inferred(
            encoding,
            seen=observations.rows[observations.went_through, : len(encoding)],
            cost=None if self._arguments.cost is None else cost,
            num_costs=problem.num_costs,
        )
        choice = self._choice(source, problem=problem, observations=observations)
        untold.clear()  # of trials that have asked for a part only
        code = choice.best()
        if untold:  # a parameter seems to be missing that no trial has asked for yet
            params = untold[self._rng.integers(len(untold))]
        else:
            params = encoding.each_params((choice.again() if code is None else code)[None])[0]
        keep = study._storage.set_trial_system_attr  # noqa: SLF001
        keep(trial._trial_id, PROPOSED, as_proposed(params, search_space))  # noqa: SLF001
        return params

    def _observations(
        self, trials: Sequence[FrozenTrial], encoding: Encoding, *, problem: Problem
    ) -> Observations:
        if "reader" not in self._memory:
            self._memory["reader"] = ObservationReader(encoding, problem)
        reader: ObservationReader = self._memory["reader"]
        return reader.observations(trials)

    def _choice(
        self, source: CandidateSource, *, problem: Problem, observations: Observations
    ) -> Acquisition:
        start = round(6 * math.sqrt(len(source.encoding)))
        return Acquisition(
            source,
            problem=problem,
            observations=observations,
            memory=self._memory,
            num_start=self._arguments.num_start or min(_MOST_START, max(_FEWEST_START, start)),
            rng=self._rng,
        )

    def _encoding(
        self, study: Study, search_space: Mapping[str, BaseDistribution], *, problem: Problem
    ) -> Encoding:
        """The remembered one; what is remembered of another study or problem is forgotten."""
        about = (*_identity(study), dict(search_space), problem)
        if self._memory.get("about") != about:
            self._memory.clear()
            self._memory.update(about=about, encoding=Encoding(search_space))
        encoding: Encoding = self._memory["encoding"]
        return encoding

    def _asked_for(self, study: Study, trials: Sequence[FrozenTrial]) -> AskedFor:
        identity = _identity(study)
        if self._asked is None or self._asked[0] != identity:
            self._asked = identity, AskedFor(self._arguments.distributions)
        asked = self._asked[1]
        asked.read(trials)
        return asked

    def _check(self, study: Study) -> None:
        """Holds the arguments against the study, and the cost against its latest trial."""
        if self._source is not None:
            return
        problem = self._arguments.problem(study.directions)
        if self._arguments.cost is not None:
            params = self._params_to_ask_for(study)
            if params is not None:
                self._arguments.costs(params, count=problem.num_costs)

    def _params_to_ask_for(self, study: Study) -> dict[str, Any] | None:
        """Those of a trial, else of a candidate by chance; None where nothing is known of them."""
        for trial in reversed(_every_trial(study)):
            if trial.state in WENT_THROUGH:
                return trial.params
        if not self._arguments.distributions:
            return None
        encoding = Encoding(self._arguments.distributions)
        codes = random_codes(1, encoding=encoding, rng=np.random.default_rng(0))
        return {**AskedFor(self._arguments.distributions).params, **encoding.each_params(codes)[0]}

    def _forget(self) -> None:
        """Drops what can be had again from the trials of a study."""
        self._lock = threading.RLock()
        self._memory, self._asked = {}, None


def _identity(study: Study) -> tuple[Any, str]:
    """What tells a study from others; a name alone does not, as two storages may both have it."""
    return study._storage, study.study_name  # noqa: SLF001


def _every_trial(study: Study) -> list[FrozenTrial]:
    """The trials by number, also of the brackets that a pruner of Optuna's would hide."""
    return study._storage.get_all_trials(study._study_id, deepcopy=False)  # noqa: SLF001
