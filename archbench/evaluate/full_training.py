"""How is a training by a full recipe made ready: its recipe, its images, its teacher?"""

import math
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from archbench.data.image_preparation import Preparation
from archbench.data.stream import HeldOutShare, Stream, open_stream
from archbench.evaluate.given_teacher import given_teacher
from archbench.evaluate.held_out import HeldOut
from archbench.evaluate.kept_training import begun_document
from archbench.evaluate.proxy import describe, teacher_in_words
from archbench.evaluate.training_request import Training, TrainingRequest
from archbench.study.environment import usable_cores
from archbench.train.full_loop import train_fully
from archbench.train.full_recipe import FullRecipe
from archbench.train.processes import from_first, rank, world

_MOST_WORKERS = 8  # that this process takes unasked


def full_recipe(
    name: str | Path,
    *,
    settings: Sequence[str] = (),
    epochs: int | None = None,
    batch: int | None = None,
    teacher: str | None = None,
) -> FullRecipe:
    """The recipe of a name or a YAML file, with what is asked beside it, and then with settings.

    These are texts ``recipe.FIELD=VALUE``.

    Raises:
        UsageError: There is no such recipe or field, or a value cannot be.
        MissingError: There is no such file.
    """
    asked = {"epochs": epochs, "batch": batch}
    known = [f"recipe.{name}={value}" for name, value in asked.items() if value is not None]
    recipe = FullRecipe.load(name, [*known, *settings])
    return recipe if teacher is None else replace(recipe, teacher=teacher)


def full_training(request: TrainingRequest, *, recipe: FullRecipe, stack: ExitStack) -> Training:
    """A training by a full recipe; the stack closes its images.

    Raises:
        ArchbenchError: See ``archbench.evaluate.training.train_network``.
    """
    device = request.device
    stream = stack.enter_context(_stream(request, recipe=recipe))
    data = describe(stream)
    for note in data["data_notes"]:
        request.say(note)
    network, begun = request.network(num_classes=stream.num_classes, changed=recipe.with_drop_path)
    teacher = given_teacher(recipe.teacher, stream=stream, seen=recipe.augmentation, device=device)
    if teacher:
        request.say(teacher_in_words(teacher))
    asked = {
        **begun,
        "data": data,
        "recipe": recipe.document(),
        "seed": request.seed,
        "device": request.device.partition(":")[0],
        **({"teacher": teacher.facts()} if teacher else {}),
    }
    facts = from_first(
        lambda: begun_document(request.folder, asked=asked, more=lambda: {"processes": world()}),
        device=torch.device(device),
    )
    return request.training(
        network,
        partial(train_fully, network, stream, recipe=recipe, seed=request.seed, teacher=teacher),
        facts=facts,
        validation=_held_out(stream.validation, stream=stream, recipe=recipe),
        held_out=_held_out(stream.test, stream=stream, recipe=recipe),
    )


def _stream(request: TrainingRequest, *, recipe: FullRecipe) -> Stream:
    workers = request.workers
    if workers is None:
        workers = min(_MOST_WORKERS, math.ceil(usable_cores() / world()))
    return open_stream(
        request.data_name(),
        resolution=request.side(),
        augmentation=recipe.augmentation,
        batch=recipe.step_batch(world()),
        seed=request.seed,
        workers=workers,
        rank=rank(),
        world=world(),
        device=request.device,
        download=request.download,
        progress=request.on_data,
    )


def _held_out(share: HeldOutShare, *, stream: Stream, recipe: FullRecipe) -> HeldOut:
    how = recipe.augmentation
    preparation = Preparation(
        resolution=stream.resolution,
        resize=math.floor(stream.resolution / how.crop_share),
        mean=how.mean,
        std=how.std,
        class_names=stream.class_names,
    )
    return HeldOut(
        batches=share.batches, num_images=len(share), preparation=preparation, path=share.path
    )
