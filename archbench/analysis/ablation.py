"""What was found of each form of a network: what a factor costs, and what it buys."""

import math
import statistics
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from archbench.errors import StorageError
from archbench.study.measurement import Measurement
from archbench.study.planned import (
    PlannedRecord,
    accuracies_of,
    failures_of,
    known_of,
    read_planned,
)
from archbench.study.shape import require_entries
from archbench.study.trial import Snapshot, TrialRecord

SCHEMA = "archbench.ablation/1"
CONFIDENCE = 0.95
METHOD = (
    "Accuracy: mean of the differences to the base, seed by seed (same data, order and shifts), "
    "with Student's t interval at 95 %. Latency: difference of two measurements taken in turn, its "
    "95 % interval from theirs (MOVER, Zou and Donner 2008). Each interval is for itself: of 20, "
    "one misses on average. Seeds stand for training again on the same images, not for others."
)

_KEPT = ("created", "command", "paper", "notes", "environment", "conditions", "proxy", "seeds")

FormState = Literal["base", "trained", "illegal", "failed", "waiting"]


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A form's number less the base's, with its 95 % interval; one training gives no interval."""

    value: float
    low: float | None = None
    high: float | None = None

    @property
    def is_seen(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


@dataclass(frozen=True, kw_only=True)
class PaperComparison:
    """A form beside its row in a paper."""

    row: str
    source: str
    top1: float  # the row's accuracy in percent
    difference: float  # to the base of the same table, in points
    params: str | None
    flops: str | None  # multiply-accumulates as printed
    note: str  # what of it is a reading of ours
    sign: str  # whether our difference has the paper's sign, in words


@dataclass(frozen=True, kw_only=True)
class FormRecord:
    """One form: what it is, what it costs, what it reached, and how it differs from the base."""

    name: str  # factor and value; ``base`` for the base
    knob: str
    value: str
    # ``base`` (also a form that is the same network, trained alike), ``trained``, ``illegal``,
    # ``failed`` (no training ended) or ``waiting`` (none has ended yet)
    state: FormState
    reason: str = ""  # why it is illegal or failed, or what failed of it; empty otherwise
    digest: str = ""  # identity of the network; empty where it is illegal
    spec: Mapping[str, Any] | None = None
    training: Mapping[str, Any] = field(default_factory=dict)  # that differs from the base's
    params: int = 0
    macs: int = 0
    latency: Measurement | None = None
    accuracies: Mapping[int, float] = field(default_factory=dict)  # by seed, 0 to 1
    latency_difference: Difference | None = None  # in milliseconds
    # as a share, over the seeds in common with the base; None for the base and where there is none
    accuracy_difference: Difference | None = None
    num_pairs: int = 0  # the seeds in common with the base
    finding: str = ""
    paper: PaperComparison | None = None

    @property
    def accuracy(self) -> float | None:
        """The mean over its seeds, or None."""
        return statistics.fmean(self.accuracies.values()) if self.accuracies else None


@dataclass(frozen=True, kw_only=True)
class AblationRecord(PlannedRecord):
    """All forms of an ablation as far as they are known, the base apart."""

    base: FormRecord
    forms: tuple[FormRecord, ...]

    @property
    def num_seeds(self) -> int:
        """Trainings of each form."""
        return int(self.header["seeds"])

    def document(self) -> dict[str, Any]:
        """The ablation as a JSON document of the schema ``archbench.ablation/1``."""
        base, *forms = (
            {**asdict(form), "accuracy": form.accuracy} for form in (self.base, *self.forms)
        )
        return self.document_of(SCHEMA, base=base, forms=forms)


def read_ablation(path: Path, found: Snapshot | None = None) -> AblationRecord:
    """The ablation in a folder, or in what was read of it, with differences; it may be running.

    Raises:
        StorageError: There is no ablation, or it cannot be read.
    """
    found = found or read_planned(path, kind="ablation")
    require_entries(found.header, (*_KEPT, "forms"), place=path)
    first, *others = found.header["forms"] or [{"trial": None}]
    trials = [form["trial"] for form in others if form["trial"] is not None] + [first["trial"]]
    if not {number.number for number in found.trials}.issuperset(trials):
        raise StorageError(
            "its header names forms of which there is no trial",
            place=str(path),
            help="put back a copy of study.db, or begin another with another --name",
        )
    trial = found.trials[first["trial"]]
    return AblationRecord(
        **known_of(path, found, kept=_KEPT, method=METHOD),
        base=_form_record(first, found=found, base=trial),
        forms=tuple(_form_record(form, found=found, base=trial) for form in others),
    )


def _form_record(form: Mapping[str, Any], *, found: Snapshot, base: TrialRecord) -> FormRecord:
    known = {key: form[key] for key in ("name", "knob", "value", "training")}
    printed = form["printed"]
    if form["trial"] is None:
        paper = comparison(printed, None, num_pairs=0) if printed else None
        known |= {"reason": form["reason"], "finding": "cannot be built"}
        return FormRecord(**known, state="illegal", paper=paper)
    trial = found.trials[form["trial"]]
    is_base = trial.number == base.number
    accuracies, theirs, failures = accuracies_of(trial), accuracies_of(base), failures_of(trial)
    difference = None if is_base else paired_difference(accuracies, theirs)
    num_pairs = 0 if is_base else len(accuracies.keys() & theirs.keys())
    state: FormState = "base" if is_base else "trained" if accuracies else "waiting"
    told = "" if is_base else finding(difference, num_pairs=num_pairs)
    if not accuracies and len(failures) == len(trial.trainings):
        state, told = "failed", "every training failed"
    is_same = trial.digest == base.digest
    return FormRecord(
        **known,
        state=state,
        reason="; ".join(failures),
        **{name: getattr(trial, name) for name in ("digest", "spec", "params", "macs", "latency")},
        accuracies=accuracies,
        latency_difference=None if is_same else latency_difference(trial.latency, base.latency),
        accuracy_difference=difference,
        num_pairs=num_pairs,
        finding=told,
        paper=comparison(printed, difference, num_pairs=num_pairs) if printed else None,
    )


def paired_difference(form: Mapping[int, float], base: Mapping[int, float]) -> Difference | None:
    """The mean difference over the seeds that both have, with its interval; None without any.

    Both are given as accuracy by seed. Student's t of the differences; one seed gives no interval.

    >>> paired_difference({0: 0.5, 1: 0.6}, {0: 0.4, 1: 0.5, 2: 0.9}).value.__round__(6)
    0.1
    """
    differences = [form[seed] - base[seed] for seed in sorted(form.keys() & base.keys())]
    if not differences:
        return None
    mean = statistics.fmean(differences)
    if len(differences) == 1:
        return Difference(value=mean)
    from scipy.stats import t

    count = len(differences)
    quantile = float(t.ppf((1 + CONFIDENCE) / 2, count - 1))
    half = quantile * statistics.stdev(differences) / math.sqrt(count)
    return Difference(value=mean, low=mean - half, high=mean + half)


def latency_difference(form: Measurement | None, base: Measurement | None) -> Difference | None:
    """The difference of two latencies with its interval; None where one could not be had.

    By the method of variance estimates recovery for independent estimates: Zou and Donner 2008,
    Statistics in Medicine 27, 1693-1702, equation 8.
    """
    if form is None or base is None or form.value is None or base.value is None:
        return None
    value = form.value - base.value
    ends = form.low, form.high, base.low, base.high
    if any(end is None for end in ends):
        return Difference(value=value)
    low, high, base_low, base_high = (float(end or 0) for end in ends)
    return Difference(
        value=value,
        low=value - math.hypot(form.value - low, base_high - base.value),
        high=value + math.hypot(high - form.value, base.value - base_low),
    )


def finding(difference: Difference | None, *, num_pairs: int) -> str:
    """What a factor buys, in words."""
    if difference is None:
        return "not trained yet"
    if difference.low is None:
        return "one seed, so no interval"
    if not difference.is_seen:
        return f"no difference seen with {num_pairs} seeds"
    return "better" if difference.value > 0 else "worse"


def comparison(
    printed: Mapping[str, Any], difference: Difference | None, *, num_pairs: int
) -> PaperComparison:
    """A form beside its row in the paper: the row is an ``archbench.models.catalogue.Paper``."""
    theirs = round(printed["top1"] - printed["base_top1"], 6)
    kept = ("row", "source", "top1", "params", "flops", "note")
    return PaperComparison(
        **{key: printed[key] for key in kept},
        difference=theirs,
        sign=_sign(theirs, difference, num_pairs=num_pairs),
    )


def _sign(theirs: float, ours: Difference | None, *, num_pairs: int) -> str:
    if ours is None:
        return "not trained yet"
    if not ours.is_seen:
        return f"not separable with {num_pairs} seed{'s' if num_pairs != 1 else ''}"
    if theirs == 0:
        return "the paper prints no difference"
    return "sign confirmed" if (theirs > 0) == (ours.value > 0) else "opposite sign"
