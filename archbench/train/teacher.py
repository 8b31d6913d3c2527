"""Who teaches a network by its answers: a plain one, trained once on the same data and kept."""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from archbench.data import DataSet
from archbench.data.cache import cache_folder
from archbench.errors import StorageError
from archbench.train.accuracy import accuracy
from archbench.train.checkpoint import (
    Checkpoint,
    content_sha256,
    previous_path,
    read_checkpoint,
    write_checkpoint,
)
from archbench.train.convolutional import ConvolutionalNetwork
from archbench.train.loop import train
from archbench.train.plan import Plan
from archbench.train.recipe import Recipe

Progress = Callable[[str, int, int], None]

_FORMAT = "archbench.teacher/1"
_PLAN = Plan(memory_format="channels_last")
_IMAGES_SEEDED = 24_576  # images that a training sees in all: 12 epochs of 2,048
_FEWEST_EPOCHS, _MOST_EPOCHS = 4, 60


@dataclass(frozen=True, kw_only=True)
class Teacher:
    """A trained network whose answers others learn.

    Attributes:
        kind: An entry of ``archbench.train.recipe.TEACHERS``.
        network: In evaluation; nobody trains it further.
        sha256: Of its weights, for the identity of what it teaches.
        accuracy: Share of the validation images that it classifies rightly.
        agreement: Share of the training images, as they are, on which its answer is the label.
            Near 1 there is little in its answers that the labels do not say.
    """

    kind: str
    network: nn.Module
    sha256: str
    accuracy: float
    agreement: float

    @torch.no_grad()
    def answers(self, images: Tensor) -> Tensor:
        """The class (B,) that it takes each of the images (B, 3, H, W), normalised, to be."""
        found: Tensor = self.network(images).argmax(dim=1)
        return found

    def facts(self) -> dict[str, Any]:
        """What a study's header keeps of it, JSON-able."""
        return {
            "kind": self.kind,
            "sha256": self.sha256,
            "accuracy": self.accuracy,
            "agreement": self.agreement,
        }


def teacher_for(
    dataset: DataSet,
    *,
    recipe: Recipe,
    device: str | torch.device = "cpu",
    folder: Path | None = None,
    on_progress: Progress | None = None,
    on_note: Callable[[str], None] | None = None,
) -> Teacher | None:
    """The teacher that a recipe names, from the cache if it lies there; None if it names none.

    There is one for each data set and seed of the recipe. It is trained with the recipe's defaults
    for 4 to 60 epochs, the more the fewer images there are (a data set of 2,048 is seen 12 times).
    On the CPU its weights are a function of data, seed and the number of threads. An interrupted
    training is gone on with; of two processes that want the same, the second one waits.

    Args:
        dataset: What it learns from, and what it is to teach on.
        recipe: Of the students; its seed is the teacher's.
        device: Where it is trained and answers.
        folder: Where teachers are kept; ``teachers`` in the user's cache by default.
        on_progress: Told what is being done, how much of it, and of how much.
        on_note: Told in words that a damaged one was trained again.

    Raises:
        StorageError: The cache cannot be read or written.
        NonFiniteLossError: Its training diverged.
    """
    if recipe.teacher == "none":
        return None
    where = torch.device(device)
    home = folder or cache_folder() / "teachers"
    identity = _identity(dataset, kind=recipe.teacher, seed=recipe.seed, device=where)
    key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
    path = home / f"{recipe.teacher}-{dataset.resolution}px-{key}.safetensors"
    with _locked(path):
        kept = _kept(path, on_note=on_note)
        if kept is None:
            _train(path, dataset, identity=identity, device=where, on_progress=on_progress)
            kept = _kept(path, on_note=on_note)
            assert kept is not None, "it has just been written"
    network = _network(dataset, seed=recipe.seed)
    network.load_state_dict(dict(kept.tensors))
    return Teacher(
        kind=recipe.teacher,
        network=network.to(where).to(memory_format=torch.channels_last).eval(),
        sha256=kept.document["weights_sha256"],
        accuracy=kept.document["accuracy"],
        agreement=kept.document["agreement"],
    )


def _identity(dataset: DataSet, *, kind: str, seed: int, device: torch.device) -> dict[str, Any]:
    return {
        "format": _FORMAT,
        "kind": kind,
        "data": dataset.digest,
        "recipe": _recipe(len(dataset.train), seed=seed).document(),
        "plan": f"{_PLAN.precision} {_PLAN.memory_format}",
        "device": device.type,
        "threads": torch.get_num_threads() if device.type == "cpu" else 0,
    }


def _recipe(num_images: int, *, seed: int) -> Recipe:
    epochs = min(max(round(_IMAGES_SEEDED / num_images), _FEWEST_EPOCHS), _MOST_EPOCHS)
    return Recipe(rungs=(epochs,), batch=64, seed=seed)


def _network(dataset: DataSet, *, seed: int) -> ConvolutionalNetwork:
    return ConvolutionalNetwork(
        resolution=dataset.resolution, num_classes=dataset.num_classes, seed=seed
    )


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Holds the right to make a teacher; the kernel gives it back even after a kill."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.with_suffix(".lock").open("wb")
    except OSError as error:
        raise StorageError(
            f"cannot keep a teacher: {error.strerror}",
            place=str(path.parent),
            help="set ARCHBENCH_CACHE to a folder that can be written",
        ) from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _kept(path: Path, *, on_note: Callable[[str], None] | None) -> Checkpoint | None:
    """What was written at a path, or None; a damaged file is removed."""
    try:
        return read_checkpoint(path)
    except StorageError as error:
        if on_note:
            on_note(f"the teacher is trained again: {error.message}")
        for file in (path, previous_path(path)):
            file.unlink(missing_ok=True)
        return None


def _train(
    path: Path,
    dataset: DataSet,
    *,
    identity: dict[str, Any],
    device: torch.device,
    on_progress: Progress | None,
) -> None:
    seed = identity["recipe"]["seed"]
    network = _network(dataset, seed=seed)
    progress = on_progress or (lambda what, done, total: None)
    unfinished = path.with_suffix(".unfinished")
    train(
        network,
        dataset,
        recipe=_recipe(len(dataset.train), seed=seed),
        seed=seed,
        plan=_PLAN,
        width=network.widths[-1],
        device=device,
        checkpoint=unfinished,
        on_progress=lambda done, total: progress("training the teacher, step", done, total),
    )
    network.eval()
    tensors = network.state_dict()
    document = {
        **identity,
        "weights_sha256": content_sha256(tensors),
        "accuracy": accuracy(
            network, dataset.validation, device=device, memory_format=_PLAN.memory_format
        ),
        "agreement": accuracy(
            network, dataset.train, device=device, memory_format=_PLAN.memory_format
        ),
    }
    write_checkpoint(path, tensors=tensors, document=document)
    for file in (unfinished, previous_path(unfinished)):
        file.unlink(missing_ok=True)
