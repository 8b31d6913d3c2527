"""Whose next training would settle most of a front's doubt?"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from archbench.analysis.accuracy_model import Array, belief_of
from archbench.analysis.front_probability import DRAWS, contenders, near_front, on_front, truths
from archbench.analysis.rule import FrontRule
from archbench.study.trial import TrialRecord, final_accuracies

LEAST_GAIN = 0.01
"""Entropy in nats, summed over all candidates, below which a training is not worth its time: less
than a probability of .95 that becomes .955."""

_PARTS = 5  # of a candidate's draws, by its accuracy


def settled_by_training(
    trials: Sequence[TrialRecord], *, rule: FrontRule, draws: int = DRAWS, seed: int = 0
) -> dict[int, float]:
    """Candidate to how much doubt one more training of it is expected to settle, in nats.

    The doubt is the entropy of who is on the front, summed over the candidates. How much of it
    would go if the candidate's true accuracy were known is read from the draws; a training shows
    1 / (n + 1) of the variance that n trainings have left.

    Args:
        trials: Of one study.
        rule: What may stand on its front.
        draws: Of the truth.
        seed: Of the draws.
    """
    among = contenders(trials, rule=rule)
    if not among or "proxy_accuracy" not in rule.objectives:
        return {}
    belief = belief_of(trials, rng=np.random.default_rng(seed))
    near = near_front(among, rule=rule, moments=belief.moments())
    found = truths(near, rule=rule, belief=belief, draws=draws, seed=seed)
    flags = on_front(found).astype(np.float64)
    accuracies = found.values[:, :, list(rule.objectives).index("proxy_accuracy")]
    before = _entropy(flags)
    gains = {}
    for place, record in enumerate(near):
        after = _entropy_known(flags, accuracies[:, place])
        count = len(final_accuracies(record))
        gains[record.number] = max(0.0, before - after) / (count + 1)
    return gains


def next_training(
    gains: dict[int, float], *, seconds: dict[int, float], left: float, busy: Collection[int]
) -> int | None:
    """The candidate that settles most in its time; None where none is worth it or fits.

    Args:
        gains: Candidate to the doubt that a training settles.
        seconds: Candidate to what a training takes.
        left: Seconds that may still be spent.
        busy: Candidates that are being trained.
    """
    worth = [
        number
        for number, gain in gains.items()
        if number not in busy and gain >= LEAST_GAIN and seconds[number] <= left
    ]
    return max(worth, key=lambda number: (gains[number] / seconds[number], -number), default=None)


def _entropy_known(flags: Array, accuracy: Array) -> float:
    """What is left of the doubt on average once a candidate's accuracy is known."""
    parts = np.array_split(np.argsort(accuracy, kind="stable"), _PARTS)
    return float(np.mean([_entropy(flags[rows]) for rows in parts]))


def _entropy(flags: Array) -> float:
    """Summed over the columns; few rows give too little, by half a row each (Miller 1955)."""
    chances = flags.mean(axis=0)
    inside = chances[(chances > 0) & (chances < 1)]
    bare = -(inside * np.log(inside) + (1 - inside) * np.log(1 - inside)).sum()
    return float(bare + len(inside) / (2 * len(flags)))
