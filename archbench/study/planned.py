"""What does a certificate or an ablation hold: a study whose trainings are planned one by one."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

from archbench.command_line import command_line, named_in_results
from archbench.digest import sha256_of
from archbench.errors import StorageError
from archbench.study.connection import read, read_kind
from archbench.study.measurement import Measurement
from archbench.study.study_folder import DATABASE
from archbench.study.trial import (
    CurvePoint,
    Failure,
    Snapshot,
    StudyKind,
    TrainingRecord,
    TrialRecord,
)

PlannedKind = Literal["certificate", "ablation"]

PLAN = "plan.json"
"""What versions before 0.2 kept a plan in, beside ``results.jsonl``, in place of a database."""

_COMMANDS: Mapping[PlannedKind, str] = {"certificate": "certify", "ablation": "ablate"}
_SCHEMAS: Mapping[str, PlannedKind] = {
    "archbench.certificate-plan/1": "certificate",
    "archbench.ablation-plan/1": "ablation",
}
_RESULTS = "results.jsonl"
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
        StorageError: It cannot be read.
    """
    if not (path / DATABASE).is_file():
        return read_plan(path)
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


def form_key(digest: str, training: Mapping[str, Any]) -> str:
    """Identity of a network and of how it is trained, given what differs from the recipe."""
    if not training:
        return digest
    return f"{digest}-{sha256_of(dict(training))[:8]}"


def read_plan(path: Path) -> Snapshot | None:
    """What a folder of a version before 0.2 holds; None where there is no such folder.

    Raises:
        StorageError: It cannot be read.
    """
    if not (path / PLAN).is_file():
        return None
    try:
        plan = json.loads((path / PLAN).read_text(), object_hook=_numbered)
        kind = _SCHEMAS[plan.pop("schema")]
        whole = (path / _RESULTS).read_bytes().rpartition(b"\n")[0]
        lines = [json.loads(line) for line in whole.splitlines()]
        candidates = _earlier_candidates(plan)
        trials = tuple(
            _earlier_trial(number, key, known, plan=plan, lines=lines)
            for number, (key, known) in enumerate(candidates.items())
        )
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise StorageError(
            f"what an earlier version stored cannot be read: {error!r}",
            place=str(path),
            help="delete the damaged line of results.jsonl, and what it held is trained again; or "
            "begin another with another --name",
        ) from error
    return Snapshot(header={**plan, "kind": kind}, trials=trials, references=(), measurements=())


def _earlier_candidates(plan: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Key to network of an earlier plan; its forms are given the numbers of their trials."""
    if "candidates" in plan:
        return {one["digest"]: one for one in plan.pop("candidates")}
    plan["forms"] = [plan.pop("base"), *plan["forms"]]
    found: dict[str, dict[str, Any]] = {}
    for form in plan["forms"]:
        key = form_key(form["digest"], form["training"])
        if form["spec"] is not None:
            found.setdefault(key, {**form, "choices": {}})
        form["trial"] = list(found).index(key) if form["spec"] is not None else None
    return found


def _earlier_trial(
    number: int,
    key: str,
    known: Mapping[str, Any],
    *,
    plan: Mapping[str, Any],
    lines: Iterable[Mapping[str, Any]],
) -> TrialRecord:
    """A trial of an earlier plan; a certificate kept no loss and no time of a point: they are 0."""
    proxy, seeds = plan["proxy"], plan["seeds"]
    is_certificate = "longer" in plan
    lengths = [proxy["rungs"][-1] if is_certificate else proxy["epochs"]] * seeds
    lengths += [plan["longer"]] * seeds if is_certificate else []
    trainings = {seed: TrainingRecord(seed=seed, epochs=n) for seed, n in enumerate(lengths)}
    points: dict[tuple[int, int], CurvePoint] = {}
    latency: Measurement | None = None
    for line in lines:
        if line["kind"] == "latency":
            latency = Measurement.from_document(line["measurements"][known["digest"]])
        elif line.get("key", line.get("digest")) != key:
            continue
        elif line["kind"] == "point":
            cells = {"step": 0, "loss": 0.0, "seconds": 0.0, **line.get("point", line)}
            names = (field.name for field in fields(CurvePoint))
            point = CurvePoint(**{name: cells[name] for name in names})
            points[point.seed, point.epoch] = point
        else:
            before, failure, accuracy = trainings[line["seed"]], None, line.get("accuracy")
            if line["kind"] == "failure":
                failure = Failure(kind=line["failure"], message=line["message"])
            elif accuracy is None:
                accuracy = points[before.seed, before.epochs].accuracy
            trainings[before.seed] = replace(before, accuracy=accuracy, failure=failure)
    return TrialRecord(
        number=number,
        state="running",
        activations=0,
        **{name: known[name] for name in ("digest", "choices", "spec", "params", "macs")},
        latency=latency,
        curve=tuple(points[where] for where in sorted(points)),
        trainings=tuple(trainings.values()),
    )


def _numbered(document: dict[str, Any]) -> dict[Any, Any]:
    """JSON writes the numbers of layers as text."""
    if document and all(isinstance(key, str) and key.isdecimal() for key in document):
        return {int(key): value for key, value in document.items()}
    return document
