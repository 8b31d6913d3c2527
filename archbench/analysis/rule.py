"""What must a trial be to stand on the front of its study, and against what is a front held."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from archbench.analysis.front import Direction, normalised_hypervolume, pareto_front
from archbench.errors import StorageError
from archbench.study.objective import objective_value
from archbench.study.trial import TrialRecord


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
