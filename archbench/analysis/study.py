"""What did a study find: read from its database alone, without the search or torch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from archbench.analysis.baseline import baseline_document
from archbench.analysis.certificate import Certificate, subject_of
from archbench.analysis.importance import Insight
from archbench.analysis.other_runtimes import OTHER_RUNTIMES
from archbench.analysis.retraining import KEY, Retraining
from archbench.analysis.study_facts import StudyFacts
from archbench.analysis.study_header import confirmation_of
from archbench.analysis.tables import (
    TableName,
    accuracy_standard_error,
    baselines_table,
    curves_table,
    designs_table,
    latency_cells,
    measurements_table,
)
from archbench.analysis.verdict import no_front_reason, verdict
from archbench.errors import StorageError
from archbench.study.connection import read, read_header, read_kind
from archbench.study.planned import refuse_planned
from archbench.study.study_folder import DATABASE, path_of, studies_in
from archbench.study.trial import TrialRecord

_SCHEMA = "archbench.study/1"
_HEADER_KEYS = (
    "question", "created", "seed", "space_name", "space_text", "size", "feasible_share", "sampler",
    "pruner", "audit", "conditions", "plan", "proxy", "environment", "command", "seconds",
    "sources", "spaces", "left_to_chance", "precisions", "quantisation",
)  # fmt: skip
_CHOSEN = ("backends", OTHER_RUNTIMES)


def open_study(path: Path | str) -> StudyReader:
    """The study in a folder, or in a database, as it stands now.

    A search that goes on is not held up and not followed.

    Raises:
        StorageError: There is no study, it is damaged, or a newer archbench wrote it.
    """
    path = path_of(path, place="study")
    file = path / DATABASE if path.is_dir() or path.suffix != ".db" else path
    if not file.is_file():
        known = [one.name for one in studies_in(path.parent) if _is_search(one / DATABASE)]
        raise StorageError(
            "there is no study here",
            place=str(path),
            help=f"studies beside it: {', '.join(known)}"
            if known
            else "begin one with: archbench search quickstart",
        )
    snapshot = read(file)
    refuse_planned(snapshot.kind, path=file.parent)
    return StudyReader(file.parent, snapshot=snapshot)


def as_study(study: StudyReader | Path | str) -> StudyReader:
    """The study itself, or that in a folder.

    Raises:
        StorageError: It cannot be read.
        UsageError: It is neither.
    """
    return study if isinstance(study, StudyReader) else open_study(study)


def insight(study: StudyReader | Path | str) -> Insight:
    """Which choices of a study matter, for accuracy at equal cost and for the cost.

    ``insight(study).document()`` is what ``archbench insight --json`` prints of it.

    Raises:
        StorageError: There is no study, or it cannot be read.
    """
    return as_study(study).insight


def retrained_under(certificate: Certificate) -> list[Retraining]:
    """What studies beside a certificate that it holds for reached in full training, by name."""
    subject, found = certificate.header["subject"], []
    for path in studies_in(certificate.path.resolve().parent):
        with suppress(StorageError):  # of what cannot be read nothing is known
            header = read_header(path / DATABASE)
            if subject and KEY in header and json.loads(json.dumps(subject_of(header))) == subject:
                found.append(open_study(path).retraining)
    return [one for one in found if one is not None]


def _is_search(file: Path) -> bool:
    """Whether a database is that of a search, or cannot be read."""
    with suppress(StorageError):
        return read_kind(file) == "search"
    return True


class StudyReader(StudyFacts):
    """A study at one moment, as tables, as a document and in words; see ``StudyFacts``."""

    def front(self) -> pd.DataFrame:
        """The front as a table, cheapest first; no rows while there is none."""
        return self._designs("front", self._front)

    def curves(self) -> pd.DataFrame:
        """The table of all points of all proxy trainings."""
        return curves_table(self._snapshot.trials)

    def measurements(self) -> pd.DataFrame:
        """The table of all measurements with their samples."""
        return measurements_table(self._snapshot.measurements)

    def tables(self) -> dict[TableName, pd.DataFrame]:
        """All tables by name; that of the baselines where there are some."""
        found: dict[TableName, pd.DataFrame] = {
            "trials": self._designs("trials", self._snapshot.trials),
            "measurements": self.measurements(),
            "curves": self.curves(),
            "front": self.front(),
        }
        if self.baselines:
            found["baselines"] = baselines_table(
                self.baselines,
                num_validation=self.rule.num_validation,
                sure=self.front_probabilities,
            )
        return found

    def _designs(
        self, name: Literal["trials", "front"], records: Sequence[TrialRecord]
    ) -> pd.DataFrame:
        num_validation, sure = self.rule.num_validation, self.front_probabilities
        return designs_table(name, records, num_validation=num_validation, sure=sure)

    def verdict(self) -> str:
        """What was found and what it does and does not mean, for a person."""
        return verdict(self)

    def no_front_reason(self) -> str | None:
        """Why there is no front yet, in words; None when there is one."""
        return no_front_reason(self)

    def document(self) -> dict[str, Any]:
        """The study as a JSON document of the schema ``archbench.study/1``.

        Exactly what a parser would give back: finite numbers, text as keys.
        """
        header, counts = self.header, self.counts()
        document = {
            "schema": _SCHEMA,
            "study": self.name,
            "verdict": self.verdict(),
            "no_front_reason": self.no_front_reason(),
            "trials": {**counts, "total": sum(counts.values())},
            "front": [self._member(record) for record in self._front],
            "hypervolume": self.hypervolume(),
            "doubt": self._doubt(),
            "pruning": self.pruning.document() if self.pruning else None,
            "reference_point": self.reference_point(),
            "objectives": dict(self.rule.objectives),
            "limits": dict(self.rule.limits),
            "insight": self.insight.document(),
            "certificate": asdict(self.certificate) if self.certificate else None,
            "retraining": self.retraining.document() if self.retraining else None,
            "references": [
                {
                    "name": reference.name,
                    **latency_cells(reference.latency),
                    "params": reference.params,
                    "macs": reference.macs,
                }
                for reference in self._snapshot.references
            ],
            "baselines": [
                {**baseline_document(one), **latency_cells(one.record.latency)}
                for one in self.baselines
            ],
            **{key: header.get(key) for key in _HEADER_KEYS},
            **{key: header[key] for key in _CHOSEN if key in header},
        }
        plain: dict[str, Any] = json.loads(json.dumps(document, allow_nan=False))
        return plain

    def _doubt(self) -> dict[str, Any]:
        found = self.front_probabilities
        covered = found.hypervolume
        return {
            "hypervolume": asdict(covered) if covered else None,
            "in_doubt": found.uncertain(),
            "others_with_a_chance": [
                {"trial": number, "on_front": chance}
                for number, chance in sorted(self.others_with_a_chance())
            ],
            "seed_sd": found.noise_sd,
            "seed_sd_degrees": found.noise_degrees,
            "confirmation": confirmation_of(self.header),
        }

    def _member(self, record: TrialRecord) -> dict[str, Any]:
        found, number = self.front_probabilities, record.number
        likely = found.accuracy.get(number)
        return {
            "trial": number,
            "digest": record.digest,
            "accuracy": record.proxy_accuracy,
            "proxy_accuracy": record.proxy_accuracy,
            "accuracy_standard_error": accuracy_standard_error(
                record, num_validation=self.rule.num_validation
            ),
            "test_accuracy": record.test_accuracy,
            **latency_cells(record.latency),
            "on_front": found.on_front.get(number),
            "meets_limits": found.meets_limits.get(number),
            "meets": dict(found.meets.get(number, {})),
            "likely_accuracy": asdict(likely) if likely else None,
            "params": record.params,
            "macs": record.macs,
            "activations": record.activations,
            "choices": dict(record.choices),
            "spec": dict(record.spec),
            "origin": record.origin or None,
        }
