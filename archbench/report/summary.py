"""What of a study does every format show: its trials by kind, with the errors of their numbers."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from archbench.analysis.front_probability import SURE, FrontProbabilities
from archbench.analysis.study import StudyReader
from archbench.analysis.tables import accuracy_standard_error
from archbench.study.objective import OBJECTIVES, Objective, costs
from archbench.study.trial import Reference, TrialRecord

Kind = Literal["front", "dominated", "chance", "stopped", "over_limit"]


@dataclass(frozen=True, kw_only=True)
class Point:
    """A trial in the plot.

    Attributes:
        trial: Its number.
        kind: On the front; complete but dominated; complete but no better than chance; stopped
            before the last rung; over a limit.
        cost: Its cost, in the cost's unit.
        interval: The 95 % interval of a measured cost.
        accuracy: Proxy accuracy, or that of the last rung reached; None where none was trained.
        error: Standard error of the accuracy, or None where it is not known.
    """

    trial: int
    kind: Kind
    cost: float
    interval: tuple[float, float] | None
    accuracy: float | None
    error: float | None

    @property
    def height(self) -> float:
        """Where it stands vertically; at the foot without an accuracy."""
        return self.accuracy or 0.0


@dataclass(frozen=True)
class Summary:
    """One look at a study, which may still be running, in the form that every format shows.

    Attributes:
        study: The study it was read from.
    """

    study: StudyReader

    @cached_property
    def trials(self) -> Sequence[TrialRecord]:
        """Every trial, by number."""
        return self.study.trials()

    @cached_property
    def front(self) -> Sequence[TrialRecord]:
        """The members of the front, cheapest first."""
        return self.study.front_records()

    @cached_property
    def best(self) -> TrialRecord | None:
        """The most accurate member of the front."""
        return max(self.front, key=lambda record: record.proxy_accuracy or 0, default=None)

    @property
    def name(self) -> str:
        """The study's name."""
        return self.study.name

    @property
    def header(self) -> Mapping[str, Any]:
        """What the study says about itself."""
        return self.study.header

    @cached_property
    def references(self) -> Sequence[Reference]:
        """Published networks measured beside the study, untrained."""
        return self.study.references()

    @cached_property
    def proxy(self) -> Mapping[str, Any]:
        """Data, resolution and training of the proxy."""
        return part(self.header, "proxy")

    @cached_property
    def cost(self) -> Objective:
        """What is traded against accuracy: the first objective that is not the accuracy."""
        known = costs()
        names = [name for name in part(self.header, "objectives") if name in known]
        return OBJECTIVES[names[0] if names else known[0]]

    @property
    def limit(self) -> float | None:
        """The limit on the cost, if there is one."""
        return number(part(self.header, "limits").get(self.cost.name))

    @property
    def chance(self) -> float | None:
        """Accuracy of always guessing the commonest class."""
        return number(self.proxy.get("chance"))

    @property
    def subtitle(self) -> str:
        """What was asked, or else which data the proxy accuracy was reached on."""
        question = self.header.get("question")
        return str(question or f"proxy accuracy on {self.proxy.get('data', 'unnamed data')}")

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

    @property
    def front_probabilities(self) -> FrontProbabilities:
        """How sure each candidate's place is."""
        return self.study.front_probabilities

    @property
    def limit_names(self) -> tuple[str, ...]:
        """What has a limit."""
        return tuple(part(self.header, "limits"))

    @cached_property
    def others_with_a_chance(self) -> Sequence[tuple[int, float]]:
        """Trials that may belong on the front and are not on it, the likeliest first."""
        members = {record.number for record in self.front}
        found = [
            (number, chance)
            for number, chance in self.front_probabilities.on_front.items()
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
        others = (record for record in self.trials if record.number not in members)
        found = [self._point(record, is_member=True) for record in self.front]
        found += [self._point(record, is_member=False) for record in others]
        return tuple(point for point in found if point)

    def _point(self, record: TrialRecord, *, is_member: bool) -> Point | None:
        cost = number(self.cost.value(record))
        if cost is None or record.state in ("running", "failed"):
            return None
        accuracy = number(record.proxy_accuracy)
        if accuracy is None:
            accuracy = last_accuracy(record)
        kind: Kind = "front" if is_member else self._kind(record)
        if accuracy is None and kind != "over_limit":
            return None
        return Point(
            trial=record.number,
            kind=kind,
            cost=cost,
            interval=_finite(self.cost.interval(record)),
            accuracy=accuracy,
            error=self.accuracy_error(record),
        )

    def _kind(self, record: TrialRecord) -> Kind:
        if record.state == "over_limit" or self.study.rule.broken_limits(record):
            return "over_limit"
        if record.state == "pruned":
            return "stopped"
        return "dominated" if self.study.rule.beats_chance(record) else "chance"


def last_accuracy(record: TrialRecord) -> float | None:
    """Accuracy at the last rung reached, mean over the seeds that reached it."""
    if not record.curve:
        return None
    last = max(point.epoch for point in record.curve)
    return statistics.fmean(point.accuracy for point in record.curve if point.epoch == last)


def part(header: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """A mapping within a header; empty where it is not there."""
    value = header.get(key)
    return value if isinstance(value, Mapping) else {}


def number(value: object) -> float | None:
    """The value if it is a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def _finite(interval: tuple[float, float] | None) -> tuple[float, float] | None:
    low, high = map(number, interval or (None, None))
    return None if low is None or high is None else (low, high)


def finite(values: Iterable[float | None]) -> list[float]:
    """The values that are numbers one can draw."""
    return [value for value in values if value is not None and math.isfinite(value)]
