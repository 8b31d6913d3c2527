"""What is known about the candidates of a study, and of the study at one moment."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from archbench.study.measurement import Measurement

TrialState = Literal["running", "complete", "over_limit", "pruned", "failed"]
MeasurementKind = Literal["search", "again", "confirm", "reference"]
StudyKind = Literal["search", "certificate", "ablation"]
FailureKind = Literal["timeout", "memory", "nan", "illegal", "crash", "error"]

PRECISION = "target.precision"
"""Under which the choices of a trial name its precision, where int8 is one that the space has."""


@dataclass(frozen=True, kw_only=True)
class CurvePoint:
    """Accuracy of a proxy training at the end of a rung.

    Seeds are counted from 0, epochs and optimiser steps from the beginning.
    """

    seed: int
    epoch: int
    step: int
    loss: float  # mean training loss since the point before
    accuracy: float  # share of the validation images classified rightly, 0 to 1
    seconds: float  # training time so far, from a monotonic clock, interruptions left out


@dataclass(frozen=True, kw_only=True)
class RungVerdict:
    """What the pruner said of a trial at the end of a rung: whether to train it no further.

    An audited trial is trained on all the same, so that what the pruner loses can be measured. The
    probability is that it would have reached the front; None where the pruner gives none.
    """

    seed: int
    epoch: int
    stops: bool
    is_audited: bool = False
    probability: float | None = None
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class QuantisedAccuracy:
    """What the network of one training, by its seed, reaches once it is quantised to int8."""

    seed: int
    accuracy: float  # share of the validation images classified rightly, 0 to 1
    seconds: float  # that quantising and validating took


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why a trial failed: a kind that can be counted, a line for a person, and the trace."""

    kind: FailureKind
    message: str
    traceback: str = ""


@dataclass(frozen=True, kw_only=True)
class TrainingRecord:
    """One planned training of a trial; its curve stands among the points of the same seed.

    Of its ``epochs`` are ``epoch`` done. The accuracy is that at the last one, 0 to 1, and None
    before it has ended; a failure is kept without its trace.
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
        state: ``running``, ``complete``, ``over_limit`` (a hard limit, known before training),
            ``pruned`` (training stopped early by a rule) or ``failed``. Where trainings are planned
            one by one it stays ``running``: they tell how they stand.
        proxy_accuracy: Validation accuracy at the last rung, mean over seeds, 0 to 1; of a trial in
            int8 that of the quantised networks.
        design: The trial whose training it shares, where it is that design in another precision.
        test_accuracy: Accuracy on the held-out test split, members of the front only.
        weights_inherited: The share of its parameters that came from the study's ancestor, 0 to 1;
            None where there is none, or the training has not begun.
        origin: The study and trial that it was inherited from, ``STUDY:TRIAL``, its conditions
            being the same; empty for a trial of the study itself.
        trainings: By seed, where the study plans them one by one, as a certificate and an ablation
            do.
    """

    number: int  # in the study, from 0, the same as Optuna's
    state: TrialState
    digest: str  # identity of the resolved spec at the target
    choices: Mapping[str, Any]  # axis name to chosen value, active axes only
    spec: Mapping[str, Any]  # the spec as a YAML-able document
    params: int
    macs: int  # multiply-accumulates of one image at the target resolution (one = 1)
    activations: int  # outputs of convolutions, linears and attention products, one image
    latency: Measurement | None = None  # on the target, or None before it is measured
    curve: tuple[CurvePoint, ...] = ()
    proxy_accuracy: float | None = None
    test_accuracy: float | None = None
    failure: Failure | None = None
    reason: str = ""  # why it was not trained to the end, for ``over_limit`` and ``pruned``
    seconds: float = 0.0  # wall time spent on it, summed over interruptions
    weights_inherited: float | None = None
    origin: str = ""
    design: int | None = None
    quantised: tuple[QuantisedAccuracy, ...] = ()  # by seed, of a trial in int8
    verdicts: tuple[RungVerdict, ...] = ()
    trainings: tuple[TrainingRecord, ...] = ()

    @property
    def is_int8(self) -> bool:
        """Whether its accuracy and its latency are those of a network quantised to int8."""
        return self.choices.get(PRECISION) == "int8"

    @property
    def why_it_ended(self) -> str:
        """Why it failed, was stopped early or was not trained; else empty."""
        return self.failure.message if self.failure else self.reason


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A published network that was measured beside the study, and not trained.

    Its latency is of the conditions of the study; a multiply-accumulate counts 1.
    """

    name: str
    latency: Measurement
    params: int
    macs: int


@dataclass(frozen=True, kw_only=True)
class Taken:
    """A measurement and what it was taken of: a trial, by number, or a reference, by name.

    The kind is ``search`` (during it), ``again`` (during it, later), ``confirm`` (at its end) or
    ``reference``.
    """

    trial: int | None = None
    reference: str | None = None
    kind: MeasurementKind
    measurement: Measurement


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """The whole content of a store, read in one transaction.

    The latency of a trial is what all its timings give together, with an interval that holds what
    runs differ by in this study; the measurements are in the order taken.
    """

    header: Mapping[str, Any]
    trials: tuple[TrialRecord, ...]
    references: tuple[Reference, ...]
    measurements: tuple[Taken, ...]

    @property
    def kind(self) -> StudyKind:
        """What the study is, by the entry ``kind`` of its header: a search where it has none."""
        return cast(StudyKind, self.header.get("kind", "search"))


def precision_of(record: TrialRecord) -> dict[str, Any]:
    """What of the choices of a trial is no choice of its network."""
    return {key: value for key, value in record.choices.items() if key == PRECISION}


def may_be_retried(record: TrialRecord) -> bool:
    """Whether a trial failed by what may have been the machine's fault, not its own."""
    kind = record.failure.kind if record.failure else None
    return record.state == "failed" and kind in ("crash", "timeout")


def epochs_trained(record: TrialRecord, *, num_seeds: int) -> int:
    """Epochs of the search's own trainings of a trial; those that confirm come on top."""
    reached = {point.seed: point.epoch for point in record.curve if point.seed < num_seeds}
    return sum(reached.values())


def final_accuracies(record: TrialRecord) -> dict[int, float]:
    """Seed to the accuracy at the last rung, of the trainings of a complete trial that got there.

    Of a trial in int8 they are those of the quantised networks.
    """
    quantised = {one.seed: one.accuracy for one in record.quantised}
    return quantised or trained_accuracies(record)


def trained_accuracies(record: TrialRecord) -> dict[int, float]:
    """``final_accuracies`` before anything was quantised.

    Of a record that holds its accuracy but no curve, that accuracy.
    """
    last = max((point.epoch for point in record.curve), default=0)
    found = {point.seed: point.accuracy for point in record.curve if point.epoch == last}
    if not found and record.proxy_accuracy is not None:
        return {0: record.proxy_accuracy}
    return found
