"""Every choice by chance: what any other sampler must beat."""

import optuna

from archbench.search.sampler import SamplerInput

ATTEMPTS = 24  # proposals that may be refused, as infeasible or seen
NEIGHBOURS = 0  # chance alone decides


def make(given: SamplerInput) -> optuna.samplers.BaseSampler:
    """The sampler for one proposal."""
    return optuna.samplers.RandomSampler(seed=given.seed)
