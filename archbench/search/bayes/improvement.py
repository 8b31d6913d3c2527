"""How much hypervolume a candidate of known cost may add to a front.

Accuracy is better when larger, each of k costs when smaller. At every accuracy u a candidate of
known cost dominates a box of costs; what counts is the part of it that no point better than u
dominates already. That part changes only at the accuracies of the front, so the expected
hypervolume improvement is a sum over them of that volume times the difference of two expected
improvements: exact for any number of costs.

m candidates, n points, k costs.
"""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from archbench.analysis.front import nondominated

Array = NDArray[np.float64]


def _expected_improvement(mean: Array, deviation: Array, level: float) -> Array:
    """(m,) expected part of a normal value above a level."""
    score = (mean - level) / deviation
    density = np.exp(-0.5 * score**2) / np.sqrt(2 * np.pi)
    result: Array = deviation * (score * ndtr(score) + density)
    return result


def front_members(costs: Array, values: Array) -> NDArray[np.intp]:
    """The points that no other beats, best value first; of equal points the first."""
    if costs.shape[1] == 1:
        order = np.lexsort((-values, costs[:, 0]))
        best = np.maximum.accumulate(np.concatenate([[-np.inf], values[order]]))
        return order[best[1:] > best[:-1]][::-1]
    points = np.column_stack([costs, -values])
    unbeaten = np.flatnonzero(nondominated(points))
    by_value = np.roll(points[unbeaten], 1, axis=1)
    _, first = np.unique(by_value, axis=0, return_index=True)
    return unbeaten[first]


def hypervolume_improvement(
    costs: Array,
    mean: Array,
    deviation: Array,
    *,
    front_costs: Array,
    front_values: Array,
    floor: float,
    corner: Array,
) -> Array:
    """(m,) expected hypervolume improvement of each candidate alone, over the points of a front.

    Of candidates the costs (m, k) are known, k may be 0; their accuracy has a mean and a deviation
    above 0, (m,). Nothing counts below the accuracy ``floor``, and from the costs ``corner`` (k,).
    """
    above = front_values > floor
    points, values = front_costs[above], front_values[above]
    members = front_members(points, values)[::-1]
    points, values = points[members], values[members]
    levels = np.concatenate([[floor], np.unique(values)])
    gains = [_expected_improvement(mean, deviation, float(level)) for level in levels]
    gains.append(np.zeros_like(mean))
    total = np.zeros_like(mean)
    for index, level in enumerate(levels):
        volume = _free_volume(costs, points[values > level], corner=corner)
        total += volume * (gains[index] - gains[index + 1])
    return total


def _free_volume(costs: Array, points: Array, *, corner: Array) -> Array:
    """(m,) volume between each candidate's costs and the corner (k,) that no point dominates."""
    k = costs.shape[1]
    if k == 0:
        return np.full(len(costs), 1.0 if len(points) == 0 else 0.0)
    first = np.minimum(points[:, 0], corner[0])
    if k == 1:
        edge = min(first, default=corner[0])
        return np.maximum(edge - costs[:, 0], 0.0)
    if k == 2:
        return _free_area(costs, points[np.argsort(first)], corner=corner)
    edges = np.concatenate([[-np.inf], np.unique(first), [corner[0]]])
    total = np.zeros(len(costs))
    for left, right in pairwise(edges):
        width = np.maximum(right - np.maximum(left, costs[:, 0]), 0.0)
        behind = points[points[:, 0] <= left][:, 1:]
        total += width * _free_volume(costs[:, 1:], behind, corner=corner[1:])
    return total


def _free_area(costs: Array, points: Array, *, corner: Array) -> Array:
    """``_free_volume`` for two costs; points by ascending first cost."""
    first = np.minimum(points[:, 0], corner[0])
    left = np.concatenate([[-np.inf], first])
    right = np.concatenate([first, [corner[0]]])
    top = np.minimum.accumulate(np.concatenate([[corner[1]], points[:, 1]]))
    width = np.maximum(right - np.maximum(left, costs[:, :1]), 0.0)
    height = np.maximum(top - costs[:, 1:], 0.0)
    result: Array = (width * height).sum(axis=1)
    return result
