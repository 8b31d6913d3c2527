"""Tree-structured Parzen estimators over all axes at once.

Source: Watanabe 2023 (arXiv:2304.11127), sec. 3.4 for the multivariate kernel; Optuna's own
default treats the axes one by one and repeats itself three times as often.
"""

import optuna

from archbench.search.sampler import SamplerInput

ATTEMPTS = 4  # proposals that may be refused, as infeasible or seen
NEIGHBOURS = 40  # tries to change a refused one a little, before chance decides


def make(given: SamplerInput) -> optuna.samplers.BaseSampler:
    """The sampler for one proposal."""
    return optuna.samplers.TPESampler(
        multivariate=True, group=given.conditional, constant_liar=True, seed=given.seed
    )
