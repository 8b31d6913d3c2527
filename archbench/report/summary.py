"""What of a study does every format show: its trials by kind, with the errors of their numbers."""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, final

from archbench.analysis.study import StudyReader
from archbench.analysis.tables import accuracy_standard_error
from archbench.study.measurement import Conditions
from archbench.study.objective import OBJECTIVES, costs
from archbench.study.trial import TrialRecord

OWN_RESOLUTION = "each network's own resolution"
Kind = Literal["front", "dominated", "chance", "stopped", "over_limit"]
"""On the front; complete but dominated, or no better than chance; stopped before the last rung."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """A trial in the plot, by its number."""

    trial: int
    kind: Kind
    cost: float  # in the cost's unit
    interval: tuple[float, float] | None  # of 95 %, of a measured cost
    accuracy: float | None  # of the proxy, or of the last rung reached; None where none was trained
    error: float | None  # standard error of the accuracy, None where it is not known

    @property
    def height(self) -> float:
        """Where it stands vertically; at the foot without an accuracy."""
        return self.accuracy or 0.0


@final
class Summary:
    """One look at a study, which may still be running, in the form that every format shows."""

    def __init__(self, study: StudyReader) -> None:
        self.study = study
        self.name, self.header = study.name, study.header
        self.trials = study.trials()  # by number
        self.front = study.front_records()  # cheapest first
        self.best = max(self.front, key=lambda record: record.proxy_accuracy or 0, default=None)
        self.baselines = study.baselines  # known networks, trained as the candidates are
        trained = {one.name for one in self.baselines if one.record.proxy_accuracy is not None}
        self.references = [one for one in study.references() if one.name not in trained]
        self.proxy = self.header["proxy"]
        self.limits, self.chance = study.rule.limits, study.rule.chance
        known = costs()
        names = [name for name in study.rule.objectives if name in known]
        self.cost = OBJECTIVES[names[0] if names else known[0]]
        self.limit = self.limits.get(self.cost.name)

    @property
    def cost_title(self) -> str:
        """What the cost is and its unit, for an axis or a heading: ``latency, ms``."""
        return ", ".join(filter(None, [self.cost.label, self.cost.unit]))

    @property
    def conditions_text(self) -> str:
        """The conditions of the latency in a few words; empty where the study says none."""
        said = self.header.get("conditions")
        if not said:
            return ""
        if precisions := self.header.get("precisions"):
            said = {**said, "precision": " and ".join(precisions)}
        conditions = Conditions.from_document(said)
        return (
            conditions.text(resolution=OWN_RESOLUTION) if "sides" in self.proxy else str(conditions)
        )

    @property
    def conditions(self) -> Mapping[str, Any] | None:
        """The conditions of the latency by name; None where the study says none."""
        said: Mapping[str, Any] | None = self.header.get("conditions")
        return {**said, "resolution": OWN_RESOLUTION} if said and "sides" in self.proxy else said

    def accuracy_error(self, record: TrialRecord) -> float | None:
        """Standard error of the proxy accuracy; None where there is none."""
        return accuracy_standard_error(record, num_validation=self.study.rule.num_validation)

    def test_error(self, record: TrialRecord) -> float | None:
        """Binomial standard error of the test accuracy; None where it is not known."""
        count, share = self.proxy.get("num_test"), record.test_accuracy
        return math.sqrt(share * (1 - share) / count) if count and share is not None else None

    @cached_property
    def points(self) -> tuple[Point, ...]:
        """Every trial that has a place in the plot, the members of the front first."""
        members = {record.number for record in self.front}
        others = [record for record in self.trials if record.number not in members]
        found = [self._point(record, self._kind(record)) for record in others]
        return tuple(filter(None, [*(self._point(r, "front") for r in self.front), *found]))

    @cached_property
    def known(self) -> Mapping[str, Point]:
        """Name to place in the plot, of the known networks that were trained."""
        points = {one.name: self._point(one.record, "dominated") for one in self.baselines}
        return {name: p for name, p in points.items() if p and p.accuracy is not None}

    def _point(self, record: TrialRecord, kind: Kind) -> Point | None:
        cost, accuracy = self.cost.value(record), record.proxy_accuracy
        if cost is None or record.state in ("running", "failed"):
            return None
        if accuracy is None and record.curve:
            accuracy = mean_curve(record)[1][-1]
        if accuracy is None and kind != "over_limit":
            return None
        return Point(
            trial=record.number,
            kind=kind,
            cost=cost,
            interval=self.cost.interval(record),
            accuracy=accuracy,
            error=self.accuracy_error(record),
        )

    def _kind(self, record: TrialRecord) -> Kind:
        if record.state == "over_limit" or self.study.rule.broken_limits(record):
            return "over_limit"
        if record.state == "pruned":
            return "stopped"
        return "dominated" if self.study.rule.beats_chance(record) else "chance"


def mean_curve(record: TrialRecord) -> tuple[Sequence[int], Sequence[float]]:
    """Epochs, and the accuracy at each as the mean over the seeds that reached it."""
    reached: dict[int, list[float]] = {}
    for point in record.curve:
        reached.setdefault(point.epoch, []).append(point.accuracy)
    epochs = sorted(reached)
    return epochs, [statistics.fmean(reached[epoch]) for epoch in epochs]


def finite(values: Iterable[float | None]) -> list[float]:
    """The values that are numbers one can draw."""
    return [value for value in values if value is not None and math.isfinite(value)]
