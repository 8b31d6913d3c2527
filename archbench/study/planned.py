"""What does a certificate or an ablation hold: a study whose trainings are planned one by one."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from archbench.command_line import command_line, named_in_results
from archbench.errors import StorageError
from archbench.study.connection import read, read_kind
from archbench.study.study_folder import DATABASE
from archbench.study.trial import Snapshot, StudyKind, TrainingRecord, TrialRecord

PlannedKind = Literal["certificate", "ablation"]

_PLAN = "plan.json"  # in which versions before 0.2 kept it, in place of a database
_COMMANDS: Mapping[PlannedKind, str] = {"certificate": "certify", "ablation": "ablate"}
_FINAL = ("nan", "illegal")  # the same again would fail alike


def resume_planned(path: Path, *, kind: PlannedKind) -> str:
    """What to type to go on with a certificate or an ablation."""
    return command_line("archbench", _COMMANDS[kind], *named_in_results(path), "--resume")


def refuse_planned(kind: StudyKind, *, path: Path) -> None:
    """Nothing, when the study in a folder is that of a search.

    Raises:
        StorageError: It is a certificate or an ablation; the help says how to see it.
    """
    if kind != "search":
        raise StorageError(
            f"this study is of the kind {kind}, and a search is needed",
            place=str(path),
            help="see it: " + command_line("archbench", "report", path),
        )


def find_planned(path: Path) -> Snapshot | None:
    """The certificate or ablation in a folder; None where there is none.

    Raises:
        StorageError: It cannot be read, or a version before 0.2 wrote it.
    """
    if not (path / DATABASE).is_file():
        if (path / _PLAN).is_file():
            raise StorageError(
                "a version of archbench before 0.2 wrote this, which is not read any more",
                place=str(path),
                help="resume it with version 0.2, which makes a study of it; or begin another with "
                "another --name",
            )
        return None
    is_search = read_kind(path / DATABASE) == "search"
    return None if is_search else read(path / DATABASE)


def read_planned(path: Path, *, kind: PlannedKind) -> Snapshot:
    """All that a certificate or an ablation holds; it may still be running.

    Raises:
        StorageError: There is none of this kind, or it cannot be read.
    """
    found = find_planned(path)
    if found is None or found.kind != kind:
        raise StorageError(
            f"there is no {kind} here",
            place=str(path),
            help="begin it without --resume, or list what there is: "
            + command_line("ls", path.parent),
        )
    return found


@dataclass(frozen=True, kw_only=True)
class PlannedRecord:
    """A certificate or an ablation as far as its trainings have ended, in a folder.

    The header says how it was taken: proxy, lengths, seeds, command, environment, notes.
    """

    path: Path
    header: Mapping[str, Any]
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

    def document_of(self, schema: str, **found: Any) -> dict[str, Any]:
        """What every kind says of itself, then what was found, as JSON gives it back."""
        known = {"num_trainings": self.num_trainings, "num_done": self.num_done}
        document = {"schema": schema, "name": self.name, **self.header, **known, **found}
        plain: dict[str, Any] = json.loads(json.dumps(document, allow_nan=False))
        return plain


def known_of(path: Path, found: Snapshot, *, kept: Iterable[str], method: str) -> dict[str, Any]:
    """The fields of a ``PlannedRecord``; entries that are kept of the header go into its own."""
    number = sum(len(trial.trainings) for trial in found.trials)
    return {
        "path": path,
        "header": {key: found.header[key] for key in kept} | {"method": method},
        "num_trainings": number,
        "num_done": number - len(pending(found)),
    }


def accuracies_of(trial: TrialRecord) -> dict[int, float]:
    """Seed to accuracy, of the planned trainings that have ended."""
    return {t.seed: t.accuracy for t in trial.trainings if t.accuracy is not None}


def failures_of(trial: TrialRecord) -> list[str]:
    """What failed of the planned trainings, in words."""
    return [
        f"seed {training.seed} failed ({training.failure.kind}): {training.failure.message}"
        for training in trial.trainings
        if training.failure
    ]


def is_final(training: TrainingRecord) -> bool:
    """Whether a training has ended, or failed in a way that would repeat itself."""
    failure = training.failure
    return training.accuracy is not None or (failure is not None and failure.kind in _FINAL)


def pending(found: Snapshot) -> list[tuple[TrialRecord, TrainingRecord]]:
    """Trainings that are still to be done: seed by seed, short ones before longer ones.

    The longer trainings of a certificate have seeds of their own, counted on from the others.
    """
    waiting = [
        (trial, training)
        for trial in found.trials
        for training in trial.trainings
        if not is_final(training)
    ]
    seeds = found.header["seeds"]
    return sorted(waiting, key=lambda one: (one[1].seed % seeds, one[1].epochs, one[0].number))
