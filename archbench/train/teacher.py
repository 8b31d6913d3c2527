"""Who teaches a network by its answers: a plain one, trained once on the same data and kept.

Shapes: B batch, C channels, H W map, K classes.
"""

import copy
from collections.abc import Callable
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from archbench.cache_folder import cache_folder
from archbench.data import DataSet
from archbench.digest import sha256_of
from archbench.errors import StorageError
from archbench.models.weights.weight_file import content_sha256
from archbench.progress import Progress, no_progress
from archbench.study.atomic_file import writing_alone
from archbench.train.checkpoint import (
    Checkpoint,
    read_checkpoint,
    remove_checkpoints,
    write_checkpoint,
)
from archbench.train.loop import accuracy, train
from archbench.train.recipe import Plan, Recipe
from archbench.train.step import Teacher

_FORMAT = "archbench.teacher/1"
_PLAN = Plan(memory_format="channels_last")
_IMAGES_SEEDED = 24_576  # images that a training sees in all: 12 epochs of 2,048
_FIRST_WIDTH, _LAST_WIDTH = 32, 256
_LAST_SIDE = 4  # pixels of the map that is pooled, about
_FEWEST_EPOCHS, _MOST_EPOCHS = 4, 60


class ConvolutionalNetwork(nn.Module):
    """Pairs of 3x3 convolutions, each with batch norm and ReLU; the first of a pair halves.

    As many pairs as bring the images down to maps of about 4 pixels, 32 channels in the first and
    twice as many in each that follows, up to 256; then the mean over the map and a classifier.
    No attention: as a teacher it knows what its students must learn, that near pixels belong
    together (Touvron et al. 2021, arXiv:2012.12877, sec. 5.2, found convolutional teachers best).

    Takes images (B, 3, H, W), gives logits (B, K).
    """

    def __init__(self, *, resolution: int, num_classes: int, seed: int) -> None:
        super().__init__()
        self.widths = [_FIRST_WIDTH]
        while resolution >> (len(self.widths) + 1) >= _LAST_SIDE:
            self.widths.append(min(2 * self.widths[-1], _LAST_WIDTH))
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            self.stages = nn.Sequential()
            for before, width in pairwise((3, *self.widths)):
                units = (*_unit(before, width, stride=2), *_unit(width, width, stride=1))
                self.stages.append(nn.Sequential(*units))
            self.classifier = nn.Linear(self.widths[-1], num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, K) of images (B, 3, H, W)."""
        return self.classifier(self.stages(images).mean(dim=(2, 3)))


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

    There is one for each data set and seed. It is trained with the recipe's defaults for 4 to 60
    epochs, the more the fewer images there are (a data set of 2,048 is seen 12 times). On the CPU
    its weights are a function of data, seed and the number of threads. An interrupted training is
    gone on with; of two processes that want the same, the second one waits.

    The recipe is the students'; its seed is the teacher's. By default teachers are kept in
    ``teachers`` of the user's cache. ``on_note`` is told in words that a damaged one was trained
    again.

    Raises:
        StorageError: The cache cannot be read or written.
        NonFiniteLossError: Its training diverged.
    """
    if recipe.teacher == "none":
        return None
    where = torch.device(device)
    home = folder or cache_folder() / "teachers"
    identity = _identity(dataset, recipe=recipe, device=where)
    name = f"{recipe.teacher}-{dataset.resolution}px-{sha256_of(identity)[:16]}.safetensors"
    path = home / name
    network = ConvolutionalNetwork(
        resolution=dataset.resolution, num_classes=dataset.num_classes, seed=recipe.seed
    )
    with ExitStack() as stack:
        try:
            home.mkdir(parents=True, exist_ok=True)
            alone = writing_alone(path, doing="trains the same teacher", on_progress=on_progress)
            stack.enter_context(alone)
        except OSError as error:
            raise StorageError(
                f"cannot keep a teacher: {error.strerror}",
                place=str(home),
                help="set ARCHBENCH_CACHE to a folder that can be written",
            ) from error
        kept = _kept(path, on_note=on_note)
        if kept is None:
            own = copy.deepcopy(network)
            _train(own, dataset, path=path, identity=identity, device=where, progress=on_progress)
            kept = read_checkpoint(path)
            assert kept is not None, "it has just been written"
    network.load_state_dict(dict(kept.tensors))
    return Teacher(
        kind=recipe.teacher,
        network=network.to(where).to(memory_format=torch.channels_last).eval(),
        sha256=kept.document["weights_sha256"],
        accuracy=kept.document["accuracy"],
        agreement=kept.document["agreement"],
    )


def _identity(dataset: DataSet, *, recipe: Recipe, device: torch.device) -> dict[str, Any]:
    return {
        "format": _FORMAT,
        "kind": recipe.teacher,
        "data": dataset.digest,
        "recipe": _recipe(len(dataset.train), seed=recipe.seed).document(),
        "plan": _PLAN.name,
        "device": device.type,
        "threads": torch.get_num_threads() if device.type == "cpu" else 0,
    }


def _recipe(num_images: int, *, seed: int) -> Recipe:
    epochs = min(max(round(_IMAGES_SEEDED / num_images), _FEWEST_EPOCHS), _MOST_EPOCHS)
    return Recipe(rungs=(epochs,), batch=64, seed=seed)


def _kept(path: Path, *, on_note: Callable[[str], None] | None) -> Checkpoint | None:
    """What was written at a path, or None; a damaged file is removed."""
    try:
        return read_checkpoint(path)
    except StorageError as error:
        if on_note:
            on_note(f"the teacher is trained again: {error.message}")
        remove_checkpoints(path)
        return None


def _train(
    network: ConvolutionalNetwork,
    dataset: DataSet,
    *,
    path: Path,
    identity: dict[str, Any],
    device: torch.device,
    progress: Progress | None,
) -> None:
    """Writes the trained network, with its accuracies, to a path."""
    seed, unfinished = identity["recipe"]["seed"], path.with_suffix(".unfinished")
    tell = progress or no_progress
    train(
        network,
        dataset,
        recipe=Recipe.from_document(identity["recipe"]),
        seed=seed,
        plan=_PLAN,
        width=network.widths[-1],
        device=device,
        checkpoint=unfinished,
        on_progress=lambda done, total: tell("training the teacher, steps", done, total),
    )
    tensors, layout = network.eval().state_dict(), _PLAN.memory_format
    document = {
        **identity,
        "weights_sha256": content_sha256(tensors),
        "accuracy": accuracy(network, dataset.validation, device=device, memory_format=layout),
        "agreement": accuracy(network, dataset.train, device=device, memory_format=layout),
    }
    write_checkpoint(path, tensors=tensors, document=document)
    remove_checkpoints(unfinished)


def _unit(before: int, width: int, *, stride: int) -> tuple[nn.Module, ...]:
    convolution = nn.Conv2d(before, width, 3, stride=stride, padding=1, bias=False)
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
    return convolution, nn.BatchNorm2d(width), nn.ReLU(inplace=True)
