"""What is known about the candidates of a study, and of the study at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from archbench.study.measurement import Measurement

TrialState = Literal["running", "complete", "over_limit", "pruned", "failed"]
MeasurementKind = Literal["search", "confirm", "reference"]
StudyKind = Literal["search", "certificate", "ablation"]
FailureKind = Literal["timeout", "memory", "nan", "illegal", "crash", "error"]


@dataclass(frozen=True, kw_only=True)
class CurvePoint:
    """Accuracy of a proxy training at the end of a rung.

    Attributes:
        seed: Which of the proxy's training seeds, counted from 0.
        epoch: Epochs trained so far.
        step: Optimiser steps taken so far.
        loss: Mean training loss since the point before.
        accuracy: Share of the validation images classified rightly, 0 to 1.
        seconds: Training time so far, from a monotonic clock, interruptions left out.
    """

    seed: int
    epoch: int
    step: int
    loss: float
    accuracy: float
    seconds: float


@dataclass(frozen=True, kw_only=True)
class RungVerdict:
    """What the rule for stopping early said of a trial at the end of a rung.

    Attributes:
        seed: Which training, counted from 0.
        epoch: Epochs of it trained by then.
        stops: Whether the rule would train it no further.
        is_audited: Trained on all the same, so that what the rule loses can be measured.
        probability: That it would have reached the front, by the rule; None where it gives none.
        reason: In words.
    """

    seed: int
    epoch: int
    stops: bool
    is_audited: bool = False
    probability: float | None = None
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why a trial failed.

    Attributes:
        kind: The class of the failure, for counting.
        message: One line for a person.
        traceback: The whole trace where there is one.
    """

    kind: FailureKind
    message: str
    traceback: str = ""


@dataclass(frozen=True, kw_only=True)
class TrainingRecord:
    """One planned training of a trial; its curve stands among the points of the same seed.

    Attributes:
        seed: Which training of the trial, counted from 0.
        epochs: Epochs it is to be trained.
        epoch: Epochs trained so far.
        accuracy: At the last epoch, 0 to 1; None before it has ended.
        failure: Why it failed, without its trace; None where it did not.
    """

    seed: int
    epochs: int
    epoch: int = 0
    accuracy: float | None = None
    failure: Failure | None = None


@dataclass(frozen=True, kw_only=True)
class TrialRecord:
    """One candidate: what it is, what it costs, what it reached.

    Attributes:
        number: Its number in the study, from 0, the same as Optuna's.
        state: ``running``, ``complete``, ``over_limit`` (a hard limit, known before training),
            ``pruned`` (training stopped early by a rule) or ``failed``. Where trainings are planned
            one by one it stays ``running``: they tell how they stand.
        digest: Identity of the resolved spec at the target.
        choices: Axis name to chosen value, active axes only.
        spec: The spec as a YAML-able document.
        params: Learnt parameters.
        macs: Multiply-accumulates of one image at the target resolution (one = 1).
        activations: Outputs of convolutions, linears and attention products, one image.
        latency: The latency on the target, or None before it is measured.
        curve: Points of the proxy training in the order taken.
        proxy_accuracy: Validation accuracy at the last rung, mean over seeds, 0 to 1.
        test_accuracy: Accuracy on the sealed test share, members of the front only.
        failure: Why it failed, for ``failed`` only.
        reason: Why it was not trained to the end, for ``over_limit`` and ``pruned``.
        seconds: Wall time spent on it, summed over interruptions.
        origin: The study and trial that it was taken from, ``STUDY:TRIAL``, its conditions being
            the same; empty for a trial of the study itself.
        verdicts: What the rule for stopping early said, in the order of seeds and epochs.
        trainings: How each training stands, by seed, where the study plans them one by one, as a
            certificate and an ablation do.
    """

    number: int
    state: TrialState
    digest: str
    choices: Mapping[str, Any]
    spec: Mapping[str, Any]
    params: int
    macs: int
    activations: int
    latency: Measurement | None = None
    curve: tuple[CurvePoint, ...] = field(default=())
    proxy_accuracy: float | None = None
    test_accuracy: float | None = None
    failure: Failure | None = None
    reason: str = ""
    seconds: float = 0.0
    origin: str = ""
    verdicts: tuple[RungVerdict, ...] = field(default=())
    trainings: tuple[TrainingRecord, ...] = field(default=())


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

    trial: int | None = None
    reference: str | None = None
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


def epochs_trained(record: TrialRecord, *, num_seeds: int) -> int:
    """Epochs of the search's own trainings, all together; those that confirm come on top.

    Args:
        record: The trial.
        num_seeds: Trainings of a trial in the search.
    """
    reached = {point.seed: point.epoch for point in record.curve if point.seed < num_seeds}
    return sum(reached.values())


def final_accuracies(record: TrialRecord) -> dict[int, float]:
    """Seed to the accuracy at the last rung, of the trainings of a complete trial that got there.

    Of a record that holds its accuracy but no curve, that accuracy.
    """
    last = max((point.epoch for point in record.curve), default=0)
    found = {point.seed: point.accuracy for point in record.curve if point.epoch == last}
    if not found and record.proxy_accuracy is not None:
        return {0: record.proxy_accuracy}
    return found
