"""Which points does no other beat in every objective, and how much do they cover."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import moocore
import numpy as np

from archbench.analysis.statistics import kendall_tau_of
from archbench.errors import StorageError
from archbench.study.objective import costs, objective_value
from archbench.study.shape import PUT_BACK
from archbench.study.trial import TrialRecord

Direction = Literal["min", "max"]
Array = np.ndarray[Any, np.dtype[np.float64]]
Flags = np.ndarray[Any, np.dtype[np.bool_]]


def pareto_front(points: Sequence[tuple[float, ...]], directions: Sequence[Direction]) -> list[int]:
    """Indices of the points that no other point dominates, ascending.

    A point dominates another if it is no worse in any objective and better in one; so equal
    points stand or fall together. The points chosen do not depend on the order given.

    Raises:
        ValueError: A number is not finite.
    """
    rows = np.array(points, dtype=np.float64).reshape(len(points), len(directions))
    if not np.isfinite(rows).all():
        raise ValueError("points must be finite")
    return [int(index) for index in np.flatnonzero(nondominated(rows * signs_of(directions)))]


def nondominated(points: Array) -> Flags:
    """Which rows (n, objectives) no other dominates, less being better in every column, (n,)."""
    if not len(points):
        return np.zeros(0, dtype=np.bool_)
    return np.asarray(moocore.is_nondominated(points, keep_weakly=True), dtype=np.bool_)


def signs_of(directions: Iterable[Direction]) -> Array:
    """By what the columns of points are multiplied for less to be better."""
    return np.array([1.0 if direction == "min" else -1.0 for direction in directions])


@dataclass(frozen=True, kw_only=True)
class Box:
    """Between which corners a hypervolume is taken; only one box makes two comparable."""

    signs: Array  # by what points are multiplied for less to be better; the corners are
    reference: Array  # the worst corner, (objectives,)
    ideal: Array  # the best corner; a point beyond it counts as if it stood at its face

    def share(self, points: Sequence[tuple[float, ...]]) -> float:
        """The share of the box that these points dominate, 0 to 1; 0 of a box without extent.

        A point that is not better than the reference in every objective adds nothing. Exact; time
        grows steeply beyond 4 objectives.
        """
        return self.share_of_rows(np.array(points) * self.signs) if len(points) else 0.0

    def share_of_rows(self, points: Array) -> float:
        """``share`` of rows in which less is better, for the many of a simulation."""
        size = self.reference - self.ideal
        if (size == 0).any():
            return 0.0
        unit = np.maximum((points - self.ideal) / size, 0.0)
        better = unit[(unit < 1.0).all(axis=1)]
        return float(moocore.hypervolume(better, ref=np.ones(len(size)))) if len(better) else 0.0


@dataclass(frozen=True, kw_only=True)
class FrontRule:
    """Which trials may stand on the front, from the header of a study."""

    objectives: Mapping[str, Direction]  # objective to the way that is better
    limits: Mapping[str, float]  # objective to the most that it may be
    chance: float  # accuracy of the best guess that looks at no image
    num_validation: int  # images behind each accuracy

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
                help=PUT_BACK,
            ) from error

    @property
    def bar(self) -> float:
        """The accuracy above which an accuracy counts as better than chance, see ``chance_bar``."""
        return chance_bar(self.chance, num_validation=self.num_validation)

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
        points = self.points(eligible)
        directions = list(self.objectives.values())
        members = [eligible[index] for index in pareto_front(points, directions)]
        costs = [name for name, way in self.objectives.items() if way == "min"]
        return sorted(
            members,
            key=lambda record: (*(objective_value(record, c) or 0.0 for c in costs), record.number),
        )

    def reference_point(self, trials: Sequence[TrialRecord]) -> dict[str, float] | None:
        """The worst corner: chance, and each cost's limit, else its largest value; None without."""
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
        return box.share(self.points(self.front(trials))) if box else 0.0

    def hypervolumes(self, trials: Sequence[TrialRecord]) -> list[float]:
        """What ``hypervolume`` was after each trial in this order, in the box of all of them."""
        box, share, shares = self.box(trials), 0.0, []
        members = np.zeros((0, len(self.objectives)))
        for record in trials:
            if box is not None and self.is_eligible(record):
                point = np.array(self.points([record])[0]) * box.signs
                if not (members <= point).all(axis=1).any():
                    members = np.vstack([members[~(point <= members).all(axis=1)], point])
                    share = box.share_of_rows(members)
            shares.append(share)
        return shares

    def box(self, trials: Sequence[TrialRecord]) -> Box | None:
        """The box in which the front's hypervolume is taken; None while a cost is unknown."""
        corner = self.reference_point(trials)
        points = self.points(self.front(trials))
        if corner is None or not points:
            return None
        ideal = [
            (1.0 if name == "proxy_accuracy" else max(point[index] for point in points))
            if way == "max"
            else 0.0
            for index, (name, way) in enumerate(self.objectives.items())
        ]
        signs = signs_of(self.objectives.values())
        reference = signs * np.array(list(corner.values()))
        return Box(signs=signs, reference=reference, ideal=signs * np.array(ideal))

    def points(self, records: Sequence[TrialRecord]) -> list[tuple[float, ...]]:
        """The known objectives of each record, in their order."""
        values = ([objective_value(r, name) for name in self.objectives] for r in records)
        return [tuple(value for value in each if value is not None) for each in values]


