"""Every choice by chance: what any other sampler must beat."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

import optuna

ATTEMPTS = 24  # proposals that may be refused, as infeasible or seen
NEIGHBOURS = 0  # chance alone decides


def make(
    *, seed: int, conditional: bool, memory: MutableMapping[Any, Any]
) -> optuna.samplers.BaseSampler:
    """The sampler for one proposal.

    Args:
        seed: Of this proposal.
        conditional: Not used.
        memory: Not used.
    """
    return optuna.samplers.RandomSampler(seed=seed)
