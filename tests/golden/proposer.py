"""The one file of these tests that imports internal modules: what a search proposes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from optuna.trial import TrialState

from archbench import ArchSpec, SearchSpace
from archbench.search.sampler import load_sampler
from archbench.search.suggestion import Suggester

Choices = dict[str, int]


def proposals(
    space: SearchSpace,
    *,
    sampler: str,
    seed: int,
    predict: Callable[[ArchSpec], float] | None,
    evaluate: Callable[[int, Choices, ArchSpec], tuple[str, float, float]],
) -> Iterator[Choices]:
    """Axis name to index of each candidate; ``evaluate`` gives state, accuracy and latency."""
    directions = list(space.objectives.values())
    suggester: Any = Suggester(
        space, sampler=load_sampler(sampler), seed=seed, directions=directions, predict=predict
    )
    for number in range(space.size()):
        found = suggester.suggest(number)
        yield found.choices
        state, accuracy, latency = evaluate(number, found.choices, found.spec)
        known = {"curve": [[0, 3, accuracy]], "cost": [latency], "latency_ms": latency}
        values = [accuracy, latency] if state == "COMPLETE" else None
        suggester.tell(number, state=TrialState[state], values=values, known=known)
