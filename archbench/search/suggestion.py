"""Which candidate comes next: a sampler suggests, what is infeasible or known is turned down."""

import copy
import hashlib
import logging
import random
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from archbench.models import ArchSpec
from archbench.one_thread import one_thread
from archbench.search.bayes.parameter import options, suggest
from archbench.search.sampler import SamplerEntry, SamplerInput
from archbench.space import Axis, Choices, InfeasibleError, SearchSpace

BY_CHANCE = "archbench:by_chance"
"""Attribute of a drawn trial: the axes that the sampler left to chance, where there are any."""

_FALLBACK = re.compile(r"The parameter `(.+?)` in Trial#\d+ is sampled independently")
_UNIFORM_TRIES = 2000
_ENUMERABLE = 50_000
_FORGET_ABOVE = 200
_SAMPLED = 64


@dataclass(frozen=True, kw_only=True)
class Suggestion:
    """A candidate that has not been seen."""

    choices: Choices
    spec: ArchSpec
    drawn: FrozenTrial  # with what the sampler noted, for example a generation


@contextmanager
def _quiet() -> Iterator[None]:
    """Optuna without its notes that these samplers are experimental, which are of no use here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        yield


class _Fallbacks(logging.Handler):
    """Hears of the axes that a sampler of Optuna's leaves to chance, which it only logs."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.axes: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Takes note of the axis, where the record is about one."""
        if found := _FALLBACK.match(record.getMessage()):
            self.axes.append(found[1])

    @contextmanager
    def heard(self) -> Iterator[None]:
        """Hears them in place of Optuna's own handlers, which get all else that they would get.

        That is so at whatever verbosity: one at which Optuna logs errors alone hides fallbacks.
        """
        logger = logging.getLogger("optuna")
        others, level = list(logger.handlers), logger.level
        least = logger.getEffectiveLevel()

        def is_for_others(record: logging.LogRecord) -> bool:
            return record.levelno >= least and _FALLBACK.match(record.getMessage()) is None

        for other in others:
            other.addFilter(is_for_others)
        logger.setLevel(min(least, logging.WARNING))
        logger.addHandler(self)
        try:
            yield
        finally:
            logger.removeHandler(self)
            logger.setLevel(level)
            for other in others:
                other.removeFilter(is_for_others)


