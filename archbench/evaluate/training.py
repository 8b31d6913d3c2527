"""How good does one network become when it is trained longer, with weights to take away."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from archbench.bounds import require_within
from archbench.data import Data, DataSet, name_of
from archbench.errors import StorageError, UsageError
from archbench.evaluate.proxy import describe, open_data, teacher_in_words, widest
from archbench.measure.machine import require_device
from archbench.measure.machine_cache import UNREADABLE
from archbench.models import ArchSpec, build, proxy
from archbench.models.network import Written, as_spec
from archbench.models.weights.header import header
from archbench.models.weights.weight_file import write_safetensors
from archbench.progress import Progress
from archbench.study.atomic_file import write_atomically
from archbench.study.study_folder import path_of
from archbench.study.trial import CurvePoint
from archbench.train.checkpoint import read_tensors
from archbench.train.loop import train
from archbench.train.plan import choose_plan
from archbench.train.recipe import Plan, Recipe
from archbench.train.resumable import OnPoint
from archbench.train.step import derived_seed
from archbench.train.teacher import teacher_for

SCHEMA = "archbench.training/1"
DOCUMENT = "training.json"


@dataclass(frozen=True, kw_only=True)
class Weights:
    """Files of a training's best weights, the first of equals, and of its last; its whole curve."""

    best: Path
    last: Path
    points: tuple[CurvePoint, ...]


def train_network(
    written: Written,
    *,
    data: Data,
    epochs: int,
    folder: str | Path,
    resolution: int | None = None,
    stem: str = "keep_grid",
    seed: int = 0,
    device: str = "cpu",
    batch: int = 32,
    mirror: bool = True,
    teacher: str = "none",
    download: bool = False,
    on_point: OnPoint | None = None,
    on_progress: Callable[[int, int], None] | None = None,
    on_note: Callable[[str], None] | None = None,
    on_data: Progress | None = None,
) -> Weights:
    """Trains one network with the loop and recipe of the search, and keeps its weights.

    The same call goes on with an interrupted training in the same folder, bit for bit on the CPU.
    ``written`` is a published name, a spec or a plain document; its classes become the data's.
    ``data`` is a name, a ``DataSet`` or a torch Dataset, see ``archbench.search``.
    ``folder`` gets ``training.json``, ``checkpoint.safetensors`` after each epoch,
    ``best.safetensors`` and ``last.safetensors``; weights hold the spec as JSON.

    ``resolution`` is the network's own, where that is square, by default; at another, ``stem`` is
    what becomes of the first embed, see ``archbench.models.proxy``. ``seed`` is that of weights,
    order and augmentation; ``mirror`` is whether images are mirrored at random where the data
    allow it. ``on_note`` is told first what should be known of the data.

    With the ``teacher`` ``convolutional`` it learns also from the answers of a plain convolutional
    network, which is trained on the same data first; ``on_note`` is told how good it is, and what
    was not as it should be. ``download`` is whether missing data may be fetched from its home.
    ``on_point`` is told each point when its checkpoint is durable; False ends the training there.
    ``on_progress`` is told the steps done and those in all.

    Raises:
        UsageError: The folder holds another training, or an argument cannot be taken.
        SpecError: The network is illegal at this resolution.
        NonFiniteLossError: The training diverged.
        ArchbenchError: The data is missing or cannot be learnt from, or a file not be written.
    """
    require_device(device)
    require_within("epochs", epochs, place="epochs")
    if isinstance(written, nn.Module):
        raise UsageError(
            "a training begins with fresh weights, so those of a network that is built are lost",
            place="network",
            help="give what it is built from, network.spec if archbench.build made it",
        )
    target, folder = as_spec(written), path_of(folder, place="folder")
    side = resolution or _own_side(target)
    name = name_of(data, resolution=side)
    dataset = open_data(name, resolution=side, download=download, progress=on_data)
    spec = proxy(target, resolution=side, num_classes=dataset.num_classes, stem=stem)
    spec.resolved()
    rungs = tuple(range(1, epochs + 1))
    recipe = Recipe(rungs=rungs, batch=batch, seed=seed, mirror=mirror, teacher=teacher)
    facts = describe(dataset, mirror=mirror)
    if on_note:
        for note in facts["data_notes"]:
            on_note(note)
    taught_by = teacher_for(
        dataset, recipe=recipe, device=device, on_progress=on_data, on_note=on_note
    )
    if taught_by and on_note:
        on_note(teacher_in_words(taught_by))
    network = build(spec, seed=derived_seed("weights", seed, 0))
    asked = {
        "schema": SCHEMA,
        "spec": spec.to_document(),
        "digest": spec.digest,
        "data": facts,
        "recipe": recipe.document(),
        "device": device,
        **({"teacher": taught_by.facts()} if taught_by else {}),
    }
    plan = _kept_plan(folder, asked=asked)
    if plan is None:
        plan = choose_plan(network, dataset, width=widest(spec), recipe=recipe, device=device)
        _make(folder)
        kept = json.dumps({**asked, "plan": plan.document()}, indent=2)
        write_atomically(folder / DOCUMENT, kept.encode())
    return _train_to_end(
        network,
        dataset,
        folder=folder,
        recipe=recipe,
        seed=0,
        plan=plan,
        width=widest(spec),
        device=device,
        teacher=taught_by,
        texts=header(spec),
        on_point=on_point,
        on_progress=on_progress,
        on_note=on_note,
    )


