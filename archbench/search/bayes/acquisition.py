"""Which candidate is evaluated next, given what became of the others."""

from collections.abc import MutableMapping, Sequence
from itertools import compress
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
_COUNTED = 16
_ROUNDS = 6
_FEWEST = 4
_SPREAD_OVER = 24
_LAST_RESORT = 5000
_BEYOND = 0.01  # of the span of a cost
_LATEST = 300  # trials that a cost is learnt from


class Acquisition:
    """The choice of one candidate from a source; the first ``num_start`` are spread over the costs.

    The memory keeps what can be computed again, between choices.
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
        self._seen = observations.keys
        facts, num_axes = self._remembered_facts(observations), len(source.encoding)
        is_whole = np.asarray(~np.isnan(facts).any(axis=1))
        self._facts, rows = facts[is_whole], observations.rows[is_whole]
        self._codes, self._accuracy = rows[:, :num_axes], rows[:, num_axes]
        self._curves = list(compress(observations.curves, is_whole.tolist()))
        self._is_running = observations.is_running[is_whole]
        self._costs = self._with_known(rows[:, num_axes + 1 :], self._facts)
        self._is_positive_fact = np.asarray((self._facts > 0).all(axis=0))
        self._is_positive_cost = np.asarray(~(self._costs <= 0).any(axis=0))
        self._is_positive_cost[problem.constrained] = False
        self._cost_surrogates: dict[int, Surrogate] = {}

    def best(self) -> Array | None:
        """(D,) the candidate that promises most; None when none is left."""
        for code in self._source.known:
            if keys(code[None])[0] not in self._seen:
                return np.asarray(code)
        values, weights = extrapolated(self._curves, self._accuracy)
        pool, facts = self._pool(self._parents(values))
        if not len(pool):
            return None
        if len(self._codes) < self._num_start or (~np.isnan(values)).sum() < _FEWEST:
            return self._first_feasible(pool, np.argsort(-self._spread(pool, facts)))
        promise = self._promise_of(values=values, weights=weights, pool=pool, facts=facts)
        return self._most_promising(pool, facts, promise=promise)

    def again(self) -> Array:
        """(D,) a candidate that was seen, for when no other is left; within known limits if any."""
        allowed = self._codes[self._is_within_known(self._facts)]
        if not len(allowed):
            allowed = random_codes(1, encoding=self._source.encoding, rng=self._rng)
        return np.asarray(allowed[self._rng.integers(len(allowed))])

    def _most_promising(self, pool: Array, facts: Array, *, promise: Any) -> Array | None:
        scores = promise(pool, facts)
        order = np.lexsort((self._rng.random(len(scores)), -scores))
        if self._source.is_exact:
            return np.asarray(pool[order[0]])
        for begin in range(0, _ROUNDS * _COUNTED, _COUNTED):
            codes = pool[order[begin : begin + _COUNTED]]
            exact = self._exact_facts(codes)
            is_feasible = ~np.isnan(exact).any(axis=1)
            if is_feasible.any():
                again = promise(codes[is_feasible], exact[is_feasible])
                return np.asarray(codes[is_feasible][int(np.argmax(again))])
        return None

    def _first_feasible(self, pool: Array, order: NDArray[np.intp]) -> Array | None:
        for row in order[: _ROUNDS * _COUNTED]:
            if self._source.is_exact or self._source.exact_facts(pool[row]) is not None:
                return np.asarray(pool[row])
        return None

    def _pool(self, parents: Array) -> tuple[Array, Array]:
        """Candidates that were not seen, each once, within known limits; and their facts."""
        count = _POOL if len(self._codes) <= _MANY_TRIALS else _POOL_OF_MANY_TRIALS
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
        is_allowed = ~np.isnan(facts).any(axis=1) & self._is_within_known(facts)
        return codes[is_allowed], facts[is_allowed]

    def _is_within_known(self, facts: Array) -> Mask:
        """(m,) whether the costs that facts (m, f) tell are within their limits."""
        is_within = np.ones(len(facts), dtype=bool)
        for sign, known, limit in zip(
            self._problem.cost_signs, self._problem.known, self._problem.limits, strict=True
        ):
            if known is not None:
                is_within &= ~(sign * facts[:, known] > limit)
        return is_within

    def _parents(self, values: Array) -> Array:
        """The front of what was observed and violates constraints least, or some of it."""
        costs = self._costs[:, : self._problem.num_costs]
        usable = ~np.isnan(values) & ~np.isnan(costs).any(axis=1)
        violation = np.where(usable, self._violation(), np.inf)
        usable &= violation <= violation.min(initial=np.inf)
        members = front_members(costs[usable], values[usable])
        return self._codes[usable][np.sort(members[:_PARENTS])]

    def _violation(self) -> Array:
        """(n,) by how much each trial misses its constraints in all, 0 where that is not known."""
        beyond = np.maximum(self._costs[:, self._problem.constrained], 0.0)
        result: Array = np.nan_to_num(beyond).sum(axis=1)
        return result

    def _spread(self, pool: Array, facts: Array) -> Array:
        """(m,) larger for candidates of costs that no trial has yet, unlike the trials."""
        noise = self._rng.random(len(pool))
        cost = _logs(facts, self._is_positive_fact).sum(axis=1)
        theirs = _logs(self._facts, self._is_positive_fact).sum(axis=1)
        strata = _strata(np.concatenate([cost, theirs]), among=cost, count=self._num_start)
        stratum = strata[: len(pool)]
        taken = np.bincount(strata[len(pool) :], minlength=self._num_start).astype(float)
        taken[np.bincount(stratum, minlength=self._num_start) == 0] = np.inf
        emptiest = self._rng.choice(np.flatnonzero(taken == taken.min()))
        rows = np.flatnonzero(stratum == emptiest)
        rows = rows[np.argsort(noise[rows])][:_SPREAD_OVER]
        score = noise.copy()
        score[rows] += 1.0
        if len(self._codes):
            differs = pool[rows][:, None, :] != self._codes[None, :, :]
            score[rows] += differs.sum(axis=2).min(axis=1)
        return score

    def _promise_of(self, *, values: Array, weights: Array, pool: Array, facts: Array) -> Any:
        """The function that scores codes and facts."""
        scaled = _logs(self._facts, self._is_positive_fact)
        codes, running = self._codes, self._is_running
        known = _logs(self._costs, self._is_positive_cost)
        self._learn_costs(known, scaled)
        costs, lacks = known.copy(), np.isnan(known).any(axis=1)
        likely = self._expected_costs(codes[lacks], self._facts[lacks])
        costs[lacks] = np.where(np.isnan(known[lacks]), likely, known[lacks])
        limits = _logs(np.array(self._problem.limits), self._is_positive_cost)
        objectives = slice(0, self._problem.num_costs)
        is_observed = ~np.isnan(values)
        trend = costs[is_observed, objectives]
        with np.errstate(invalid="ignore"):  # what misses a constraint is far from every front
            missed = self._violation()[is_observed] > 0
            rows = near_front(trend, np.where(missed, -np.inf, values[is_observed]))
        surrogate = Surrogate(
            self._source.encoding,
            codes=codes[is_observed],
            facts=scaled[is_observed],
            values=values[is_observed],
            weights=weights[is_observed],
            trend=trend,
            name="accuracy",
            memory=self._memory,
            rows=rows,
        )
        hoped = surrogate.assume(codes[running], scaled[running])
        is_done = ~np.isnan(self._accuracy)
        if rows is not None:  # what is far from the front has no part in it
            is_near = np.zeros(len(is_done), dtype=bool)
            is_near[np.flatnonzero(is_observed)[rows]] = True
            is_done &= is_near
        level = np.concatenate([surrogate.expected(codes[is_done], scaled[is_done]), hoped])
        front = np.concatenate([costs[is_done], costs[running]])
        is_allowed = (front <= limits).all(axis=1)
        needs_one = bool(self._problem.constraints) and not is_allowed.any()
        front, level = front[is_allowed][:, objectives], level[is_allowed]
        floor = float(min(values[is_observed].min(), level.min(initial=np.inf)))
        every = np.concatenate([self._expected_costs(pool, facts), costs])
        corner = np.minimum(_beyond(every[:, objectives]), limits[objectives])

        def promise(codes: Array, exact: Array) -> Array:
            scaled = _logs(exact, self._is_positive_fact)
            mean, deviation = surrogate.predicted(codes, scaled)
            theirs, spread = self._costs_of(codes, exact)
            probability = _probability_within(theirs, spread, limits)
            if needs_one:
                return probability
            gain = hypervolume_improvement(
                theirs[:, objectives],
                mean,
                deviation,
                front_costs=front,
                front_values=level,
                floor=floor,
                corner=corner,
            )
            return gain * probability

        return promise

    def _learn_costs(self, costs: Array, facts: Array) -> None:
        """A surrogate for each cost that is not known, of what the facts do not predict of it."""
        beyond = costs - self._foretold(self._facts)
        for place, known in enumerate(self._problem.known):
            rows = np.flatnonzero(~np.isnan(costs[:, place]))
            if known is None and len(rows):
                self._cost_surrogates[place] = Surrogate(
                    self._source.encoding,
                    codes=self._codes[rows],
                    facts=facts[rows],
                    values=beyond[rows, place],
                    name=f"cost {place}",
                    memory=self._memory,
                    rows=np.arange(len(rows))[-_LATEST:],
                )

    def _costs_of(self, codes: Array, facts: Array) -> tuple[Array, Array]:
        """(m, q) costs as hypervolume takes them, known or expected, and their deviations."""
        costs = self._told_costs(facts)
        spread = np.zeros_like(costs)
        for place, surrogate in self._cost_surrogates.items():
            scaled = _logs(facts, self._is_positive_fact)
            beyond, spread[:, place] = surrogate.predicted(codes, scaled)
            costs[:, place] += beyond
        return costs, spread

    def _expected_costs(self, codes: Array, facts: Array) -> Array:
        """(m, q) the costs of ``_costs_of`` alone, which take a fraction of its time."""
        costs = self._told_costs(facts)
        for place, surrogate in self._cost_surrogates.items():
            costs[:, place] += surrogate.expected(codes, _logs(facts, self._is_positive_fact))
        return costs

    def _told_costs(self, facts: Array) -> Array:
        """(m, q) costs that facts tell, or predict a part of."""
        costs = self._foretold(facts)
        known = _logs(self._with_known(np.full_like(costs, np.nan), facts), self._is_positive_cost)
        return np.where(np.isnan(known), costs, known)

    def _foretold(self, facts: Array) -> Array:
        """(m, q) what the facts predict of costs that are learnt, 0 where they predict nothing."""
        costs = np.full((len(facts), len(self._problem.known)), np.nan)
        for place, fact in self._problem.foretold.items():
            costs[:, place] = facts[:, fact]
        return np.nan_to_num(_logs(costs, self._is_positive_cost))

    def _with_known(self, costs: Array, facts: Array) -> Array:
        """(m, q) the costs, those that facts tell exactly filled in."""
        costs = costs.copy()
        for place, known in enumerate(self._problem.known):
            if known is not None:
                costs[:, place] = self._problem.cost_signs[place] * facts[:, known]
        return costs

    def _remembered_facts(self, observations: Observations) -> Array:
        """(n, f) each counted once for a trial that has ended."""
        numbers, none = observations.numbers, -np.inf  # facts are positive
        kept = self._memory.get("facts", np.zeros((0, self._source.num_facts)))
        missing = max(0, numbers.max(initial=-1) + 1 - len(kept))
        kept = np.concatenate([kept, np.full((missing, self._source.num_facts), none)])
        is_new = np.isneginf(kept[numbers]).any(axis=1)
        if is_new.any():
            codes = observations.rows[is_new, : len(self._source.encoding)]
            told = [observations.arithmetic[place] for place in np.flatnonzero(is_new)]
            kept[numbers[is_new]] = self._exact_facts(codes, arithmetic=told)
        facts = np.asarray(kept[numbers])
        kept[numbers[observations.is_running]] = none
        self._memory["facts"] = kept
        return facts

    def _exact_facts(
        self, codes: Array, *, arithmetic: Sequence[Sequence[float] | None] | None = None
    ) -> Array:
        """(m, f) facts, NaN for a candidate that is not feasible; some may be on record."""
        if self._source.is_exact:
            return self._source.facts(codes)
        none = np.full(self._source.num_facts, np.nan)
        told = arithmetic or [None] * len(codes)
        exact = [
            self._source.exact_facts(code, arithmetic=one)
            for code, one in zip(codes, told, strict=True)
        ]
        found = [none if facts is None else facts for facts in exact]
        return np.array(found).reshape(-1, self._source.num_facts)


def _logs(numbers: Array, is_positive: Mask) -> Array:
    """The logarithms of the columns that are positive, and the others as they are."""
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(np.maximum(numbers, np.finfo(float).tiny))
    return np.where(is_positive, logs, numbers)


def _strata(costs: Array, *, among: Array, count: int) -> NDArray[np.intp]:
    """(n,) from 0: which of so many strata each cost lies in.

    They are cut halfway between even costs and even numbers of candidates: few candidates are
    cheap, and as much hypervolume lies over them as over the many in the middle. Among the costs
    (n,) are those of the candidates (m,).
    """
    low, span = costs.min(), float(np.ptp(costs)) or 1.0
    by_cost = (costs - low) / span
    by_rank = np.searchsorted(np.sort(among), costs) / len(among)
    places = (0.5 * count * (by_cost + by_rank)).astype(np.intp)
    result: NDArray[np.intp] = np.minimum(places, count - 1)
    return result


def _beyond(costs: Array) -> Array:
    """(k,) a little more than the largest of each cost, so that what has it counts as well."""
    least, most = costs.min(axis=0), costs.max(axis=0)
    result: Array = most + np.where(most > least, _BEYOND * (most - least), 1.0)
    return result


def _probability_within(costs: Array, spread: Array, limits: Array) -> Array:
    """(m,) that every cost is within its limit."""
    with np.errstate(divide="ignore", invalid="ignore"):
        score = (limits - costs) / spread
    each = np.where(spread > 0, ndtr(score), (costs <= limits).astype(float))
    result: Array = np.where(np.isinf(limits), 1.0, each).prod(axis=1)
    return result
