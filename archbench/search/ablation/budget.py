"""How many seeds and epochs fit into the time that somebody has?"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from archbench.errors import UsageError

WANTED_SEEDS = 3  # fewer leave an interval that is hardly ever narrow enough to say anything
_FEWEST_SEEDS = 2
_FEWEST_EPOCHS = 2


@dataclass(frozen=True, kw_only=True)
class Work:
    """What is to be trained.

    Attributes:
        forms: Networks that are trained.
        seeds: Trainings of each.
        epochs: Of each training.
        epoch_seconds: What an epoch of one training takes a worker, on average.
        workers: Trainings at a time.
        before_seconds: What is done before the first training.
    """

    forms: int
    seeds: int
    epochs: int
    epoch_seconds: float
    workers: int
    before_seconds: float = 0.0

    @property
    def seconds(self) -> float:
        """How long all of it takes; seeds are trained one after another, form by form."""
        rounds = math.ceil(self.forms * self.seeds / self.workers)
        return self.before_seconds + rounds * self.epochs * self.epoch_seconds


def fitted(work: Work, *, max_seconds: float | None) -> Work:
    """The work with as many seeds, then as many epochs, as fit; as it is without a limit.

    Seeds go first, down to three, then epochs down to two, then the third seed.

    Raises:
        UsageError: Not even two seeds of two epochs fit.
    """
    if max_seconds is None or work.seconds <= max_seconds:
        return work
    fewest = min(work.seeds, _FEWEST_SEEDS)
    few = min(work.seeds, WANTED_SEEDS)
    shortest = min(work.epochs, _FEWEST_EPOCHS)
    tries = [replace(work, seeds=seeds) for seeds in range(work.seeds - 1, few - 1, -1)]
    tries += [
        replace(work, seeds=few, epochs=epochs)
        for epochs in range(work.epochs - 1, shortest - 1, -1)
    ]
    tries += [
        replace(work, seeds=fewest, epochs=epochs)
        for epochs in range(work.epochs, shortest - 1, -1)
    ]
    for tried in tries:
        if tried.seconds <= max_seconds:
            return tried
    least = replace(work, seeds=fewest, epochs=shortest)
    raise UsageError(
        f"{max_seconds / 60:.3g} minutes are too few: {fewest} seeds of {shortest} epochs take "
        f"about {least.seconds / 60:.0f}",
        place="--max-minutes",
        help="give more time, fewer axes, a smaller --scale or --resolution",
    )
