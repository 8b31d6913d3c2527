"""What does a command that trains networks in full ask, how does it train, what does it write?"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from archbench.cli import console, names, option
from archbench.command_line import command_line

if TYPE_CHECKING:
    from archbench.evaluate.training import Weights
    from archbench.models import ArchSpec
    from archbench.study.trial import CurvePoint
    from archbench.train.full_recipe import FullRecipe

_Command = TypeVar("_Command", bound=Callable[..., Any])

_OPTIONS = (
    click.option(
        "--recipe",
        metavar="NAME|FILE",
        default="short",
        help="How it is trained: short, as in a search; levit, cvt, deit, scratch or finetune; a "
        "YAML file.",
    ),
    click.option(
        "--epochs",
        type=option.whole("epochs"),
        help="By default 30, and of a full recipe its own.",
    ),
    click.option(
        "--resolution",
        type=option.whole("image side"),
        metavar="PIXELS",
        help="Image size; by default that of the network.",
    ),
    click.option(
        "--batch",
        type=option.whole("batch", least=2),
        help="By default 32, and of a full recipe its own.",
    ),
    click.option(
        "--weights",
        metavar="FILE",
        help="Begin with these weights; of another network as far as they fit, and for another "
        "number of classes without its classifier.",
    ),
    click.option(
        "--teacher",
        metavar="NAME",
        help="Distil from a network: convolutional (short recipe: trained on the data first), "
        "timm:NAME, a published name, STUDY:TRIAL, or a file of weights; none by default, or the "
        "recipe's.",
    ),
    click.option(
        "--workers",
        type=option.whole("workers", least=0),
        help="Processes that read images for a full recipe; by default as many as cores, 8 at "
        "most; 0: this one does.",
    ),
    click.option(
        "--checkpoint-every",
        "checkpoint_every_s",
        metavar="TIME",
        type=option.time,
        default="2m",
        help="Time between checkpoints within an epoch.",
    ),
    option.DEVICE,
    option.DOWNLOAD,
)


def options(command: _Command) -> _Command:
    """Gives a command the options of how a network is trained, but for the seed."""
    return reduce(lambda inner, add: add(inner), reversed(_OPTIONS), command)


def trained(spec: ArchSpec, progress: console.Meter | None, *, recipe: str, **how: Any) -> Weights:
    """Trains as asked, and tells a person on the way, if this process is the one that does."""
    from archbench.evaluate.full_training import full_recipe
    from archbench.evaluate.training import EPOCHS, train_network
    from archbench.report.findings import training as findings

    chosen: str | FullRecipe = recipe
    epochs = how["epochs"] or EPOCHS
    if recipe != "short":
        asked = ("settings", "epochs", "batch", "teacher")
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
        on_progress=lambda done, total: progress("training, steps", done, total),
        on_note=progress.say,
        on_data=progress,
        **how,
    )


def write(weights: Weights, *, network: str, folder: Path, again: str) -> list[Path]:
    """The page of a training with its tables, beside the weights; all that is there then.

    ``again`` is what does the same training again.
    """
    from archbench.models.weights.layout import has_layout
    from archbench.report.findings import training as findings

    tested = weights.tested
    commands = {
        "Measure its latency": command_line("archbench", "profile", network),
        "Classify pictures": command_line("archbench", "predict", weights.best, "PICTURES"),
        "Write it for ONNX Runtime": export_command(weights),
        "Look into its weights": command_line("archbench", "weights", "show", weights.best),
        "Do the same training again": again,
    }
    if has_layout("timm", weights.network):
        commands["Write its weights under timm's names"] = command_line(
            "archbench", "weights", "convert", weights.best, "OUT.safetensors", "--to", "timm"
        )
    written = findings.write(
        weights.document(),
        folder,
        images=tested.rows() if tested else (),
        thumbnails=tested.thumbnails if tested else {},
        commands=commands,
    )
    return [weights.best, weights.last, *written]


def export_command(weights: Weights) -> str:
    """What to type to write the network of a training for ONNX Runtime."""
    data = weights.facts["data"]["data"]
    return command_line("archbench", "export", weights.best, "--to", "onnx", "--data", data)


def teacher(text: str | None, *, results: Path) -> str | None:
    """The name of a teacher; of a trial the file of its weights."""
    is_trial = text is not None and names.trial_place(text, results=results) is not None
    return str(names.weights(text, results=results)) if text and is_trial else text
