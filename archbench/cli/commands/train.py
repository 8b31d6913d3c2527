"""``archbench train``: what does one network reach when it is trained longer?"""

from __future__ import annotations

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


@click.command()
@click.argument("network")
@click.option("--data", required=True, metavar="NAME", help=option.DATA_HELP)
@click.option("--epochs", type=option.whole("epochs"), default=30)
@click.option(
    "--resolution",
    type=option.whole("image side"),
    metavar="PIXELS",
    help="Image size; by default that of the network.",
)
@click.option("--batch", type=option.whole("batch", least=2), default=32)
@click.option(
    "--weights",
    metavar="FILE",
    type=option.FILE,
    help="Begin with these weights; of another network as far as they fit, and for another number "
    "of classes without its classifier.",
)
@option.SEED
@option.mirror(default=True)
@click.option(
    "--teacher",
    type=click.Choice(["none", "convolutional"]),
    default="none",
    help="Distil from a convolutional network that is trained on the data first.",
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
) -> None:
    """Train NETWORK, keep its weights, and test them once at the end.

    NETWORK is a published name, a file as archbench models show prints it, or STUDY:TRIAL.
    """
    from archbench.evaluate.training import train_network
    from archbench.report.findings import training as findings

    spec = names.network(network, overrides=overrides, results=results)
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", spec.name).strip("-.") or spec.digest
    folder = out or results / f"trained-{name}"
    _check_folder(folder, resume=resume)
    with console.Meter() as progress:
        try:
            weights = train_network(
                spec,
                folder=folder,
                on_point=lambda point, path, sha256: progress.say(
                    findings.point_text(point, epochs=how["epochs"])
                ),
                on_progress=lambda done, total: progress("training, step", done, total),
                on_note=progress.say,
                on_data=progress,
                **how,
            )
        except KeyboardInterrupt as stop:
            raise parked(
                stop,
                "the training is parked at its last checkpoint",
                place=str(folder),
                help=f"resume it with: {option.typed_command('--resume')} --resume",
            ) from None
    profile = command_line("archbench", "profile", network)
    finding = findings.trained(
        weights.document(),
        next_step=f"use {command_line(weights.best)} (safetensors), or {profile}",
    )
    console.tell(finding, files=_write(weights, network=network, folder=folder))


def _write(weights: Weights, *, network: str, folder: Path) -> list[Path]:
    """The page of a training with its tables, beside the weights; all that is there then."""
    from archbench.report.findings import training as findings

    tested = weights.tested
    commands = {
        "Measure its latency": command_line("archbench", "profile", network),
        "Look into its weights": command_line("archbench", "weights", "show", weights.best),
        "Write its weights under timm's names": command_line(
            "archbench", "weights", "convert", weights.best, "OUT.safetensors", "--to", "timm"
        ),
        "Do the same training again": option.typed_command("--resume", "--json"),
    }
    written = findings.write(
        weights.document(),
        folder,
        images=tested.rows() if tested else (),
        thumbnails=tested.thumbnails if tested else {},
        commands=commands,
    )
    return [weights.best, weights.last, *written]


def _check_folder(folder: Path, *, resume: bool) -> None:
    begun = (folder / "training.json").exists()
    again = option.typed_command("--resume")
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
