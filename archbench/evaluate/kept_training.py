"""What does a training leave in its folder, and is it the one that was begun there?"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from torch import nn

from archbench.errors import StorageError, UsageError
from archbench.measure.machine import capture_environment
from archbench.measure.machine_cache import UNREADABLE
from archbench.models.weights.weight_file import write_safetensors
from archbench.study.atomic_file import make_folder, write_atomically
from archbench.study.trial import CurvePoint
from archbench.train.checkpoint import read_tensors
from archbench.train.processes import rank
from archbench.train.resumable import OnPoint

DOCUMENT = "training.json"
SCHEMA = "archbench.training/1"

Loop = Callable[[Path, OnPoint], tuple[CurvePoint, ...]]
"""Trains from a checkpoint, if there is one, and tells each point when that is durable."""


@dataclass(frozen=True, kw_only=True)
class Kept:
    """Files of a training's best weights, the first of equals, and of its last; its whole curve.

    ``ended`` says whether it came to its end, and was not ended from outside; ``best_epoch`` is
    that of the best weights that are there.
    """

    best: Path
    last: Path
    points: tuple[CurvePoint, ...]
    best_epoch: int
    ended: bool


def begun_document(
    folder: Path, *, asked: Mapping[str, Any], more: Callable[[], Mapping[str, Any]]
) -> dict[str, Any]:
    """The document of the training in a folder, which is made there if it holds none yet.

    It says what was asked, ``more`` that is found out before the first step, when the training was
    begun, and on which machine.

    Raises:
        UsageError: The folder holds another training.
        StorageError: Its document cannot be read, or not be written.
    """
    path, asked = folder / DOCUMENT, {"schema": SCHEMA, **asked}
    if (kept := _read(path)) is None:
        created = datetime.now().astimezone().isoformat(timespec="seconds")
        environment = capture_environment().document()
        found = {**more(), "created": created, "environment": environment}
        text = json.dumps({**asked, **found}, indent=2)
        make_folder(folder)
        write_atomically(path, text.encode())
        made: dict[str, Any] = json.loads(text)
        return made
    documents = []
    for document in (json.loads(json.dumps(asked)), kept):  # notes are about the data, not of them
        data = {key: value for key, value in document["data"].items() if key != "data_notes"}
        documents.append({**document, "data": data})
    wanted, there = documents
    differing = [key for key in wanted if there.get(key) != wanted[key]]
    if differing:
        raise UsageError(
            f"the folder holds another training: its {', '.join(differing)} is different",
            place=str(folder),
            help="train into another folder, or as this one was begun",
        )
    return kept


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Says in words that what is read from a training's document is damaged."""
    try:
        yield
    except UNREADABLE as error:
        raise StorageError(
            f"the training's document cannot be read: {error}",
            place=str(path),
            help="train into another folder, or delete this one",
        ) from error


def train_to_end(
    network: nn.Module,
    loop: Loop,
    *,
    folder: Path,
    texts: Mapping[str, str],
    on_point: OnPoint | None = None,
    on_note: Callable[[str], None] | None = None,
) -> Kept:
    """Trains a network and keeps the best and the last weights, with texts in their headers.

    An interrupted training in the same folder is gone on with. Each point is told when the best
    weights are written, a note also when those of a training that was interrupted are lost. Of
    several processes the first one writes.
    """
    make_folder(folder)
    checkpoint, best = folder / "checkpoint.safetensors", folder / "best.safetensors"
    reached = _reached(best) if checkpoint.exists() else None
    ended = True

    def keep_best(point: CurvePoint, path: Path | None, sha256: str | None) -> bool | None:
        nonlocal reached, ended
        if reached is None or point.accuracy > reached[1]:
            _write(best, network, point, texts=texts)
            reached = point.epoch, point.accuracy
        goes_on = on_point(point, path, sha256) if on_point else None
        ended = goes_on is not False
        return goes_on

    points = loop(checkpoint, keep_best)
    highest = max(points, key=lambda point: point.accuracy)
    epoch, accuracy = reached or (highest.epoch, highest.accuracy)
    if on_note and rank() == 0 and accuracy < highest.accuracy:
        on_note(f"the best weights, of epoch {highest.epoch}, are lost; kept: epoch {epoch}")
    last = folder / "last.safetensors"
    if rank() == 0:
        _write(last, network, points[-1], texts=texts)
    return Kept(best=best, last=last, points=points, best_epoch=epoch, ended=ended)


def _read(path: Path) -> dict[str, Any] | None:
    if not path.exists():
        return None
    with readable(path):
        kept: dict[str, Any] = json.loads(path.read_text())
        return {**kept, "data": dict(kept["data"])}


def _write(path: Path, network: nn.Module, point: CurvePoint, *, texts: Mapping[str, str]) -> None:
    found = {"epoch": json.dumps(point.epoch), "accuracy": json.dumps(point.accuracy)}
    write_safetensors(path, network.state_dict(), metadata={**texts, **found}, is_alone=True)


def _reached(path: Path) -> tuple[int, float] | None:
    """Epoch and accuracy of weights that were written before; None if there are no sound ones."""
    try:
        _, metadata, _ = read_tensors(path)
        return json.loads(metadata["epoch"]), json.loads(metadata["accuracy"])
    except (StorageError, KeyError, ValueError):
        return None
