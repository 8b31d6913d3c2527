"""Every choice by chance: what any other sampler must beat."""

from __future__ import annotations

import optuna

from archbench.search.setting import Setting

ATTEMPTS = 24  # proposals that may be refused, as infeasible or seen
NEIGHBOURS = 0  # chance alone decides


def make(setting: Setting) -> optuna.samplers.BaseSampler:
    """The sampler for one proposal."""
    return optuna.samplers.RandomSampler(seed=setting.seed)
