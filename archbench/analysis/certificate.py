"""Can a proxy rank a space: what was trained to find out, and for which studies that holds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import NoneType
from typing import Any, Self

from archbench.analysis.front import FrontRule
from archbench.analysis.judgement import CandidateRecord, Judgement, State, judge
from archbench.analysis.statistics import Estimate, estimate_text
from archbench.study.planned import (
    PlannedRecord,
    accuracies_of,
    failures_of,
    known_of,
    read_planned,
)
from archbench.study.shape import Number, Word, require, require_entries
from archbench.study.trial import Snapshot, TrialRecord

SCHEMA = "archbench.certificate/1"
DOCUMENT = "certificate.json"
METHOD = (
    "Tau is Kendall's: the share of pairs in their order less that of the others. The truth is the "
    "mean of the longer trainings, whose seeds no score has seen. At equal cost: what is left of "
    "both when a cubic in the logarithm of the MACs is taken out; a score that knows nothing but "
    "the size is left with 0. Near the front: the half of the candidates that is least below the "
    "best of its cost. Intervals of 95 % are percentiles of a bootstrap over candidates, each "
    "drawn with all its trainings. A proxy is certified where its tau at equal cost is a third or "
    "more (two of three pairs in their order) and the interval leaves out 0."
)

_KEPT = (
    "created", "command", "space_name", "question", "subject", "proxy", "seeds", "longer",
    "workers", "notes", "environment",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Certificate(PlannedRecord):
    """A certificate as far as its trainings have ended."""

    candidates: tuple[CandidateRecord, ...]  # the sample, cheapest first
    finding: Judgement | None  # what its trainings show; None until too few are left to end

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
        finding = self.finding
        return self.document_of(
            SCHEMA,
            state=finding.state if finding else "unfinished",
            finding=asdict(finding) if finding else None,
            candidates=[asdict(candidate) for candidate in self.candidates],
        )


_ESTIMATE = {"value": Number(), "low": Number(), "high": Number()}
_SUMMARY = {
    "name": str,
    "created": str,
    "state": Word.of(State),
    "at_equal_cost": (_ESTIMATE, NoneType),
    "sentence": str,
}


@dataclass(frozen=True, kw_only=True)
class CertificateSummary:
    """What a study shows of the certificate of its proxy; without a rung there is no tau."""

    name: str
    created: str
    state: State
    at_equal_cost: Estimate | None
    sentence: str

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        """The summary that ``asdict`` wrote."""
        found = document["at_equal_cost"]
        return cls(**{**document, "at_equal_cost": Estimate(**found) if found else None})

    @property
    def text(self) -> str:
        """For example ``proxy certified: tau at equal cost 0.52 [0.38, 0.64]``."""
        tau = self.at_equal_cost
        known = f": tau at equal cost {estimate_text(tau)}" if tau else ""
        return f"proxy {'' if self.state == 'certified' else 'not '}certified{known}"


def read_certificate(path: Path, found: Snapshot | None = None) -> Certificate:
    """The certificate in a folder, or in what was read of it, judged once no training is left.

    Raises:
        StorageError: There is no certificate, or it cannot be read.
    """
    found = found or read_planned(path, kind="certificate")
    require_entries(found.header, _KEPT, place=path)
    header, proxy = found.header, found.header["proxy"]
    candidates = tuple(_candidate(trial, seeds=header["seeds"]) for trial in found.trials)
    finding = None
    if all(t.accuracy is not None or t.failure for trial in found.trials for t in trial.trainings):
        chance = {key: proxy[key] for key in ("chance", "num_validation")}
        finding = judge(
            candidates,
            proxy_seeds=proxy["seeds"],
            bar=FrontRule(objectives={}, limits={}, **chance).bar,
            most=header.get("most_candidates"),
            holds_for=(
                f"That holds for {proxy['data']} at {pixels(proxy)} and "
                f"{proxy['rungs'][-1]} epochs, judged by {header['longer']}; it says nothing of "
                "other data or of full training."
            ),
        )
    known = known_of(path, found, kept=_KEPT, method=METHOD)
    return Certificate(**known, candidates=candidates, finding=finding)


def _candidate(trial: TrialRecord, *, seeds: int) -> CandidateRecord:
    """A trial of which the first ``seeds`` trainings are as long as the proxy's."""
    ended = accuracies_of(trial)
    return CandidateRecord(
        digest=trial.digest,
        choices=trial.choices,
        params=trial.params,
        macs=trial.macs,
        proxy={
            seed: {point.epoch: point.accuracy for point in trial.curve if point.seed == seed}
            for seed in ended
            if seed < seeds
        },
        longer={seed: accuracy for seed, accuracy in ended.items() if seed >= seeds},
        failures=tuple(failures_of(trial)),
    )


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
        **({"weights": proxy["weights"]["sha256"]} if "weights" in proxy else {}),
    }


def pixels(proxy: Mapping[str, Any]) -> str:
    """At which resolution the proxy of a header trains, or from which to which."""
    sides = [entry["resolution"] for entry in proxy.get("prepared", ())] or [proxy["resolution"]]
    return f"{sides[0]} to {sides[-1]} px" if len(sides) > 1 else f"{sides[0]} px"


def find_certificate(results: Path, subject: Mapping[str, Any] | None) -> CertificateSummary | None:
    """The newest whole certificate among the results that holds for a subject; None without one."""
    if subject is None:
        return None
    wanted = json.loads(json.dumps(subject))
    found = []
    for file in sorted(results.glob(f"*/{DOCUMENT}")):
        try:
            document = json.loads(file.read_text())
            if document["schema"] == SCHEMA and document["subject"] == wanted:
                require(document["summary"], _SUMMARY, place=str(file))
                found.append(CertificateSummary.of(document["summary"]))
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            continue  # what cannot be read holds for nothing
    return max(found, key=lambda summary: (summary.created, summary.name), default=None)


def certificate_bytes(certificate: Certificate) -> bytes:
    """The document that ``find_certificate`` looks for."""
    document = {
        "schema": SCHEMA,
        "subject": certificate.header["subject"],
        "summary": asdict(certificate.summary),
    }
    return (json.dumps(document, indent=2, allow_nan=False) + "\n").encode()
