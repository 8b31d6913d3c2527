"""What does a certificate or an ablation hold: a study whose trainings are planned one by one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from archbench.command_line import command_line, named_in_results
from archbench.errors import StorageError
from archbench.study.connection import read, read_kind
from archbench.study.file import storage_failures
from archbench.study.folder import DATABASE
from archbench.study.measurement import Measurement
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
    text = json.dumps(dict(training), sort_keys=True)
    return f"{digest}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def read_plan(path: Path) -> Snapshot | None:
    """What a folder of a version before 0.2 holds; None where there is no such folder.

    Raises:
        StorageError: It cannot be read.
    """
    try:
        plan = json.loads((path / PLAN).read_text(), object_hook=_numbered)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        told = f"the plan cannot be read: {error}"
        raise StorageError(told, place=str(path / PLAN)) from error
    kind = _SCHEMAS.get(plan.pop("schema", None))
    if kind is None:
        raise StorageError(
            "the plan has a schema that is not known here",
            place=str(path / PLAN),
            help="begin another with another --name",
        )
    with storage_failures(path):
        whole = (path / _RESULTS).read_bytes().rpartition(b"\n")[0]
    try:
        lines = [json.loads(line) for line in whole.splitlines()]
    except ValueError as error:
        raise StorageError(
            f"a line is damaged: {error}",
            place=str(path / _RESULTS),
            help="delete that line, and what it held is trained again",
        ) from error
    trials = list(_planned_before(plan, kind=kind))
    return Snapshot(
        header={**plan, "kind": kind},
        trials=tuple(_with_results(trial, key, lines=lines) for key, trial in trials),
        references=(),
        measurements=(),
    )


def _planned_before(
    plan: dict[str, Any], *, kind: PlannedKind
) -> Iterator[tuple[str, TrialRecord]]:
    """Key and trial of each candidate of an earlier plan; its forms are given their trials."""
    seeds, proxy = plan["seeds"], plan["proxy"]
    if kind == "certificate":
        lengths = [proxy["rungs"][-1]] * seeds + [plan["longer"]] * seeds
        candidates = {one["digest"]: one for one in plan.pop("candidates")}
    else:
        lengths = [proxy["epochs"]] * seeds
        plan["forms"] = [plan.pop("base"), *plan["forms"]]
        candidates = {}
        for form in plan["forms"]:
            key = form_key(form["digest"], form["training"])
            is_legal = form["spec"] is not None
            form["trial"] = list({**candidates, key: form}).index(key) if is_legal else None
            if is_legal:
                candidates.setdefault(key, {**form, "choices": {}})
    for number, (key, known) in enumerate(candidates.items()):
        yield (
            key,
            TrialRecord(
                number=number,
                state="running",
                activations=0,
                **{name: known[name] for name in ("digest", "choices", "spec", "params", "macs")},
                trainings=tuple(TrainingRecord(seed=s, epochs=n) for s, n in enumerate(lengths)),
            ),
        )


def _with_results(
    trial: TrialRecord, key: str, *, lines: Iterable[Mapping[str, Any]]
) -> TrialRecord:
    """The trial with what the lines of an earlier version say of it.

    A certificate kept no loss and no time of a point; they are 0.
    """
    points: dict[tuple[int, int], CurvePoint] = {}
    trainings, latency = {training.seed: training for training in trial.trainings}, None
    for line in lines:
        if line["kind"] == "latency":
            document = line["measurements"].get(trial.digest)
            latency = Measurement.from_document(document) if document else latency
        elif line.get("key", line.get("digest")) == key and line["kind"] == "point":
            known = {"step": 0, "loss": 0.0, "seconds": 0.0, **line.get("point", line)}
            names = CurvePoint.__dataclass_fields__
            point = CurvePoint(**{name: known[name] for name in names})
            points[point.seed, point.epoch] = point
        elif line.get("key", line.get("digest")) == key:
            before, failure = trainings[line["seed"]], None
            accuracy = line.get("accuracy")
            if line["kind"] == "failure":
                failure = Failure(kind=line["failure"], message=line["message"])
            elif accuracy is None:
                accuracy = points[before.seed, before.epochs].accuracy
            trainings[before.seed] = replace(before, accuracy=accuracy, failure=failure)
    return replace(
        trial,
        latency=latency,
        curve=tuple(points[where] for where in sorted(points)),
        trainings=tuple(trainings.values()),
    )


def _numbered(document: dict[str, Any]) -> dict[Any, Any]:
    """JSON writes the numbers of layers as text."""
    if document and all(isinstance(key, str) and key.isdecimal() for key in document):
        return {int(key): value for key, value in document.items()}
    return document
