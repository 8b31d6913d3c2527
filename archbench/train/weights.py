"""How is one network trained to the end, with weights to take away."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from archbench.data import DataSet
from archbench.errors import StorageError
from archbench.study.trial import CurvePoint
from archbench.train.checkpoint import read_tensors, write_tensors
from archbench.train.loop import OnPoint, train
from archbench.train.plan import Plan
from archbench.train.recipe import Recipe
from archbench.train.step import Teacher


@dataclass(frozen=True, kw_only=True)
class Weights:
    """What a training left behind.

    Attributes:
        best: Weights of the point of the highest accuracy, the first of equals; safetensors.
        last: Weights at the end; safetensors.
        points: The whole curve.
    """

    best: Path
    last: Path
    points: tuple[CurvePoint, ...]


def rungs_every(every: int, *, epochs: int) -> tuple[int, ...]:
    """Rungs after every so many epochs, and one at the end."""
    return tuple(sorted({*range(every, epochs, every), epochs}))


def train_to_end(
    network: nn.Module,
    dataset: DataSet,
    *,
    folder: Path,
    recipe: Recipe,
    plan: Plan,
    width: int,
    seed: int = 0,
    device: str | torch.device = "cpu",
    teacher: Teacher | None = None,
    metadata: Mapping[str, str] | None = None,
    on_point: OnPoint | None = None,
    on_progress: Callable[[int, int], None] | None = None,
    on_note: Callable[[str], None] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Weights:
    """Trains as ``train`` does and writes the best and the last weights into a folder.

    An interrupted training in the same folder is gone on with.

    Args:
        network: See ``train``, as for the arguments that are not named here.
        dataset: See ``train``.
        folder: Made if it is not there; gets ``checkpoint.safetensors``, ``best.safetensors`` and
            ``last.safetensors``.
        recipe: See ``train``.
        plan: See ``train``.
        width: See ``train``.
        seed: See ``train``.
        device: See ``train``.
        teacher: See ``train``.
        metadata: Text to stand in the header of the weights, for example the spec; ``epoch``,
            ``accuracy`` and ``data`` are added.
        on_point: See ``train``; by then the best weights are written.
        on_progress: See ``train``.
        on_note: See ``train``; also told when the best weights of a training that was interrupted
            are lost.
        clock: See ``train``.

    Raises:
        StorageError: A file cannot be written, or only damaged checkpoints are left.
        ArchbenchError: As ``train`` does.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"cannot make the folder: {error.strerror}", place=str(folder)
        ) from error
    checkpoint, best = folder / "checkpoint.safetensors", folder / "best.safetensors"
    texts = {**(metadata or {}), "data": f"{dataset.name} {dataset.digest}"}
    reached = _reached(best) if checkpoint.exists() else None

    def keep_best(point: CurvePoint, path: Path | None, sha256: str | None) -> bool | None:
        nonlocal reached
        if reached is None or point.accuracy > reached[1]:
            _write(best, network, point, texts=texts)
            reached = point.epoch, point.accuracy
        return on_point(point, path, sha256) if on_point else None

    points = train(
        network,
        dataset,
        recipe=recipe,
        seed=seed,
        plan=plan,
        width=width,
        device=device,
        teacher=teacher,
        checkpoint=checkpoint,
        on_point=keep_best,
        on_progress=on_progress,
        on_note=on_note,
        clock=clock,
    )
    highest = max(points, key=lambda point: point.accuracy)
    if on_note and reached and reached[1] < highest.accuracy:
        on_note(f"the best weights, of epoch {highest.epoch}, are lost; kept: epoch {reached[0]}")
    last = folder / "last.safetensors"
    _write(last, network, points[-1], texts=texts)
    return Weights(best=best, last=last, points=points)


def _write(path: Path, network: nn.Module, point: CurvePoint, *, texts: Mapping[str, str]) -> None:
    found = {"epoch": json.dumps(point.epoch), "accuracy": json.dumps(point.accuracy)}
    write_tensors(path, network.state_dict(), metadata={**texts, **found})


def _reached(path: Path) -> tuple[int, float] | None:
    """Epoch and accuracy of weights that were written before; None if there are no sound ones."""
    try:
        _, metadata, _ = read_tensors(path)
        return json.loads(metadata["epoch"]), json.loads(metadata["accuracy"])
    except (StorageError, KeyError, ValueError):
        return None