def chance_bar(chance: float, *, num_validation: int) -> float:
    """The accuracy that a guess which looks at no image reaches with three standard errors of luck.

    ``chance`` is the accuracy of the commonest class, always named. Below 1/2 a guess may name
    classes at that rate: three binomial standard errors above. From 1/2 on, where naming the
    commonest always gives that accuracy and no luck at all, the best guess names another class for
    a share q of the images: it loses (2 chance - 1) q and has a standard error of
    sqrt(q (1 - q) / n), and the largest sum over q is the closed form below. At 1/2 both are equal.
    All images right is always better, however few there are.

    >>> round(chance_bar(0.95, num_validation=142), 3)
    0.967
    """
    n, luck = num_validation, 3.0
    if chance < 0.5:
        bar = chance + luck * math.sqrt(chance * (1 - chance) / n)
    else:
        bar = (1 + math.hypot(2 * chance - 1, luck / math.sqrt(n))) / 2
    return min(bar, 1 - 1 / (2 * n))


def transfer(
    rule: FrontRule,
    *,
    here: Sequence[TrialRecord],
    there: Sequence[TrialRecord],
    members: Sequence[int],
) -> dict[str, Any]:
    """What becomes of the front of a study on another device, JSON-able.

    The same trials have the latency that they were searched by ``here``, and that of the other
    device ``there``, None where it has none. A limit of milliseconds was meant for the device of
    the search, so it does not hold there.

    Returns:
        ``front``, the trials on the front there, cheapest first; members that are ``kept`` and
        ``left``, and trials that ``joined``; ``kendall_tau``, how alike both orders of latency are,
        None for fewer than two trials, and how many were ``compared`` for it; ``lost``, the share
        of the hypervolume there that the members here do not cover, None where only they were
        timed, or nothing is on the front there.
    """
    limits = {name: most for name, most in rule.limits.items() if name not in costs("latency")}
    rule_there = replace(rule, limits=limits)
    front = [record.number for record in rule_there.front(there)]
    pairs = [
        (one.latency.value, other.latency.value)
        for one, other in zip(here, there, strict=True)
        if one.latency and other.latency and one.latency.value and other.latency.value
    ]
    lost = None
    if front and {record.number for record in there} - set(members):
        best = rule_there.hypervolume(there)
        # The others keep the corner where it is, and are on no front.
        without = [
            record if record.number in members else replace(record, state="pruned")
            for record in there
        ]
        lost = max(0.0, 1 - rule_there.hypervolume(without) / best) if best else None
    return {
        "front": front,
        "kept": [number for number in members if number in front],
        "left": [number for number in members if number not in front],
        "joined": [number for number in front if number not in members],
        "kendall_tau": kendall_tau_of(pairs),
        "compared": len(pairs),
        "lost": lost,
    }
