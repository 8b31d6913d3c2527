"""Which points does no other beat in every objective, and how much do they cover."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import moocore
import numpy as np

Direction = Literal["min", "max"]
Array = np.ndarray[Any, np.dtype[np.float64]]
Flags = np.ndarray[Any, np.dtype[np.bool_]]


def pareto_front(points: Sequence[tuple[float, ...]], directions: Sequence[Direction]) -> list[int]:
    """Indices of the points that no other point dominates, ascending.

    A point dominates another if it is no worse in any objective and better in one; so equal
    points stand or fall together. The points chosen do not depend on the order given.

    Args:
        points: One tuple a point, one finite number an objective.
        directions: Which way is better, for each objective.

    Raises:
        ValueError: A number is not finite, or a point has not one number an objective.
    """
    folded = _folded(points, directions)
    if not len(folded):
        return []
    kept = moocore.is_nondominated(folded, keep_weakly=True)
    return [int(index) for index in np.flatnonzero(kept)]


def nondominated(points: Array) -> Flags:
    """Which rows no other dominates, less being better in every column, (n,).

    For the many fronts of a simulation; ``pareto_front`` is for one, with directions.

    Args:
        points: (n, objectives), finite; n may be 0.
    """
    if not len(points):
        return np.zeros(0, dtype=np.bool_)
    return np.asarray(moocore.is_nondominated(points, keep_weakly=True), dtype=np.bool_)


def hypervolume(
    points: Sequence[tuple[float, ...]],
    *,
    directions: Sequence[Direction],
    reference: Sequence[float],
) -> float:
    """The volume that is dominated by the points and dominates the reference.

    In the product of the objectives' units. A point that is not better than the reference in
    every objective adds nothing; no points give 0. Exact; time grows steeply beyond 4 objectives.

    Args:
        points: One tuple a point.
        directions: Which way is better, for each objective.
        reference: The worst corner, one number an objective.

    Raises:
        ValueError: A number is not finite, or a point has not one number an objective.
    """
    corner = _folded([tuple(reference)], directions)[0]
    folded = _folded(points, directions)
    better = folded[(folded < corner).all(axis=1)]
    return float(moocore.hypervolume(better, ref=corner)) if len(better) else 0.0


def normalised_hypervolume(
    points: Sequence[tuple[float, ...]],
    *,
    directions: Sequence[Direction],
    reference: Sequence[float],
    ideal: Sequence[float],
) -> float:
    """The hypervolume as a share of the box between the reference and the ideal, 0 to 1.

    Comparable only between fronts of the same reference and ideal.

    Args:
        points: One tuple a point.
        directions: Which way is better, for each objective.
        reference: The worst corner.
        ideal: The best corner; a point beyond it counts as if it stood at its face.

    Raises:
        ValueError: A number is not finite, or the ideal is worse than the reference.
    """
    corner = _folded([tuple(reference)], directions)
    best = _folded([tuple(ideal)], directions)
    if (corner < best).any():
        raise ValueError(f"the ideal {ideal} is worse than the reference {reference}")
    return covered_share(_folded(points, directions), reference=corner[0], ideal=best[0])


def covered_share(points: Array, *, reference: Array, ideal: Array) -> float:
    """``normalised_hypervolume`` of rows in which less is better, for the many of a simulation."""
    size = reference - ideal
    if (size == 0).any():
        return 0.0
    unit = np.maximum((points - ideal) / size, 0.0)
    better = unit[(unit < 1.0).all(axis=1)]
    return float(moocore.hypervolume(better, ref=np.ones(len(size)))) if len(better) else 0.0


def _folded(
    points: Sequence[tuple[float, ...]], directions: Sequence[Direction]
) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """The points as rows in which less is better."""
    unknown = set(directions) - {"min", "max"}
    if unknown or not directions:
        raise ValueError(f"directions are min or max, got {list(directions)}")
    if any(len(point) != len(directions) for point in points):
        raise ValueError(f"each point needs {len(directions)} numbers")
    values = np.array(points, dtype=np.float64).reshape(len(points), len(directions))
    if not np.isfinite(values).all():
        raise ValueError("points must be finite")
    signs = np.array([1.0 if direction == "min" else -1.0 for direction in directions])
    return values * signs
