"""What is each study of a folder, in a few facts, whatever its state?"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from archbench.analysis.study import StudyReader
from archbench.analysis.study_header import CONFIRMED, source_in_words, space_typed
from archbench.errors import StorageError
from archbench.study.connection import read
from archbench.study.keeping import size_bytes
from archbench.study.measurement import Conditions
from archbench.study.objective import objective_value
from archbench.study.study_folder import (
    CHECKPOINTS,
    DATABASE,
    REPORT,
    RETRAINED,
    is_owned,
    studies_in,
)
from archbench.study.trial import Snapshot

SCHEMA = "archbench.studies/1"


def listed(results: Path) -> dict[str, Any]:
    """All studies of a folder as a JSON document, the newest last; it need not be there."""
    found, unread = [], []
    for path in studies_in(results):
        try:
            found.append(facts(path))
        except StorageError as error:
            unread.append({"study": path.name, "error": error.message})
    found.sort(key=lambda study: str(study["created"]))
    return {
        "schema": SCHEMA,
        "results": str(results),
        "studies": found,
        "unreadable": unread,
    }


def facts(path: Path) -> dict[str, Any]:
    """A few facts of a study, JSON-able; ``best`` is the most accurate design of its front.

    Raises:
        StorageError: There is no study, or it cannot be read.
    """
    return _facts(path, _snapshot(path))


def _snapshot(path: Path) -> Snapshot:
    if not (path / DATABASE).is_file():
        known = ", ".join(one.name for one in studies_in(path.parent))
        help_ = f"studies beside it: {known or 'none'}"
        raise StorageError("there is no study here", place=str(path), help=help_)
    return read(path / DATABASE)


def _facts(path: Path, snapshot: Snapshot) -> dict[str, Any]:
    header = snapshot.header
    is_counted = snapshot.kind == "search" and not header.get("epochs")
    return {
        "study": path.name,
        "path": str(path),
        "kind": snapshot.kind,
        "state": _state(path, snapshot),
        "trials": len(snapshot.trials),
        "wanted": header.get("trials") if is_counted else None,
        **_found(path, snapshot),
        "data": header.get("proxy", {}).get("data"),
        "created": header.get("created"),
        "bytes": size_bytes(path),
    }


def _found(path: Path, snapshot: Snapshot) -> dict[str, Any]:
    """The size of the front and its most accurate design, of a search."""
    study = StudyReader(path, snapshot=snapshot)
    front = study.front_records() if snapshot.kind == "search" else []
    if not front:
        return {"front": 0, "best": None}
    best = max(front, key=lambda record: record.proxy_accuracy or 0.0)
    values = {name: objective_value(best, name) for name in study.rule.objectives}
    return {"front": len(front), "best": {"trial": best.number, **values}}


def description(path: Path) -> dict[str, Any]:
    """What ``facts`` tells, and what a study was searched under; JSON-able.

    Raises:
        StorageError: There is no study, or it cannot be read.
    """
    snapshot = _snapshot(path)
    header = snapshot.header
    sizes = {
        "database": sum(file.stat().st_size for file in path.glob(f"{DATABASE}*")),
        "weights": size_bytes(path / CHECKPOINTS),
        "report": size_bytes(path / REPORT),
        "trained in full": size_bytes(path / RETRAINED),
    }
    sizes["other files"] = max(0, size_bytes(path) - sum(sizes.values()))
    conditions, machine = header.get("conditions"), header.get("environment") or {}
    kept = ("cpu", "gpu", "system")
    return {
        "schema": "archbench.study-description/1",
        **_facts(path, snapshot),
        "counts": _counts(snapshot),
        "question": header.get("question"),
        "space": space_typed(header),
        "target": str(Conditions.from_document(conditions)) if conditions else None,
        "machine": ", ".join(str(machine[key]) for key in kept if machine.get(key)),
        "sources": list(map(source_in_words, header.get("sources", ()))),
        "command": header.get("command"),
        "sizes": sizes,
    }


def _state(path: Path, snapshot: Snapshot) -> str:
    """Running where a process owns it; done where nothing of its budget is left; else parked."""
    if is_owned(path):
        return "running"
    header = snapshot.header
    if snapshot.kind != "search":
        trainings = [one for record in snapshot.trials for one in record.trainings]
        ended = [one for one in trainings if one.failure or one.accuracy is not None]
        return "done" if trainings and len(ended) == len(trainings) else "parked"
    open_trials = any(record.state == "running" for record in snapshot.trials)
    wanted = header.get("trials")
    is_over = CONFIRMED in header or (wanted is not None and len(snapshot.trials) >= wanted)
    return "parked" if open_trials or not is_over else "done"


def _counts(snapshot: Snapshot) -> Mapping[str, int]:
    if snapshot.kind == "search":
        return StudyReader(Path(), snapshot=snapshot).counts()
    trainings = [one for record in snapshot.trials for one in record.trainings]
    failed = sum(one.failure is not None for one in trainings)
    done = sum(one.accuracy is not None for one in trainings)
    return {"trained": done, "failed": failed, "to come": len(trainings) - done - failed}
