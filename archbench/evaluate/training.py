"""How good does one network become when it is trained longer, with weights to take away."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from archbench.bounds import is_number, require_within
from archbench.data import Data
from archbench.errors import UsageError, unknown_name
from archbench.evaluate.full_training import full_recipe, full_training
from archbench.evaluate.held_out import HeldOutResult, held_out, held_out_result
from archbench.evaluate.kept_training import (
    DOCUMENT,
    SCHEMA,
    begun_document,
    readable,
    train_to_end,
)
from archbench.evaluate.proxy import describe, open_data, teacher_in_words, widest
from archbench.evaluate.training_request import Training, TrainingRequest
from archbench.measure.machine import require_device
from archbench.models import ArchSpec, as_spec, load_weights
from archbench.models.network import Written
from archbench.progress import Progress, no_progress
from archbench.study.study_folder import path_of
from archbench.study.trial import CurvePoint
from archbench.train.full_recipe import FullRecipe
from archbench.train.loop import train
from archbench.train.plan import choose_plan
from archbench.train.processes import joined, rank, world
from archbench.train.recipe import Plan, Recipe
from archbench.train.resumable import CHECKPOINT_EVERY_S, OnPoint
from archbench.train.teacher import teacher_for
from archbench.yaml_document import read_setting

EPOCHS, BATCH = 30, 32
_SETTINGS = (
    *("peak_rate", "reference_width", "rate_power", "weight_decay", "warmup", "label_smoothing"),
    *("clip", "shift", "teacher_share", "balance"),
)
"""Fields of the short recipe that have no argument of their own."""


@dataclass(frozen=True, kw_only=True)
class Weights:
    """Files of a training's best weights, the first of equals, and of its last; its whole curve.

    The network is what was asked for, the facts what was trained, on what and how, JSON-able.
    ``validated`` and ``tested`` are what the best weights, of ``best_epoch``, make of the images
    to validate on and of the held-out ones; None where ``on_point`` ended the training.
    """

    best: Path
    last: Path
    points: tuple[CurvePoint, ...]
    best_epoch: int
    network: ArchSpec
    facts: Mapping[str, Any]
    validated: HeldOutResult | None
    tested: HeldOutResult | None

    def document(self) -> dict[str, Any]:
        """All that was found, JSON-able: the schema ``archbench.training/1``."""
        best = max(self.points, key=lambda point: point.accuracy)
        return {
            "schema": SCHEMA,
            "network": self.network.name,
            "digest": self.network.digest,
            "data": self.facts["data"]["data"],
            "accuracy": self.points[-1].accuracy,
            "best_accuracy": best.accuracy,
            "best_epoch": best.epoch,
            "curve": [asdict(point) for point in self.points],
            "files": {"best": str(self.best), "last": str(self.last)},
            "spec": self.network.to_document(),
            "training": {key: self.facts[key] for key in self.facts if key != "schema"},
            "test": {"epoch": self.best_epoch, **self.tested.document()} if self.tested else None,
        }


def train_network(
    written: Written,
    *,
    data: Data,
    folder: str | Path,
    recipe: str | Path | FullRecipe = "short",
    settings: Sequence[str] = (),
    epochs: int | None = None,
    resolution: int | None = None,
    stem: str | None = None,
    seed: int = 0,
    device: str = "cpu",
    batch: int | None = None,
    teacher: str | None = None,
    weights: str | Path | None = None,
    workers: int | None = None,
    checkpoint_every_s: float = CHECKPOINT_EVERY_S,
    download: bool = False,
    on_point: OnPoint | None = None,
    on_progress: Callable[[int, int], None] | None = None,
    on_note: Callable[[str], None] | None = None,
    on_data: Progress | None = None,
) -> Weights:
    """Trains one network, keeps its weights, and tests the best of them once at the end.

    The same call goes on with an interrupted training in the same folder, bit for bit on the CPU.
    A full recipe trains in all the processes that torchrun started; the first one writes, tells
    and tests.

    Args:
        written: A published name, a spec or a plain document; its classes become the data's.
        data: A name, a ``DataSet`` or a torch Dataset, see ``archbench.search``.
        folder: Gets ``training.json``, ``checkpoint.safetensors`` after each epoch,
            ``best.safetensors`` and ``last.safetensors``; weights hold the spec as JSON.
        recipe: ``short``, that of searches with their loop, 30 epochs of batches of 32; or a full
            one: a name (``levit``, ``cvt``, ``deit``, ``scratch``, ``finetune``), a YAML file or a
            ``FullRecipe``, whose epochs and batch are its own by default.
        settings: Texts ``recipe.FIELD=VALUE``.
        epochs: In place of the recipe's.
        resolution: By default the network's own, where that is square.
        stem: What becomes of the first embed at another resolution, see
            ``archbench.models.proxy``: ``keep_grid`` by default, and ``as_is`` with ``weights``.
        seed: Of weights, order and augmentation.
        device: ``cpu`` or ``cuda``.
        batch: Images of a step, of all processes together, in place of the recipe's.
        teacher: A network from whose answers it learns, too: ``convolutional``, for the short
            recipe, is a plain one that is trained on the same data first; for full ones see
            ``archbench.evaluate.given_teacher``.
        weights: A file to begin with. Its position tables are interpolated where the resolution is
            another; where its classes are others than the data's, the classifier begins anew.
        workers: Processes that read the images of a full recipe from their files.
        checkpoint_every_s: Seconds, or more, between checkpoints within an epoch.
        download: Fetch missing data from their home.
        on_point: Is told each point when its checkpoint is durable; False ends the training there,
            and nothing is tested.
        on_progress: Is told the steps done and those in all.
        on_note: Is told first what should be known of the data.
        on_data: Is told how far the images are prepared.

    Raises:
        UsageError: The folder holds another training, or an argument cannot be taken.
        SpecError: The network is illegal at this resolution.
        WeightsError: The weights to begin with do not fit the network.
        NonFiniteLossError: The training diverged.
        ArchbenchError: The data is missing or cannot be learnt from, or a file not be written.
    """
    require_device(device)
    if isinstance(written, nn.Module):
        raise UsageError(
            "a training begins with fresh weights, so those of a network that is built are lost",
            place="network",
            help="give what it is built from, network.spec if archbench.build made it",
        )
    request = TrainingRequest(
        target=as_spec(written),
        data=data,
        folder=path_of(folder, place="folder"),
        epochs=epochs,
        batch=batch,
        resolution=resolution,
        stem=stem,
        weights=None if weights is None else path_of(weights, place="weights"),
        seed=seed,
        device=device,
        teacher=teacher,
        workers=workers,
        checkpoint_every_s=checkpoint_every_s,
        download=download,
        on_progress=on_progress,
        on_note=on_note,
        on_data=on_data,
    )
    with ExitStack() as images, ExitStack() as processes:
        request = replace(request, device=processes.enter_context(joined(device)))
        is_first = rank() == 0
        if recipe == "short":
            training = _short(request, settings=settings)
        else:
            if not isinstance(recipe, FullRecipe):
                recipe = full_recipe(
                    recipe,
                    settings=settings,
                    epochs=epochs,
                    batch=batch,
                    teacher=teacher,
                )
            training = full_training(request, recipe=recipe, stack=images)
        kept = train_to_end(
            training.network,
            training.loop,
            folder=request.folder,
            texts=training.texts,
            on_point=on_point,
            on_note=on_note,
        )
        processes.close()
        found: list[HeldOutResult | None] = [None, None]
        if kept.ended and is_first:
            load_weights(training.network, kept.best)
            found = [
                held_out_result(
                    training.network,
                    images,
                    device=request.device,
                    on_progress=on_data or no_progress,
                )
                for images in (training.validation, training.held_out)
            ]
    return Weights(
        best=kept.best,
        last=kept.last,
        points=kept.points,
        best_epoch=kept.best_epoch,
        network=request.target,
        facts=training.facts,
        validated=found[0],
        tested=found[1],
    )


def _short(request: TrainingRequest, *, settings: Sequence[str]) -> Training:
    """A training with the recipe and the loop of searches."""
    device = request.device
    said = dict(map(_setting, settings))
    recipe = _recipe(request, said)
    dataset = open_data(
        request.data_name(),
        resolution=request.side(),
        download=request.download,
        progress=request.on_data,
    )
    data = describe(dataset, balance=said.get("balance"))
    recipe = replace(recipe, balance=data.get("balanced", False))
    for note in data["data_notes"]:
        request.say(note)
    network, begun = request.network(num_classes=dataset.num_classes)
    taught_by = teacher_for(
        dataset, recipe=recipe, device=device, on_progress=request.on_data, on_note=request.on_note
    )
    if taught_by:
        request.say(teacher_in_words(taught_by))
    asked = {
        **begun,
        "data": data,
        "recipe": recipe.document(),
        "device": device,
        **({"teacher": taught_by.facts()} if taught_by else {}),
    }
    width = widest(network.spec)

    def planned() -> dict[str, Any]:
        plan = choose_plan(network, dataset, width=width, recipe=recipe, device=device)
        return {"plan": plan.document()}

    facts = begun_document(request.folder, asked=asked, more=planned)
    with readable(request.folder / DOCUMENT):
        plan = Plan(**facts["plan"])
    return request.training(
        network,
        partial(
            train,
            network,
            dataset,
            recipe=recipe,
            seed=0,
            plan=plan,
            width=width,
            teacher=taught_by,
        ),
        facts=facts,
        validation=held_out(dataset, share="validation"),
        held_out=held_out(dataset),
    )


def _recipe(request: TrainingRequest, said: Mapping[str, Any]) -> Recipe:
    """The recipe of searches with a rung at every epoch, and what is set in it.

    Raises:
        UsageError: It has no such field, or a value is none that it takes.
    """
    if world() > 1:
        raise UsageError(
            "the recipe short trains in one process",
            place="recipe",
            help="start it without torchrun, or take a full recipe such as levit",
        )
    if request.workers is not None:
        raise UsageError(
            "the recipe short keeps its images in memory, and no workers read them",
            place="workers",
            help="leave it out, or take a full recipe such as levit",
        )
    epochs = EPOCHS if request.epochs is None else request.epochs
    require_within("epochs", epochs, place="epochs")
    return Recipe(
        rungs=tuple(range(1, epochs + 1)),
        batch=BATCH if request.batch is None else request.batch,
        seed=request.seed,
        teacher=request.teacher or "none",
        **said,
    )


def _setting(text: str) -> tuple[str, Any]:
    """Field and value of ``recipe.FIELD=VALUE``."""
    path, node = read_setting(text)
    name = path.removeprefix("recipe.")
    if name not in _SETTINGS:
        raise unknown_name("field of the recipe short", name, _SETTINGS, place=path)
    value = node.plain()
    if name == "balance":
        allowed, is_taken = "neither true nor false", isinstance(value, bool)
    else:
        is_whole = name == "reference_width"
        allowed = "no whole number" if is_whole else "no number"
        is_taken = is_number(value, is_whole=is_whole)
    if not is_taken:
        raise UsageError(f"{value!r} is {allowed}", place=path)
    return name, value
