"""``archbench train``: what does one network reach when it is trained longer?"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from archbench.cli import console, names, option, training
from archbench.cli.main import parked
from archbench.errors import StorageError, UsageError

if TYPE_CHECKING:
    from archbench.evaluate.training import Weights

_RECIPE = "recipe."


@click.command()
@click.argument("network")
@click.option(
    "--data", metavar="NAME", help=f"{option.DATA_HELP} Of a trial by default that of its study."
)
@training.options
@option.SEED
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
    how |= {"teacher": training.teacher(how["teacher"], results=results)}
    how["weights"] = None if how["weights"] == "none" else how["weights"]
    how["data"] = how["data"] or _data_of(network, results=results)
    is_first = os.environ.get("RANK", "0") == "0"  # of the processes that torchrun started
    if is_first:
        _check_folder(folder, resume=resume)
    try:
        with console.Meter() as progress:
            told = progress if is_first else None
            weights = training.trained(spec, told, folder=folder, settings=settings, **how)
        if is_first:
            _tell(weights, network=network, folder=folder)
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


def _data_of(network: str, *, results: Path) -> str:
    """What the study of a trial trained on."""
    place = names.trial_place(network, results=results)
    if place is None:
        raise UsageError(
            "missing option '--data'",
            place="archbench train",
            help="name what to train on, as --data folder:photos",
        )
    from archbench.analysis.study import open_study

    return str(open_study(place[0]).header["proxy"]["data"])


def _tell(weights: Weights, *, network: str, folder: Path) -> None:
    from archbench.report.findings import training as findings

    export = training.export_command(weights)
    finding = findings.trained(weights.document(), next_step=export)
    again = _typed("--resume", "--json")
    files = training.write(weights, network=network, folder=folder, again=again)
    console.tell(finding, files=files)


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