class Suggester:
    """Suggests candidates and learns from what became of them.

    The sampler sees a study in memory that holds accepted candidates only, and is made anew for
    every suggestion with a seed of its own, so that a study that was interrupted goes on with the
    suggestions that it would have had.

    Directions are ``max`` or ``min`` for each objective. The candidates ``first`` are suggested
    before any of the sampler's, as far as they are fresh. For ``predict`` see ``SamplerInput``; it
    is the same as long as the study lasts.
    """

    def __init__(
        self,
        space: SearchSpace,
        *,
        sampler: SamplerEntry,
        seed: int,
        directions: Sequence[str],
        first: Sequence[Choices] = (),
        predict: Callable[[ArchSpec], float | None] | None = None,
    ) -> None:
        self._space = space
        self._sampler = sampler
        self._seed = seed
        self._directions = [
            StudyDirection.MAXIMIZE if d == "max" else StudyDirection.MINIMIZE for d in directions
        ]
        self._is_conditional = _is_conditional(space)
        self._first = tuple(first)
        self._predict = predict
        self._seen: set[str] = set()
        self._left: list[Choices] | None = None
        self._accepted: dict[int, FrozenTrial] = {}
        self._lasting: dict[Any, Any] = {}
        self._start_mirror()

    @property
    def has_enumerated(self) -> bool:
        """Whether ``suggest`` gave None because every candidate has been tried, for certain."""
        return self._left is not None

    @_quiet()
    @one_thread()
    def suggest(self, number: int) -> Suggestion | None:
        """The candidate of a trial; None when none is left, or none can be found.

        The same told trials, number and seed give the same candidate.
        """
        self._mirror.sampler = self._sampler.make(
            SamplerInput(
                space=self._space,
                seed=_derived_seed(self._seed, number),
                study_seed=self._seed,
                conditional=self._is_conditional,
                memory=self._memory,
                lasting=self._lasting,
                predict=self._predict,
            )
        )
        for choices in self._first:
            if self._fresh_spec(choices) is not None:
                return self._suggest_this(number, choices)
        refused = []
        for _ in range(self._sampler.ATTEMPTS):
            trial, fallbacks = self._mirror.ask(), _Fallbacks()
            with fallbacks.heard():
                choices = self._walked(trial)
            if spec := self._fresh_spec(choices):
                return self._accept(number, trial, choices, spec, by_chance=fallbacks.axes)
            self._mirror.tell(trial, state=TrialState.FAIL)
            refused.append(choices)
        rng = random.Random(_derived_seed(self._seed, number, -1))
        if near := self._neighbour(refused, rng):
            return self._suggest_this(number, near)
        instead = self._chance(rng)
        if instead is None:
            return None
        return self._suggest_this(number, instead, by_chance=sorted(instead))

    def restore(self, trials: Iterable[tuple[FrozenTrial, str, Mapping[str, Any]]]) -> None:
        """Takes over trials of an earlier run, by number, with digests and what ``tell`` takes."""
        for trial, digest, known in trials:
            self._seen.add(digest)
            told = copy.copy(trial)
            told.user_attrs = {**trial.user_attrs, **known}
            self._accepted[trial.number] = told
        self._start_mirror()

    def tell(
        self,
        number: int,
        *,
        state: TrialState,
        values: Sequence[float] | None,
        known: Mapping[str, Any] | None = None,
    ) -> None:
        """Takes in how a suggested trial ended, and what else became known of it.

        That is ``curve``, seed, epoch and accuracy of each rung in the order taken, ``cost``, the
        other objectives in their order, ``latency_ms``, and ``arithmetic``, the costs that are
        counted, in the order of ``costs("arithmetic")``; each may be missing.
        """
        where = self._places[number]
        identity, storage = self._frozen(where)._trial_id, self._mirror._storage  # noqa: SLF001
        for key, value in (known or {}).items():
            storage.set_trial_user_attr(identity, key, value)
        self._mirror.tell(where, values, state=state)
        self._accepted[number] = self._frozen(where)
        if len(self._mirror.get_trials(deepcopy=False)) > 2 * len(self._accepted) + _FORGET_ABOVE:
            self._start_mirror()

    @_quiet()
    def _start_mirror(self) -> None:
        self._mirror = optuna.create_study(directions=self._directions)
        self._memory: dict[Any, Any] = {}
        self._places: dict[int, int] = {}
        for place, number in enumerate(sorted(self._accepted)):
            self._mirror.add_trial(self._accepted[number])
            self._places[number] = place

    def _walked(self, trial: optuna.trial.BaseTrial) -> Choices:
        return self._space.choose(lambda axis: suggest(trial, axis))

    def _fresh_spec(self, choices: Choices) -> ArchSpec | None:
        try:
            spec = self._space.decode(choices)
        except InfeasibleError:
            return None
        return spec if spec.digest not in self._seen else None

    def _accept(
        self,
        number: int,
        trial: optuna.Trial,
        choices: Choices,
        spec: ArchSpec,
        *,
        by_chance: Sequence[str] = (),
    ) -> Suggestion:
        if by_chance:
            note = self._mirror._storage.set_trial_system_attr  # noqa: SLF001
            note(trial._trial_id, BY_CHANCE, list(by_chance))  # noqa: SLF001
        drawn = self._frozen(trial.number)
        self._seen.add(spec.digest)
        self._places[number] = trial.number
        self._accepted[number] = drawn
        return Suggestion(choices=choices, spec=spec, drawn=drawn)

    def _suggest_this(
        self, number: int, choices: Choices, *, by_chance: Sequence[str] = ()
    ) -> Suggestion:
        self._mirror.enqueue_trial(_params(self._space, choices))
        trial = self._mirror.ask()
        assert self._walked(trial) == choices, "an enqueued candidate is taken as it is"
        spec = self._space.decode(choices)
        return self._accept(number, trial, choices, spec, by_chance=by_chance)

    def _neighbour(self, refused: Sequence[Choices], rng: random.Random) -> Choices | None:
        """A fresh candidate that differs in one or two axes from one the sampler wanted."""
        for attempt in range(self._sampler.NEIGHBOURS):
            start = rng.choice(refused)
            moved = rng.sample(sorted(start), k=min(len(start), 1 + attempt % 2))
            choices = self._space.choose(lambda axis: _moved(axis, start, moved, rng))  # noqa: B023
            if self._fresh_spec(choices) is not None:
                return choices
        return None

    def _chance(self, rng: random.Random) -> Choices | None:
        for _ in range(_UNIFORM_TRIES):
            choices = self._space.sample_feasible(rng, tries=_UNIFORM_TRIES)
            if choices is None:
                break
            if self._fresh_spec(choices) is not None:
                return choices
        if self._space.size() > _ENUMERABLE:
            return None
        every = self._space.enumerate() if self._left is None else self._left
        self._left = [choices for choices in every if self._fresh_spec(choices) is not None]
        return rng.choice(self._left) if self._left else None

    def _frozen(self, place: int) -> FrozenTrial:
        return self._mirror.get_trials(deepcopy=False)[place]


def encoded(space: SearchSpace, choices: Choices) -> FrozenTrial:
    """A candidate that no sampler proposed, as Optuna stores it."""
    trial = optuna.trial.FixedTrial(_params(space, choices))
    walked = space.choose(lambda axis: suggest(trial, axis))
    assert walked == choices, "a candidate is stored as it is"
    return optuna.trial.create_trial(
        state=TrialState.WAITING, params=trial.params, distributions=trial.distributions
    )


def _moved(axis: Axis, start: Choices, moved: Sequence[str], rng: random.Random) -> int:
    if axis.name in start and axis.name not in moved:
        return start[axis.name]
    others = [index for index in range(len(axis.values)) if index != start.get(axis.name)]
    return rng.choice(others or [0])


def _is_conditional(space: SearchSpace) -> bool:
    """Whether some axes are active only under some choices, as far as a few samples show."""
    rng = random.Random(0)
    return any(len(space.sample(rng)) < len(space.axes) for _ in range(_SAMPLED))


def _params(space: SearchSpace, choices: Choices) -> dict[str, Any]:
    varied = [axis for axis in space.axes if axis.name in choices and len(axis.values) > 1]
    return {axis.name: options(axis)[choices[axis.name]] for axis in varied}


def _derived_seed(*numbers: int) -> int:
    digest = hashlib.sha256(repr(numbers).encode()).digest()
    return int.from_bytes(digest[:4], "big")
