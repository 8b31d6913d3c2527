"""``archbench weights``: whose weights are in a file, and how do they become those of others?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from archbench.cli import console, names, option
from archbench.command_line import command_line

if TYPE_CHECKING:
    from archbench.models import Converted

SCHEMA = "archbench.weights-file/1"
_KEY = click.option(
    "--key",
    metavar="KEY",
    help="Which set of weights of the file, as show lists them; by default the EMA's, if it has "
    "one.",
)


@click.group(subcommand_metavar="convert IN OUT | show FILE | fetch NAME")
def command() -> None:
    """Weights of networks: convert them, show a file, or download published ones.

    Reads the names of the released LeViT, CvT and DeiT, of timm, transformers and torchvision, and
    our own, as safetensors or PyTorch files, also training checkpoints. Nothing in a file is
    executed.
    """


@command.command()
@click.argument("source", metavar="IN", type=click.Path(path_type=Path))
@click.argument("target", metavar="OUT", type=click.Path(path_type=Path))
@click.option(
    "--model",
    metavar="NETWORK",
    help="What they are weights of: a published name, a file, or STUDY:TRIAL. By default seen "
    "from the file.",
)
@click.option(
    "--to",
    default="archbench",
    metavar="LAYOUT",
    help="Layout to write: archbench, official, timm, transformers or torchvision.",
)
@click.option(
    "--layout", metavar="LAYOUT", help="Layout of IN; by default recognised from its names."
)
@click.option(
    "--resolution",
    type=option.pixels,
    help="Interpolate position embeddings and biases to this image size.",
)
@click.option(
    "--classes",
    type=option.whole("classes"),
    help="Replace the classifiers by new ones with so many classes.",
)
@_KEY
@option.SET
@option.RESULTS
@option.JSON
def convert(
    source: Path,
    target: Path,
    *,
    model: str | None,
    overrides: tuple[str, ...],
    results: Path,
    **how: Any,
) -> None:
    """Read the weights IN and write them as OUT.

    OUT ends in .safetensors or, where the names are not ours, in .pth, .pt or .bin. There and
    back changes no bit.
    """
    from archbench.errors import UsageError
    from archbench.models import convert_weights
    from archbench.report.findings import weights as findings

    if overrides and model is None:
        raise UsageError("--set changes a network that --model names", place="--set")
    converted = convert_weights(
        source,
        target,
        model=names.network(model, overrides=overrides, results=results) if model else None,
        **how,
    )
    finding = findings.converted(
        _converted(converted),
        was=str(converted.loaded.spec.resolution),
        is_now=str(converted.spec.resolution),
        next_step=command_line("archbench", "weights", "show", target),
    )
    console.tell(finding)


@command.command()
@click.argument("file", type=click.Path(path_type=Path))
@_KEY
@option.JSON
def show(file: Path, *, key: str | None) -> None:
    """Say what FILE holds: sets of weights, whose names, of which network, and if it is whole."""
    from archbench.models import describe_weights
    from archbench.report.findings import weights as findings

    found = describe_weights(file, key=key)
    if found["layout"] == "archbench":
        step = command_line("archbench", "export", file, "--to", "onnx")
    else:
        name = found["network"] or next(iter(found["same_size"]), "NETWORK")
        more = ("--model", name, *(("--key", key) if key else ()))
        step = command_line("archbench", "weights", "convert", file, "OUT.safetensors", *more)
    finding = findings.description({"schema": SCHEMA, **found}, next_step=step)
    console.tell(finding)


@command.command()
@click.argument("name")
@option.folder("--out", help="Folder of the weights; the cache by default.")
@option.JSON
def fetch(name: str, out: Path | None) -> None:
    """Get the published weights of NAME from the hub."""
    from archbench.models import fetch_weights
    from archbench.report.findings import weights as findings

    with console.Meter() as progress:
        found = fetch_weights(name, folder=out, on_progress=progress)
    if not console.is_json():
        console.note(f"from {found.url}" if found.url else "it was there already")
    document = {
        "schema": SCHEMA, "network": name, "file": str(found.path), "url": found.url or None,
    }  # fmt: skip
    step = command_line("archbench", "weights", "show", found.path)
    console.tell(findings.fetched(document, next_step=step))


def _converted(converted: Converted) -> dict[str, Any]:
    loaded = converted.loaded
    return {
        "schema": SCHEMA,
        "file": str(converted.path),
        "sha256": converted.sha256,
        "layout": converted.layout,
        "network": converted.spec.name,
        "spec": converted.spec.to_document(),
        "read_layout": loaded.layout,
        "verified": loaded.verified,
        "interpolated": list(loaded.interpolated),
        "fresh": list(loaded.fresh),
        "key": loaded.key,
        "other_keys": list(loaded.other_keys),
        "ignored": list(loaded.ignored),
    }