def _own_side(spec: ArchSpec) -> int:
    height, width = spec.resolution
    if height != width:
        raise UsageError(
            f"the network's own resolution {height}x{width} is not square",
            place="--resolution",
            help=f"give the side of the images, for example --resolution {min(height, width)}",
        )
    return height


def _kept_plan(folder: Path, *, asked: Mapping[str, Any]) -> Plan | None:
    """The plan of the training that the folder holds, or None where it holds none.

    Raises:
        UsageError: It holds another training.
        StorageError: Its document cannot be read.
    """
    path = folder / DOCUMENT
    try:
        kept = json.loads(path.read_text())
        plan = Plan(**kept.pop("plan"))
    except FileNotFoundError:
        return None
    except UNREADABLE as error:
        raise StorageError(
            f"the training's document cannot be read: {error}",
            place=str(path),
            help="train into another folder, or delete this one",
        ) from error
    wanted = json.loads(json.dumps(asked))
    for document in (wanted, kept):  # notes are about the data, not of them
        document.get("data", {}).pop("data_notes", None)
    differing = [key for key in wanted if kept.get(key) != wanted[key]]
    if differing:
        raise UsageError(
            f"the folder holds another training: its {', '.join(differing)} is different",
            place=str(folder),
            help="train into another folder, or as this one was begun",
        )
    return plan


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        message = f"cannot make the folder: {error.strerror}"
        raise StorageError(message, place=str(folder)) from error


def _train_to_end(
    network: nn.Module,
    dataset: DataSet,
    *,
    folder: Path,
    texts: Mapping[str, str],
    on_point: OnPoint | None = None,
    on_note: Callable[[str], None] | None = None,
    **how: Any,
) -> Weights:
    """Trains as ``train`` does and keeps the best and the last weights, with texts in the header.

    An interrupted training in the same folder is gone on with. Each point is told when the best
    weights are written, a note also when those of a training that was interrupted are lost.
    """
    _make(folder)
    checkpoint, best = folder / "checkpoint.safetensors", folder / "best.safetensors"
    texts = {**texts, "data": f"{dataset.name} {dataset.digest}"}
    reached = _reached(best) if checkpoint.exists() else None

    def keep_best(point: CurvePoint, path: Path | None, sha256: str | None) -> bool | None:
        nonlocal reached
        if reached is None or point.accuracy > reached[1]:
            _write(best, network, point, texts=texts)
            reached = point.epoch, point.accuracy
        return on_point(point, path, sha256) if on_point else None

    points = train(
        network, dataset, checkpoint=checkpoint, on_point=keep_best, on_note=on_note, **how
    )
    highest = max(points, key=lambda point: point.accuracy)
    if on_note and reached and reached[1] < highest.accuracy:
        on_note(f"the best weights, of epoch {highest.epoch}, are lost; kept: epoch {reached[0]}")
    last = folder / "last.safetensors"
    _write(last, network, points[-1], texts=texts)
    return Weights(best=best, last=last, points=points)


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
