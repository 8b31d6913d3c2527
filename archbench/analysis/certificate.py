"""Can a proxy rank a space: what was trained to find out, and what that shows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

from archbench.analysis.rank import Agreement, Spread
from archbench.analysis.statistics import Estimate

SCHEMA = "archbench.certificate/1"
DOCUMENT = "certificate.json"

GOOD = 1 / 3
"""The tau at equal cost from which a proxy is good enough: two of three pairs in their order."""

FEWEST = 8
"""Candidates whose trainings all ended, below which nothing is said."""

State = Literal["certified", "refused", "undecided", "unfinished"]


@dataclass(frozen=True, kw_only=True)
class CandidateRecord:
    """One candidate of the sample and what its trainings reached.

    Attributes:
        digest: Identity of the network.
        choices: Axis to value, as tables show it.
        params: Learnt parameters, exact.
        macs: Multiply-accumulates of one image, exact.
        proxy: Seed to epoch to accuracy, of trainings as long as the proxy's.
        longer: Seed to the last accuracy, of longer trainings with other seeds.
        failures: What failed of it, in words.
    """

    digest: str
    choices: Mapping[str, Any]
    params: int
    macs: int
    proxy: Mapping[int, Mapping[int, float]] = field(default_factory=dict)
    longer: Mapping[int, float] = field(default_factory=dict)
    failures: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Rung:
    """How well the proxy orders candidates after some epochs of its schedule.

    Attributes:
        epoch: Epochs trained.
        median: Accuracy of the median candidate.
        is_above_chance: Whether that is more than guessing.
        agreement: With the longer trainings.
    """

    epoch: int
    median: float
    is_above_chance: bool
    agreement: Agreement

    @property
    def is_good(self) -> bool:
        """Whether candidates may be compared here."""
        return self.is_above_chance and is_good(self.agreement.at_equal_cost)


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What the trainings show.

    Attributes:
        state: Whether the proxy can rank.
        num_used: Candidates whose trainings all ended.
        rungs: By epoch.
        nulls: ``macs`` and ``params``: how well size alone orders the candidates.
        ceiling: How well one longer training orders them by the others; None where each has one.
        spread: Of the longer trainings; None where each has one.
        rungs_advised: Rungs that follow for the proxy; empty where none is good.
        sentence: Whether this proxy can rank this space.
        advice: What to do about it; empty where nothing need be done.
    """

    state: State
    num_used: int
    rungs: tuple[Rung, ...]
    nulls: Mapping[str, Agreement]
    ceiling: Agreement | None
    spread: Spread | None
    rungs_advised: tuple[int, ...]
    sentence: str
    advice: str

    @property
    def last(self) -> Estimate:
        """Tau at equal cost at the end of the proxy's schedule."""
        return self.rungs[-1].agreement.at_equal_cost


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """A certificate as far as its trainings have ended.

    Attributes:
        path: Its folder.
        header: How it was taken: subject, proxy, lengths, seeds, command, environment.
        candidates: The sample, cheapest first.
        num_trainings: That it needs in all.
        num_done: That have ended.
        finding: What they show; None until too few are left to end.
    """

    path: Path
    header: Mapping[str, Any]
    candidates: tuple[CandidateRecord, ...]
    num_trainings: int
    num_done: int
    finding: Judgement | None

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
    def is_certified(self) -> bool:
        """Whether a front that this proxy found may be trusted."""
        return self.finding is not None and self.finding.state == "certified"

    @property
    def summary(self) -> CertificateSummary:
        """What a study shows of it."""
        finding = self.finding
        return CertificateSummary(
            name=self.name,
            created=str(self.header["created"]),
            state=finding.state if finding else "unfinished",
            at_equal_cost=finding.last if finding and finding.rungs else None,
            sentence=finding.sentence if finding else "Its trainings have not ended.",
        )

    def document(self) -> dict[str, Any]:
        """The certificate as a JSON document of the schema ``archbench.certificate/1``."""
        document = {
            "schema": SCHEMA,
            "name": self.name,
            **{key: value for key, value in self.header.items() if key not in ("schema", "name")},
            "num_trainings": self.num_trainings,
            "num_done": self.num_done,
            "state": self.finding.state if self.finding else "unfinished",
            "finding": asdict(self.finding) if self.finding else None,
            "candidates": [asdict(candidate) for candidate in self.candidates],
        }
        plain: dict[str, Any] = json.loads(json.dumps(document, allow_nan=False))
        return plain


@dataclass(frozen=True, kw_only=True)
class CertificateSummary:
    """What a study shows of the certificate of its proxy.

    Attributes:
        name: Of the certificate's folder.
        created: When it was begun.
        state: Whether the proxy can rank.
        at_equal_cost: Tau at equal cost at the end of the proxy's schedule, or None.
        sentence: Whether this proxy can rank this space, in words.
    """

    name: str
    created: str
    state: State
    at_equal_cost: Estimate | None
    sentence: str

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        """The summary that ``asdict`` wrote."""
        found = document["at_equal_cost"]
        return cls(**{**document, "at_equal_cost": Estimate.of(found) if found else None})

    @property
    def text(self) -> str:
        """For example ``proxy certified: tau at equal cost 0.52 [0.38, 0.64]``."""
        tau = self.at_equal_cost
        known = f": tau at equal cost {estimate_text(tau)}" if tau else ""
        return f"proxy {'' if self.state == 'certified' else 'not '}certified{known}"


def is_good(at_equal_cost: Estimate) -> bool:
    """Two of three pairs in their order, and surely more than chance."""
    return at_equal_cost.value >= GOOD and at_equal_cost.low > 0


def estimate_text(estimate: Estimate) -> str:
    """For example ``0.52 [0.38, 0.64]``."""
    return f"{estimate.value:.2f} [{estimate.low:.2f}, {estimate.high:.2f}]"


def subject_of(header: Mapping[str, Any]) -> dict[str, Any] | None:
    """What a certificate holds for, from the header of a study; None where it does not say.

    The space's candidates, the data with their labels, and how a candidate is trained, but for
    the seed and for where rungs lie on the schedule.
    """
    proxy = header.get("proxy")
    if not isinstance(proxy, Mapping) or not {"space_digest", "recipe"} <= {*header, *proxy}:
        return None
    recipe = {k: v for k, v in proxy["recipe"].items() if k not in ("rungs", "seed")}
    return {
        "space": header["space_digest"],
        "data": proxy["data_digest"],
        "resolution": proxy["resolution"],
        "stem": proxy["stem"],
        "seeds": proxy["seeds"],
        "epochs": proxy["recipe"]["rungs"][-1],
        "recipe": recipe,
    }


def find_certificate(results: Path, subject: Mapping[str, Any] | None) -> CertificateSummary | None:
    """The newest whole certificate among the results that holds for a subject; None without one.

    A document that cannot be read holds for nothing.
    """
    if subject is None:
        return None
    wanted = json.loads(json.dumps(subject))
    found = []
    for file in sorted(results.glob(f"*/{DOCUMENT}")):
        try:
            document = json.loads(file.read_text())
            if document["schema"] == SCHEMA and document["subject"] == wanted:
                found.append(CertificateSummary.of(document["summary"]))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return max(found, key=lambda summary: (summary.created, summary.name), default=None)


def certificate_bytes(certificate: Certificate) -> bytes:
    """The document that ``find_certificate`` looks for."""
    document = {
        "schema": SCHEMA,
        "subject": certificate.header["subject"],
        "summary": asdict(certificate.summary),
    }
    return (json.dumps(document, indent=2, allow_nan=False) + "\n").encode()
