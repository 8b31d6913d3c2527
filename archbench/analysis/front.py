"""Which points does no other beat in every objective, and how much do they cover."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import moocore
import numpy as np

from archbench.errors import StorageError
from archbench.study.objective import objective_value
from archbench.study.trial import TrialRecord

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


@dataclass(frozen=True, kw_only=True)
class Box:
    """Between which corners a hypervolume is taken.

    Attributes:
        directions: Which way is better, for each objective.
        reference: The worst corner.
        ideal: The best corner.
    """

    directions: tuple[Direction, ...]
    reference: tuple[float, ...]
    ideal: tuple[float, ...]

    def share(self, points: Sequence[tuple[float, ...]]) -> float:
        """The share of the box that these points dominate, 0 to 1."""
        if not points:
            return 0.0
        return normalised_hypervolume(
            points, directions=self.directions, reference=self.reference, ideal=self.ideal
        )


@dataclass(frozen=True, kw_only=True)
class FrontRule:
    """Which trials may stand on the front, from the header of a study.

    Attributes:
        objectives: Objective to the way that is better.
        limits: Objective to the most that it may be.
        chance: Accuracy of the best guess that looks at no image.
        num_validation: Images behind each accuracy.
    """

    objectives: Mapping[str, Direction]
    limits: Mapping[str, float]
    chance: float
    num_validation: int

    @classmethod
    def of(cls, header: Mapping[str, Any], *, place: str) -> Self:
        """The rule of a study's header.

        Raises:
            StorageError: The header lacks an entry.
        """
        try:
            return cls(
                objectives=dict(header["objectives"]),
                limits=dict(header["limits"]),
                chance=float(header["proxy"]["chance"]),
                num_validation=int(header["proxy"]["num_validation"]),
            )
        except KeyError as error:
            raise StorageError(
                f"the study's header has no entry {error}",
                place=place,
                help="its search did not get as far as its data; resume it with --resume",
            ) from error

    @property
    def bar(self) -> float:
        """The accuracy that counts as better than chance: three binomial standard errors above."""
        return self.chance + 3 * math.sqrt(self.chance * (1 - self.chance) / self.num_validation)

    def beats_chance(self, record: TrialRecord) -> bool:
        """Is its accuracy above the bar?"""
        return record.proxy_accuracy is not None and record.proxy_accuracy > self.bar

    def broken_limits(self, record: TrialRecord) -> tuple[str, ...]:
        """The objectives whose known value is over its limit, confirmed latencies included."""
        values = {name: objective_value(record, name) for name in self.limits}
        return tuple(
            name
            for name, value in values.items()
            if value is not None and value > self.limits[name]
        )

    def is_eligible(self, record: TrialRecord) -> bool:
        """Complete, every objective known, within the limits, and better than chance."""
        return (
            record.state == "complete"
            and all(objective_value(record, name) is not None for name in self.objectives)
            and not self.broken_limits(record)
            and (self.beats_chance(record) or "proxy_accuracy" not in self.objectives)
        )

    def front(self, trials: Sequence[TrialRecord]) -> list[TrialRecord]:
        """The eligible trials that no other beats, cheapest first."""
        eligible = [record for record in trials if self.is_eligible(record)]
        points = [self._point(record) for record in eligible]
        members = [eligible[index] for index in pareto_front(points, self._directions)]
        costs = [name for name, way in self.objectives.items() if way == "min"]
        return sorted(
            members,
            key=lambda record: (*(objective_value(record, c) or 0.0 for c in costs), record.number),
        )

    def reference_point(self, trials: Sequence[TrialRecord]) -> dict[str, float] | None:
        """The worst corner: chance, and of each cost its limit, else the largest value known.

        Returns:
            None while a cost has neither.
        """
        corner = {}
        for name, way in self.objectives.items():
            values = [objective_value(record, name) for record in trials]
            known = [value for value in values if value is not None]
            if name == "proxy_accuracy":
                corner[name] = self.chance
            elif way == "max":
                corner[name] = 0.0
            elif name in self.limits:
                corner[name] = self.limits[name]
            elif known:
                corner[name] = max(known)
            else:
                return None
        return corner

    def hypervolume(self, trials: Sequence[TrialRecord]) -> float:
        """Share of the box from the reference point to the ideal that the front dominates.

        The ideal is accuracy 1 and cost 0. Fronts compare only under one reference point; without
        a limit it moves with the largest cost seen. 0 without a front.
        """
        box = self.box(trials)
        return box.share([self._point(record) for record in self.front(trials)]) if box else 0.0

    def box(self, trials: Sequence[TrialRecord]) -> Box | None:
        """The box in which the front's hypervolume is taken; None while a cost is unknown."""
        corner = self.reference_point(trials)
        points = [self._point(record) for record in self.front(trials)]
        if corner is None or not points:
            return None
        ideal = [
            (1.0 if name == "proxy_accuracy" else max(point[index] for point in points))
            if way == "max"
            else 0.0
            for index, (name, way) in enumerate(self.objectives.items())
        ]
        return Box(
            directions=tuple(self._directions),
            reference=tuple(corner.values()),
            ideal=tuple(ideal),
        )

    @property
    def _directions(self) -> list[Direction]:
        return list(self.objectives.values())

    def _point(self, record: TrialRecord) -> tuple[float, ...]:
        values = [objective_value(record, name) for name in self.objectives]
        return tuple(value for value in values if value is not None)
