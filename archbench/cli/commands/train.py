"""``archbench train``: what does one network reach when it is trained longer?"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from archbench.cli import console, names, option
from archbench.cli.main import parked
from archbench.command_line import command_line
from archbench.errors import StorageError

if TYPE_CHECKING:
    from archbench.evaluate.training import Weights
    from archbench.models import ArchSpec
    from archbench.study.trial import CurvePoint
    from archbench.train.full_recipe import FullRecipe

_RECIPE = "recipe."


@click.command()
@click.argument("network")
@click.option("--data", required=True, metavar="NAME", help=option.DATA_HELP)
@click.option(
    "--recipe",
    metavar="NAME|FILE",
    default="short",
    help="How it is trained: short, as in a search; levit, cvt, deit or finetune; a YAML file.",
)
@click.option(
    "--epochs",
    type=option.whole("epochs"),
    help="By default 30, and of a full recipe its own.",
)
@click.option(
    "--resolution",
    type=option.whole("image side"),
    metavar="PIXELS",
    help="Image size; by default that of the network.",
)
@click.option(
    "--batch",
    type=option.whole("batch", least=2),
    help="By default 32, and of a full recipe its own.",
)
@click.option(
    "--weights",
    metavar="FILE",
    help="Begin with these weights; of another network as far as they fit, and for another number "
    "of classes without its classifier.",
)
@option.SEED
@option.mirror(default=True)
@click.option(
    "--teacher",
    metavar="NAME",
    help="Distil from a network: convolutional (short recipe: trained on the data first), "
    "timm:NAME, a published name, STUDY:TRIAL, or a file of weights; none by default, or the "
    "recipe's.",
)
@click.option(
    "--workers",
    type=option.whole("workers", least=0),
    help="Processes that read images for a full recipe; by default as many as cores, 8 at most; 0: "
    "this one does.",
)
@click.option(
    "--checkpoint-every",
    "checkpoint_every_s",
    metavar="TIME",
    type=option.time,
    default="2m",
    help="Time between checkpoints within an epoch.",
)
@option.DEVICE
@option.DOWNLOAD
@option.folder("--out", help="Folder of the weights; by default results/trained-NETWORK.")
@click.option("--resume", is_flag=True, help="Continue the training in the folder.")
@option.SET
@option.RESULTS
@option.JSON
def command(
    network: str,
    *,
    out: Path | None,
    resume: bool,
    overrides: tuple[str, ...],
    results: Path,
    **how: Any,
) -> int:
    """Train NETWORK, keep its weights, and test them once at the end.

    NETWORK is a published name, a file as archbench models show prints it, or STUDY:TRIAL. --set
    recipe.FIELD=VALUE changes the recipe. Several GPUs: torchrun --nproc-per-node 8 -m archbench
    train ...
    """
    settings = tuple(text for text in overrides if text.startswith(_RECIPE))
    changes = tuple(text for text in overrides if text not in settings)
    spec = names.network(network, overrides=changes, results=results)
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", spec.name).strip("-.") or spec.digest
    folder = out or results / f"trained-{name}"
    how |= {"teacher": _teacher(how["teacher"], results=results)}
    how |= {"weights": None if how["weights"] == "none" else how["weights"]}
    is_first = os.environ.get("RANK", "0") == "0"  # of the processes that torchrun started
    if is_first:
        _check_folder(folder, resume=resume)
    try:
        with console.Meter() as progress:
            told = progress if is_first else None
            weights = _trained(spec, told, folder=folder, settings=settings, **how)
        if is_first:
            _tell(weights, network=network, data=how["data"], folder=folder)
    except KeyboardInterrupt as stop:
        ended = parked(
            stop,
            "the training is parked at its last checkpoint",
            place=str(folder),
            help=f"resume it with: {_typed('--resume')} --resume",
        )
        if is_first:
            raise ended from None
        return ended.exit_code
    return 0


def _trained(spec: ArchSpec, progress: console.Meter | None, *, recipe: str, **how: Any) -> Weights:
    """Trains as asked, and tells a person on the way, if this process is the one that does."""
    from archbench.evaluate.full_training import full_recipe
    from archbench.evaluate.training import EPOCHS, train_network
    from archbench.report.findings import training as findings

    chosen: str | FullRecipe = recipe
    epochs = how["epochs"] or EPOCHS
    if recipe != "short":
        asked = ("settings", "epochs", "batch", "mirror", "teacher")
        chosen = full_recipe(recipe, **{name: how[name] for name in asked})
        epochs = chosen.epochs
    if progress is None:
        return train_network(spec, recipe=chosen, **how)
    if not isinstance(chosen, str):
        progress.say(findings.recipe_text(recipe, chosen.document()))
    points: list[CurvePoint] = []

    def on_point(point: CurvePoint, path: Path | None, sha256: str | None) -> None:
        pace = ""
        if not isinstance(chosen, str):
            rate, before = chosen.learning_rate(point.epoch - 1), points[-1] if points else None
            pace = findings.pace_text(
                point, before=before, epochs=epochs, batch=chosen.batch, rate=rate
            )
        points.append(point)
        progress.say(findings.point_text(point, epochs=epochs, pace=pace))

    return train_network(
        spec,
        recipe=chosen,
        on_point=on_point,
        on_progress=lambda done, total: progress("training, step", done, total),
        on_note=progress.say,
        on_data=progress,
        **how,
    )


def _tell(weights: Weights, *, network: str, data: str, folder: Path) -> None:
    from archbench.report.findings import training as findings

    predict = command_line("archbench", "predict", weights.best, "PICTURES")
    export = _export(weights, data=data)
    finding = findings.trained(weights.document(), next_step=f"{predict}, or {export}")
    console.tell(finding, files=_write(weights, network=network, data=data, folder=folder))


def _export(weights: Weights, *, data: str) -> str:
    return command_line("archbench", "export", weights.best, "--to", "onnx", "--data", data)


def _write(weights: Weights, *, network: str, data: str, folder: Path) -> list[Path]:
    """The page of a training with its tables, beside the weights; all that is there then."""
    from archbench.report.findings import training as findings

    tested = weights.tested
    commands = {
        "Measure its latency": command_line("archbench", "profile", network),
        "Classify pictures": command_line("archbench", "predict", weights.best, "PICTURES"),
        "Write it for ONNX Runtime": _export(weights, data=data),
        "Look into its weights": command_line("archbench", "weights", "show", weights.best),
        "Write its weights under timm's names": command_line(
            "archbench", "weights", "convert", weights.best, "OUT.safetensors", "--to", "timm"
        ),
        "Do the same training again": _typed("--resume", "--json"),
    }
    written = findings.write(
        weights.document(),
        folder,
        images=tested.rows() if tested else (),
        thumbnails=tested.thumbnails if tested else {},
        commands=commands,
    )
    return [weights.best, weights.last, *written]


def _teacher(text: str | None, *, results: Path) -> str | None:
    """The name of a teacher; of a trial the file of its weights."""
    is_trial = text is not None and names.trial_place(text, results=results) is not None
    return str(names.weights(text, results=results)) if text and is_trial else text


def _typed(*without: str) -> str:
    """The command as it was typed, under torchrun where that started it."""
    typed = option.typed_command(*without)
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return typed
    number = os.environ.get("LOCAL_WORLD_SIZE", "1")
    return f"torchrun --nproc-per-node {number} -m {typed}"


def _check_folder(folder: Path, *, resume: bool) -> None:
    begun = (folder / "training.json").exists()
    again = _typed("--resume")
    if begun and not resume:
        raise StorageError(
            "a training is here already",
            place=str(folder),
            help=f"go on with it: {again} --resume; or begin another with another --out",
        )
    if resume and not begun:
        raise StorageError(
            "there is no training here to resume", place=str(folder), help=f"begin it: {again}"
        )
