"""Which candidate is evaluated next, given what became of the others."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from archbench.search.bayes.candidates import CandidateSource, random_codes
from archbench.search.bayes.encoding import keys
from archbench.search.bayes.improvement import front_members, hypervolume_improvement
from archbench.search.bayes.observations import Observations, Problem
from archbench.search.bayes.surrogate import Surrogate, extrapolated, near_front

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

_POOL = 900
_POOL_OF_MANY_TRIALS = 600
_MANY_TRIALS = 400
_POOL_OF_SEVERAL_COSTS = 400
_PARENTS = 60
_SETTLED = 16
_ROUNDS = 6
_FEWEST = 4
_SPREAD_OVER = 24
_LAST_RESORT = 5000
_BEYOND = 0.01  # of the span of a cost


class Acquisition:
    """The choice of one candidate.

    Args:
        source: Where candidates come from.
        problem: What the objectives are.
        observations: What is known.
        memory: Keeps what can be computed again, between choices.
        num_start: Candidates that are spread over the costs first.
        rng: Of all chance.
    """

    def __init__(
        self,
        source: CandidateSource,
        *,
        problem: Problem,
        observations: Observations,
        memory: MutableMapping[Any, Any],
        num_start: int,
        rng: np.random.Generator,
    ) -> None:
        self._source = source
        self._problem = problem
        self._memory = memory
        self._num_start = num_start
        self._rng = rng
        self._seen = set(observations.keys)
        facts = self._remembered_facts(observations)
        is_whole = np.logical_not(np.isnan(facts).any(axis=1))
        self._observations, self._facts = observations[is_whole], facts[is_whole]
        self._is_positive = (self._facts > 0).all(axis=0)

    def best(self) -> Array | None:
        """(D,) the candidate that promises most; None when none is left."""
        for code in self._source.known:
            if keys(code[None])[0] not in self._seen:
                return np.asarray(code)
        values, weights = extrapolated(self._observations.curves, self._observations.accuracy)
        is_observed = ~np.isnan(values)
        parents = self._parents(values)
        pool, facts = self._pool(parents)
        if not len(pool):
            return None
        if len(self._observations.codes) < self._num_start or is_observed.sum() < _FEWEST:
            return self._first_settled(pool, np.argsort(-self._spread(pool, facts)))
        return self._most_promising(pool, facts, values=values, weights=weights)

    def _most_promising(
        self, pool: Array, facts: Array, *, values: Array, weights: Array
    ) -> Array | None:
        promise = self._promise_of(values=values, weights=weights, pool=pool, facts=facts)
        scores = promise(pool, facts)
        order = np.lexsort((self._rng.random(len(scores)), -scores))
        if self._source.is_exact:
            return np.asarray(pool[order[0]])
        for begin in range(0, _ROUNDS * _SETTLED, _SETTLED):
            settled = [
                (pool[row], exact)
                for row in order[begin : begin + _SETTLED]
                if (exact := self._source.settle(pool[row])) is not None
            ]
            if settled:
                codes = np.array([code for code, _ in settled])
                again = promise(codes, np.array([exact for _, exact in settled]))
                return np.asarray(codes[int(np.argmax(again))])
        return None

    def _first_settled(self, pool: Array, order: NDArray[np.intp]) -> Array | None:
        for row in order[: _ROUNDS * _SETTLED]:
            if self._source.is_exact or self._source.settle(pool[row]) is not None:
                return np.asarray(pool[row])
        return None

    def _pool(self, parents: Array) -> tuple[Array, Array]:
        """Candidates that were not seen, each once, within known limits; and their facts."""
        count = _POOL if len(self._observations.codes) <= _MANY_TRIALS else _POOL_OF_MANY_TRIALS
        if self._problem.num_costs > 1:
            count = _POOL_OF_SEVERAL_COSTS
        found = self._unseen(self._source.pool(parents, count, rng=self._rng))
        if not len(found[0]):
            chance = random_codes(_LAST_RESORT, encoding=self._source.encoding, rng=self._rng)
            found = self._unseen(chance)
        return found

    def _unseen(self, codes: Array) -> tuple[Array, Array]:
        fresh: dict[bytes, int] = {}
        for row, key in enumerate(keys(codes)):
            if key not in self._seen:
                fresh.setdefault(key, row)
        codes = codes[list(fresh.values())]
        facts = self._source.facts(codes)
        is_allowed = ~np.isnan(facts).any(axis=1)
        for sign, known, limit in zip(
            self._problem.cost_signs, self._problem.known, self._problem.limits, strict=True
        ):
            if known is not None:
                is_allowed &= ~(sign * facts[:, known] > limit)
        return codes[is_allowed], facts[is_allowed]

    def _parents(self, values: Array) -> Array:
        """The front of what was observed, or some of it."""
        costs = self._all_costs(self._observations.costs, self._facts)[:, : self._problem.num_costs]
        usable = ~np.isnan(values) & ~np.isnan(costs).any(axis=1)
        codes = self._observations.codes[usable]
        members = front_members(costs[usable], values[usable])
        return codes[np.sort(members[:_PARENTS])]

    def _spread(self, pool: Array, facts: Array) -> Array:
        """(m,) larger for candidates of costs that no trial has yet, unlike the trials."""
        noise = self._rng.random(len(pool))
        cost = self._scaled(facts).sum(axis=1)
        theirs = self._scaled(self._facts).sum(axis=1)
        strata = _strata(np.concatenate([cost, theirs]), among=cost, count=self._num_start)
        stratum = strata[: len(pool)]
        taken = np.bincount(strata[len(pool) :], minlength=self._num_start).astype(float)
        taken[np.bincount(stratum, minlength=self._num_start) == 0] = np.inf
        emptiest = self._rng.choice(np.flatnonzero(taken == taken.min()))
        rows = np.flatnonzero(stratum == emptiest)
        rows = rows[np.argsort(noise[rows])][:_SPREAD_OVER]
        score = noise.copy()
        score[rows] += 1.0
        if len(self._observations.codes) and len(rows):
            differs = pool[rows][:, None, :] != self._observations.codes[None, :, :]
            score[rows] += differs.sum(axis=2).min(axis=1)
        return score

    def _promise_of(self, *, values: Array, weights: Array, pool: Array, facts: Array) -> Any:
        """The function that scores codes and facts."""
        observations, scaled = self._observations, self._scaled(self._facts)
        running = observations.is_running
        costs = _Costs(self, observations=observations, facts=scaled, positive=self._all_positive())
        told_costs, _ = costs.of(observations.codes, self._facts)
        told_costs = np.where(np.isnan(costs.told), told_costs, costs.told)
        objectives = slice(0, self._problem.num_costs)
        is_observed = ~np.isnan(values)
        trend = told_costs[is_observed, objectives]
        rows = near_front(observations.codes[is_observed], trend, values[is_observed])
        surrogate = Surrogate(
            self._source.encoding,
            codes=observations.codes[is_observed],
            facts=scaled[is_observed],
            values=values[is_observed],
            weights=weights[is_observed],
            trend=trend,
            name="accuracy",
            memory=self._memory,
            rows=rows,
        )
        hoped = surrogate.believe(observations.codes[running], scaled[running])
        is_done = ~np.isnan(observations.accuracy)
        if rows is not None:  # what is far from the front has no part in it
            is_near = np.zeros(len(is_done), dtype=bool)
            is_near[np.flatnonzero(is_observed)[rows]] = True
            is_done &= is_near
        level = np.concatenate(
            [surrogate.expected(observations.codes[is_done], scaled[is_done]), hoped]
        )
        front = np.concatenate([told_costs[is_done], told_costs[running]])
        limits = costs.limits
        is_allowed = (front <= limits).all(axis=1)
        front, level = front[is_allowed][:, objectives], level[is_allowed]
        floor = float(min(values[is_observed].min(), level.min(initial=np.inf)))
        pool_costs, _ = costs.of(pool, facts)
        corner = np.minimum(
            _beyond(np.concatenate([pool_costs, told_costs])[:, objectives]), limits[objectives]
        )

        def promise(codes: Array, exact: Array) -> Array:
            mean, deviation = surrogate.predicted(codes, self._scaled(exact))
            theirs, spread = costs.of(codes, exact)
            gain = hypervolume_improvement(
                theirs[:, objectives],
                mean,
                deviation,
                front_costs=front,
                front_values=level,
                floor=floor,
                corner=corner,
            )
            return gain * _probability_within(theirs, spread, limits)

        return promise

    def _all_costs(self, costs: Array, facts: Array) -> Array:
        costs = costs.copy()
        for place, known in enumerate(self._problem.known):
            if known is not None:
                costs[:, place] = self._problem.cost_signs[place] * facts[:, known]
        return costs

    def _scaled(self, facts: Array) -> Array:
        """Facts on a log scale where they are positive."""
        with np.errstate(divide="ignore", invalid="ignore"):
            logs = np.log(np.maximum(facts, np.finfo(float).tiny))
        return np.where(self._is_positive, logs, facts)

    def _all_positive(self) -> Mask:
        """(q,) whether each cost is seen on a log scale."""
        known = self._all_costs(self._observations.costs, self._facts)
        return np.logical_not((known <= 0).any(axis=0))

    def _remembered_facts(self, observations: Observations) -> Array:
        """(n, f) each counted once for a trial that has ended."""
        width = self._source.num_facts
        kept, is_kept = self._memory.get("facts", (np.zeros((0, width)), np.zeros(0, dtype=bool)))
        missing = observations.numbers.max(initial=-1) + 1 - len(kept)
        if missing > 0:
            kept = np.concatenate([kept, np.zeros((missing, width))])
            is_kept = np.concatenate([is_kept, np.zeros(missing, dtype=bool)])
        is_new = ~is_kept[observations.numbers]
        if is_new.any():
            kept[observations.numbers[is_new]] = self._exact_facts(observations.codes[is_new])
            is_kept[observations.numbers] = ~observations.is_running
        self._memory["facts"] = kept, is_kept
        return np.asarray(kept[observations.numbers])

    def _exact_facts(self, codes: Array) -> Array:
        """(m, f) facts, NaN for a candidate that is not feasible."""
        if self._source.is_exact:
            return self._source.facts(codes)
        none = np.full(self._source.num_facts, np.nan)
        settled = [self._source.settle(code) for code in codes]
        found = np.array([none if facts is None else facts for facts in settled])
        return found.reshape(len(codes), -1)


class _Costs:
    """The costs of candidates on the scale on which hypervolume is taken.

    Args:
        choice: Whose source, problem and memory.
        observations: What is known.
        facts: (n, f) scaled, of what was observations.
        positive: (q,) whether each cost is taken on a log scale.
    """

    def __init__(
        self, choice: Acquisition, *, observations: Observations, facts: Array, positive: Mask
    ) -> None:
        self._choice = choice
        problem = choice._problem  # noqa: SLF001
        self._positive = positive
        self.told = self._scaled(choice._all_costs(observations.costs, choice._facts))  # noqa: SLF001
        self.limits = self._scaled(np.array(problem.limits)[None])[0]
        foretold = self._foretold(choice._facts)  # noqa: SLF001
        self._surrogates: dict[int, Surrogate] = {}
        for place, known in enumerate(problem.known):
            is_told = ~np.isnan(self.told[:, place])
            if known is None and is_told.any():
                self._surrogates[place] = Surrogate(
                    choice._source.encoding,  # noqa: SLF001
                    codes=observations.codes[is_told],
                    facts=facts[is_told],
                    values=(self.told - foretold)[is_told, place],
                    weights=np.ones(int(is_told.sum())),
                    name=f"cost {place}",
                    memory=choice._memory,  # noqa: SLF001
                    rows=_latest(int(is_told.sum())),
                )

    def of(self, codes: Array, facts: Array) -> tuple[Array, Array]:
        """(m, q) costs, known or expected, and (m, q) their standard deviations."""
        costs = self._foretold(facts)
        blank = np.full_like(costs, np.nan)
        known = self._scaled(self._choice._all_costs(blank, facts))  # noqa: SLF001
        costs = np.where(np.isnan(known), costs, known)
        spread = np.zeros_like(costs)
        for place, surrogate in self._surrogates.items():
            scaled = self._choice._scaled(facts)  # noqa: SLF001
            beyond, spread[:, place] = surrogate.predicted(codes, scaled)
            costs[:, place] += beyond
        return costs, spread

    def _foretold(self, facts: Array) -> Array:
        """(m, q) what the facts predict of costs that are learnt, 0 where they predict nothing."""
        problem = self._choice._problem  # noqa: SLF001
        costs = np.full((len(facts), len(problem.known)), np.nan)
        for place, fact in problem.foretold.items():
            costs[:, place] = facts[:, fact]
        return np.nan_to_num(self._scaled(costs))

    def _scaled(self, costs: Array) -> Array:
        with np.errstate(divide="ignore", invalid="ignore"):
            logs = np.log(np.maximum(costs, np.finfo(float).tiny))
        return np.where(self._positive & ~np.isnan(costs), logs, costs)


def _strata(costs: Array, *, among: Array, count: int) -> NDArray[np.intp]:
    """(n,) from 0: which of so many strata each cost lies in.

    They are cut halfway between even costs and even numbers of candidates: few candidates are
    cheap, and as much hypervolume lies over them as over the many in the middle.

    Args:
        costs: (n,), those of the candidates included.
        among: (m,) of the candidates.
        count: Number of strata.
    """
    low, span = costs.min(), float(np.ptp(costs)) or 1.0
    by_cost = (costs - low) / span
    by_rank = np.searchsorted(np.sort(among), costs) / len(among)
    places = (0.5 * count * (by_cost + by_rank)).astype(np.intp)
    result: NDArray[np.intp] = np.minimum(places, count - 1)
    return result


def _beyond(costs: Array) -> Array:
    """(k,) a little more than the largest of each cost, so that what has it counts as well."""
    if not len(costs):
        return np.full(costs.shape[1], -np.inf)
    least, most = costs.min(axis=0), costs.max(axis=0)
    result: Array = most + np.where(most > least, _BEYOND * (most - least), 1.0)
    return result


def _latest(count: int) -> NDArray[np.intp] | None:
    most = 300
    return None if count <= most else np.arange(count - most, count)


def _probability_within(costs: Array, spread: Array, limits: Array) -> Array:
    """(m,) that every cost is within its limit."""
    with np.errstate(divide="ignore", invalid="ignore"):
        score = (limits - costs) / spread
    each = np.where(spread > 0, ndtr(score), (costs <= limits).astype(float))
    result: Array = np.where(np.isinf(limits), 1.0, each).prod(axis=1)
    return result
