"""What was found of each form of a network: what a knob costs, and what it buys."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from archbench.study.measurement import Measurement

SCHEMA = "archbench.ablation/1"

FormState = Literal["base", "trained", "illegal", "failed", "waiting"]


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A form's number less the base's, with the 95 % interval of the difference.

    Attributes:
        value: The difference.
        low: Lower end, or None where there is no interval.
        high: Upper end, or None.
    """

    value: float
    low: float | None = None
    high: float | None = None

    @property
    def is_seen(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


@dataclass(frozen=True, kw_only=True)
class PaperComparison:
    """A form beside its row in a paper.

    Attributes:
        row: What is changed, in words.
        source: Paper and table.
        top1: The row's accuracy in percent.
        difference: To the base of the same table, in points.
        params: Parameters as printed, or None.
        flops: Multiply-accumulates as printed, or None.
        note: What of it is a reading of ours.
        sign: Whether our difference has the paper's sign, in words.
    """

    row: str
    source: str
    top1: float
    difference: float
    params: str | None
    flops: str | None
    note: str
    sign: str


@dataclass(frozen=True, kw_only=True)
class FormRecord:
    """One form: what it is, what it costs, what it reached, and how it differs from the base.

    Attributes:
        name: Knob and value; ``base`` for the base.
        knob: What is turned.
        value: To what.
        state: ``base`` (also a form that is the same network, trained alike), ``trained``,
            ``illegal``, ``failed`` (no training ended) or ``waiting`` (none has ended yet).
        reason: Why it is illegal or failed, or what failed of it; empty otherwise.
        digest: Identity of the network; empty where it is illegal.
        spec: The network as a document, or None where it is illegal.
        training: Fields of the recipe that differ from those of the base.
        params: Learnt parameters, exact.
        macs: Multiply-accumulates of one image, exact.
        latency: Of its deployed form, or None.
        accuracies: Seed to validation accuracy, 0 to 1.
        latency_difference: In milliseconds, or None.
        accuracy_difference: As a share, over the seeds that it has in common with the base; None
            for the base and where there is none.
        num_pairs: Those seeds.
        finding: What the knob buys, in words.
        paper: The row of the paper, or None.
    """

    name: str
    knob: str
    value: str
    state: FormState
    reason: str = ""
    digest: str = ""
    spec: Mapping[str, Any] | None = None
    training: Mapping[str, Any] = field(default_factory=dict)
    params: int = 0
    macs: int = 0
    latency: Measurement | None = None
    accuracies: Mapping[int, float] = field(default_factory=dict)
    latency_difference: Difference | None = None
    accuracy_difference: Difference | None = None
    num_pairs: int = 0
    finding: str = ""
    paper: PaperComparison | None = None

    @property
    def accuracy(self) -> float | None:
        """The mean over its seeds, or None."""
        return statistics.fmean(self.accuracies.values()) if self.accuracies else None


@dataclass(frozen=True, kw_only=True)
class AblationRecord:
    """All forms of an ablation as far as they are known.

    Attributes:
        path: Its folder.
        header: How it was taken: proxy, plan, conditions, environment, command, notes.
        base: The base.
        forms: The others, in the order asked for.
        num_trainings: Trainings that it needs in all.
        num_done: Those that have ended.
    """

    path: Path
    header: Mapping[str, Any]
    base: FormRecord
    forms: tuple[FormRecord, ...]
    num_trainings: int
    num_done: int

    @property
    def name(self) -> str:
        """Of its folder."""
        return self.path.name

    @property
    def proxy(self) -> Mapping[str, Any]:
        """What accuracy is taken on."""
        proxy: Mapping[str, Any] = self.header["proxy"]
        return proxy

    @property
    def num_seeds(self) -> int:
        """Trainings of each form."""
        return int(self.header["seeds"])

    def document(self) -> dict[str, Any]:
        """The ablation as a JSON document of the schema ``archbench.ablation/1``."""
        return {
            "schema": SCHEMA,
            "name": self.name,
            **{key: value for key, value in self.header.items() if key not in ("schema", "name")},
            "num_trainings": self.num_trainings,
            "num_done": self.num_done,
            "base": _form_document(self.base),
            "forms": [_form_document(form) for form in self.forms],
        }


def _form_document(form: FormRecord) -> dict[str, Any]:
    document = asdict(form)
    document["accuracy"] = form.accuracy
    document["accuracies"] = {str(seed): value for seed, value in form.accuracies.items()}
    return document
