"""What of a study does every format show: its trials by kind, with the errors of their numbers."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, final

from archbench.analysis.front_probability import SURE
from archbench.analysis.study import StudyReader
from archbench.analysis.tables import accuracy_standard_error
from archbench.study.objective import OBJECTIVES, costs
from archbench.study.trial import TrialRecord

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
        self.references = study.references()
        self.proxy = part(self.header, "proxy")
        self.limits = part(self.header, "limits")
        self.chance = number(self.proxy.get("chance"))
        known = costs()
        names = [name for name in part(self.header, "objectives") if name in known]
        self.cost = OBJECTIVES[names[0] if names else known[0]]
        self.limit = number(self.limits.get(self.cost.name))

    @property
    def conditions_text(self) -> str:
        """The conditions of the latency in a few words, as far as the study says them."""
        said = part(self.header, "conditions")
        words = [str(said[key]) for key in ("device", "backend", "precision") if key in said]
        threads, batch, resolution = (said.get(key) for key in ("threads", "batch", "resolution"))
        if threads is not None and said.get("device") == "cpu":
            words.insert(1, f"{threads} thread{'' if threads == 1 else 's'}")
        if batch is not None:
            words.append(f"batch {batch}")
        if isinstance(resolution, list | tuple) and len(resolution) == 2:
            words.append(f"{resolution[0]}x{resolution[1]} px")
        return ", ".join(words)

    @cached_property
    def others_with_a_chance(self) -> Sequence[tuple[int, float]]:
        """Trials that may belong on the front and are not on it, the likeliest first."""
        members = {record.number for record in self.front}
        found = [
            (number, chance)
            for number, chance in self.study.front_probabilities.on_front.items()
            if number not in members and chance > 1 - SURE
        ]
        return sorted(found, key=lambda entry: (-entry[1], entry[0]))

    def accuracy_error(self, record: TrialRecord) -> float | None:
        """Standard error of the proxy accuracy; None where there is none or it is not known."""
        count = number(self.proxy.get("num_validation"))
        return accuracy_standard_error(record, num_validation=int(count) if count else None)

    def test_error(self, record: TrialRecord) -> float | None:
        """Binomial standard error of the test accuracy; None where it is not known."""
        count, share = number(self.proxy.get("num_test")), record.test_accuracy
        if share is None or not count or not 0 <= share <= 1:
            return None
        return math.sqrt(share * (1 - share) / count)

    @cached_property
    def points(self) -> tuple[Point, ...]:
        """Every trial that has a place in the plot, the members of the front first."""
        members = {record.number for record in self.front}
        others = [record for record in self.trials if record.number not in members]
        found = [self._point(record, self._kind(record)) for record in others]
        return tuple(filter(None, [*(self._point(r, "front") for r in self.front), *found]))

    def _point(self, record: TrialRecord, kind: Kind) -> Point | None:
        cost = number(self.cost.value(record))
        if cost is None or record.state in ("running", "failed"):
            return None
        accuracy = number(record.proxy_accuracy)
        if accuracy is None and record.curve:
            accuracy = mean_curve(record)[1][-1]
        if accuracy is None and kind != "over_limit":
            return None
        low, high = map(number, self.cost.interval(record) or (None, None))
        return Point(
            trial=record.number,
            kind=kind,
            cost=cost,
            interval=None if low is None or high is None else (low, high),
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


def part(header: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """A mapping within a header; empty where it is not there."""
    value = header.get(key)
    return value if isinstance(value, Mapping) else {}


def number(value: object) -> float | None:
    """The value if it is a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def finite(values: Iterable[float | None]) -> list[float]:
    """The values that are numbers one can draw."""
    return [value for value in values if value is not None and math.isfinite(value)]
