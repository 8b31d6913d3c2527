"""Trains on the better part at each rung, by fronts: a non-dominated sort on accuracy and cost.

The rule of MO-ASHA (Schmucker et al. 2021, arXiv:2106.12639, sec. 3), in the variant that stops:
a trial is judged when it comes to a rung, among those that have been there by then, and one that
was stopped is not taken up again. The part that goes on is that of successive halving for any
rungs: as many epochs are spent before a rung as between it and the next, so half goes on from 4
epochs to 8. Within the front that the part cuts through, points that lie far from each other go
before others (the epsilon-net there).
"""

import math
from collections.abc import Sequence

import numpy as np

from archbench.analysis.front import Direction, pareto_front
from archbench.search.pruning import Situation
from archbench.study.trial import RungVerdict

ASKS = True
Point = tuple[float, ...]


def judge(situation: Situation) -> RungVerdict:
    """Stops what is not in the better part of those that have come to the rung so far."""
    here = (situation.seed, situation.epoch)
    there = [other for other in situation.others if here in other.curve]
    points = [(course.curve[here], *course.costs) for course in (*there, situation.trial)]
    share = share_to_go_on(situation)
    places = math.ceil(share * len(points))
    place = order(points).index(len(points) - 1) + 1
    return RungVerdict(
        seed=situation.seed,
        epoch=situation.epoch,
        stops=place > places,
        reason=(
            f"place {place} of {len(points)} at this rung by accuracy and cost, of which "
            f"{places} go on"
        ),
    )


def share_to_go_on(situation: Situation) -> float:
    """Which share of a rung's trials goes on to the next one."""
    rungs, last = situation.rungs, situation.rungs[-1]
    trained = situation.seed * last + situation.epoch
    following = rungs[rungs.index(situation.epoch) + 1] if situation.epoch < last else rungs[0]
    more = following - (situation.epoch if situation.epoch < last else 0)
    return trained / (trained + more)


def order(points: Sequence[Point]) -> list[int]:
    """Indices from the first to go on to the last: front after front, each spread out first.

    A point is an accuracy, then costs above 0.
    """
    ways: list[Direction] = ["max", *["min"] * (len(points[0]) - 1)]  # type: ignore[list-item]
    ordered: list[int] = []
    left = list(range(len(points)))
    while left:
        front = [left[index] for index in pareto_front([points[index] for index in left], ways)]
        ordered += _spread(front, points=points)
        left = [index for index in left if index not in set(front)]
    return ordered


def _spread(front: Sequence[int], *, points: Sequence[Point]) -> list[int]:
    """The most accurate first, then always the one farthest from all before it."""
    unit = np.array([[points[i][0], *np.log(points[i][1:])] for i in front])
    width = np.ptp(unit, axis=0)
    unit = (unit - unit.min(axis=0)) / np.where(width > 0, width, 1.0)
    chosen = [int(np.argmax(unit[:, 0]))]
    distance = np.full(len(front), np.inf)
    while len(chosen) < len(front):
        distance = np.minimum(distance, np.linalg.norm(unit - unit[chosen[-1]], axis=1))
        distance[chosen] = -1.0
        chosen.append(int(np.argmax(distance)))
    return [front[index] for index in chosen]
