"""What does a study hold at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from archbench.study.measurement import Measurement
from archbench.study.trial import TrialRecord

MeasurementKind = Literal["search", "confirm", "reference"]
StudyKind = Literal["search", "certificate", "ablation"]


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A published network that was measured beside the study, and not trained.

    Attributes:
        name: For example ``levit_128s``.
        latency: Its latency under the conditions of the study.
        params: Learnt parameters.
        macs: Multiply-accumulates of one image (one = 1).
    """

    name: str
    latency: Measurement
    params: int
    macs: int


@dataclass(frozen=True, kw_only=True)
class Taken:
    """A measurement and what it was taken of: a trial or a reference.

    Attributes:
        trial: Number of the trial, or None for a reference.
        reference: Name of the reference, or None for a trial.
        kind: ``search`` (during it), ``confirm`` (again, at its end) or ``reference``.
        measurement: What was measured.
    """

    trial: int | None
    reference: str | None
    kind: MeasurementKind
    measurement: Measurement


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """The whole content of a store, read in one transaction.

    Attributes:
        header: What the study is: keys and JSON values.
        trials: All trials by number. Their latency is the last one that was confirmed with a
            value, else the last one of the search.
        references: Published networks measured beside the study, by name.
        measurements: Every measurement in the order taken, those that a later one replaced too.
    """

    header: Mapping[str, Any]
    trials: tuple[TrialRecord, ...]
    references: tuple[Reference, ...]
    measurements: tuple[Taken, ...]

    @property
    def kind(self) -> StudyKind:
        """What the study is, by the entry ``kind`` of its header: a search where it has none."""
        return cast(StudyKind, self.header.get("kind", "search"))
