"""What an entry of ``archbench/search/samplers`` is given to make a sampler of Optuna's from."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import optuna

from archbench.space import SearchSpace

if TYPE_CHECKING:
    from archbench.models import ArchSpec


@dataclass(frozen=True, kw_only=True)
class Setting:
    """For one proposal of a study.

    Attributes:
        space: What is searched.
        seed: Of this proposal.
        study_seed: Of the whole study.
        conditional: Whether some axes are active only under some choices.
        memory: Kept between proposals, and emptied when the study in memory is made anew.
        lasting: Kept between proposals as long as the process lives.
        predict: The latency of a candidate in ms, or None where it cannot be told; None where no
            candidate's can be.
    """

    space: SearchSpace
    seed: int
    study_seed: int
    conditional: bool
    memory: MutableMapping[Any, Any]
    lasting: MutableMapping[Any, Any]
    predict: Callable[[ArchSpec], float | None] | None = None


class SamplerEntry(Protocol):
    """A file of ``archbench/search/samplers``, or what stands for one."""

    ATTEMPTS: int
    """Proposals that may be refused, as infeasible or seen."""

    NEIGHBOURS: int
    """Tries to change a refused one a little, before chance decides."""

    def make(self, setting: Setting) -> optuna.samplers.BaseSampler:
        """The sampler for one proposal."""
