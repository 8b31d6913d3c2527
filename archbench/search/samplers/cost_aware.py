"""A Gaussian process of accuracy alone, and exact costs: most new hypervolume, none twice.

MACs and parameters are arithmetic. Latency is told by the block table where there is one, and how
far that is off, or else the latency itself, is learnt from what was measured; a candidate counts by
how probably it is within its limit.
"""

import math

import optuna

from archbench.search.bayes.cost_aware import CostAwareSampler
from archbench.search.bayes.observations import Problem
from archbench.search.bayes.space_source import SpaceSource
from archbench.search.sampler import SamplerInput
from archbench.space import SearchSpace
from archbench.study import objective

ATTEMPTS = 3  # proposals that may be refused, as infeasible or seen
NEIGHBOURS = 40  # tries to change a refused one a little, before chance decides

_ACCURACY, _LATENCY = "proxy_accuracy", "latency_ms"


def make(given: SamplerInput) -> optuna.samplers.BaseSampler:
    """The sampler for one proposal."""
    lasting = given.lasting
    if "source" not in lasting:
        lasting["source"] = SpaceSource(given.space, seed=given.study_seed, predict=given.predict)
        lasting["problem"] = problem(given.space, is_foretold=given.predict is not None)
    return CostAwareSampler.over(
        lasting["source"], problem=lasting["problem"], seed=given.seed, memory=given.memory
    )


def problem(space: SearchSpace, *, is_foretold: bool) -> Problem:
    """What the objectives and limits of a space are, where a fact may predict the latency."""
    names = list(space.objectives)
    learnt = [name for name in (_ACCURACY, _LATENCY) if name in names] or names
    others = [name for name in names if name != learnt[0]]
    limited = [_LATENCY] if _LATENCY in space.limits and _LATENCY not in names else []
    costs, facts = [*others, *limited], objective.costs("arithmetic")
    return Problem(
        uncertain=names.index(learnt[0]),
        signs=tuple(-1.0 if way == "max" else 1.0 for way in space.objectives.values()),
        known=tuple(facts.index(n) if n in facts else None for n in costs),
        limits=tuple(space.limits.get(name, math.inf) for name in costs),
        num_limited=len(limited),
        has_curves=learnt[0] == _ACCURACY,
        foretold={costs.index(_LATENCY): len(facts)} if is_foretold and _LATENCY in costs else {},
    )
