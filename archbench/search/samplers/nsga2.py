"""NSGA-II: a population evolves towards the front.

Source: Deb et al. 2002 (doi:10.1109/4235.996017). Populations of 20 where Optuna takes 50: at the
few hundred trials of a study that came nearer to the front.
"""

from collections.abc import MutableMapping
from typing import Any

import optuna
from optuna.trial import FrozenTrial

from archbench.search.sampler import SamplerInput

ATTEMPTS = 4  # proposals that may be refused, as infeasible or seen
NEIGHBOURS = 40  # tries to change a refused one a little, before chance decides
_POPULATION = 20


def make(given: SamplerInput) -> optuna.samplers.BaseSampler:
    """The sampler for one proposal."""
    return _Nsga2(seed=given.seed, parents=given.memory)


class _Nsga2(optuna.samplers.NSGAIISampler):
    """Optuna's sampler with parents in the order of their numbers.

    Optuna gives them in one order when a generation begins and in another after that, so an
    interrupted search would go on with other proposals than an uninterrupted one.
    """

    def __init__(self, *, seed: int, parents: MutableMapping[Any, Any]) -> None:
        super().__init__(seed=seed, population_size=_POPULATION)
        self._parents = parents

    def get_parent_population(self, study: optuna.Study, generation: int) -> list[FrozenTrial]:
        for earlier in range(1, generation + 1):
            if earlier not in self._parents:
                parents = self.select_parent(study, earlier)
                self._parents[earlier] = sorted(parents, key=lambda trial: trial.number)
        return list(self._parents.get(generation, ()))
